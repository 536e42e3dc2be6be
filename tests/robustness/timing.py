"""When sessions of a history expire, as far as its calls can tell.

A call has its effect at some time between its begin and its end, so what follows from it after
a timeout follows within a span. Where such a span is over, the session has gone; before it, it
has not; and in between it may have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from sessiontracker.state import NOTHING, Key

from .history import UNKNOWN, Call

__all__ = ["EMPTY", "State", "Timeouts", "Timing"]

NEVER = 1 << 62
_SLIDES = ("touch", "update", "save", "get", "get_locked")
_READS = ("get", "get_locked")


class Timeouts(NamedTuple):
    """When sessions expire, in ns; 0: never. ``slack`` is for clocks that tick in ms."""

    idle: int = 0
    absolute: int = 0
    retention: int = 0
    slack: int = 5_000_000


class Span(NamedTuple):
    """Something happens, at the earliest and at the latest."""

    first: int
    last: int

    def later(self, by: int) -> Span:
        return Span(self.first + by, self.last + by)


class Active(NamedTuple):
    """Of the active session: when it was slid, and its absolute end."""

    slid: Span
    ends: Span


class Finished(NamedTuple):
    """Of the finished one: when it was finished, and the absolute end that it had."""

    at: Span
    ends: Span


class State(NamedTuple):
    """What a key holds, and since when."""

    key: Key
    active: Active | None = None
    finished: Finished | None = None


EMPTY = State(NOTHING)


class Timing:
    """Of one key, whose history is ``calls``."""

    def __init__(self, timeouts: Timeouts, calls: Iterable[Call]) -> None:
        self._timeouts = timeouts
        self._is_off = timeouts[:3] == (0, 0, 0)
        # From then on nobody can tell when it was slid last.
        unsure = [call.begin for call in calls if call.do in _SLIDES and _is_unsure(call)]
        self._unsure = min(unsure, default=NEVER)

    def before(self, state: State, call: Call) -> Iterator[State]:
        """``state``, and what time may have made of it when ``call`` took effect."""
        if self._is_off:
            yield state
            return
        active = self._is_over(self._active_ends(state, call), call)
        finished = self._is_over(self._finished_ends(state), call)
        for one in active:
            for other in finished:
                yield _without(state, active=one, finished=other)

    def _is_over(self, ends: Span, call: Call) -> tuple[bool, ...]:
        slack = self._timeouts.slack
        if call.begin - slack > ends.last:
            return (True,)
        may_be = call.end is None or call.answer.what == UNKNOWN or call.end + slack >= ends.first
        return (False, True) if may_be else (False,)

    def _active_ends(self, state: State, call: Call) -> Span:
        active, idle = state.active, self._timeouts.idle
        if active is None:
            return Span(NEVER, NEVER)
        if not idle:
            return active.ends
        slid = active.slid.later(idle)
        last = NEVER if self._unsure < call.begin else slid.last
        return Span(min(slid.first, active.ends.first), min(last, active.ends.last))

    def _finished_ends(self, state: State) -> Span:
        if state.finished is None or not self._timeouts.retention:
            return Span(NEVER, NEVER)
        return state.finished.at.later(self._timeouts.retention)

    def after(self, before: State, key: Key, call: Call) -> State:
        """The state of ``key``, which ``call`` made of ``before``."""
        if self._is_off:
            return State(key)
        is_sure = call.end is not None and call.answer.what != UNKNOWN
        now = Span(call.begin, (call.end or 0) if is_sure else NEVER)
        return State(
            key, self._active_after(before, key, call, now), _finished_after(before, key, now)
        )

    def _active_after(self, before: State, key: Key, call: Call, now: Span) -> Active | None:
        if key.active is None:
            return None
        if call.do == "start" and before.key.active != key.active:
            absolute = self._timeouts.absolute
            return Active(now, now.later(absolute) if absolute else Span(NEVER, NEVER))
        if call.do == "resume" and before.key.active != key.active:
            assert before.finished is not None
            return Active(now, _moved(before.finished, now))
        active = before.active
        assert active is not None
        if call.do not in _SLIDES or not (call.is_ok or before.key.active != key.active):
            return active
        slid = active.slid
        # Servers of SQL leave out a read's slide that would have to wait for the row.
        first = slid.first if call.do in _READS else max(slid.first, now.first)
        return Active(Span(first, max(slid.last, now.last)), active.ends)


def _is_unsure(call: Call) -> bool:
    """Whether it may have slid the session though it was not told so."""
    return not call.is_ok and (
        call.answer.what == UNKNOWN or call.end is None or call.end - call.begin > 50_000_000
    )


def _finished_after(before: State, key: Key, now: Span) -> Finished | None:
    if key.finished is None:
        return None
    if key.finished == before.key.finished and before.finished is not None:
        return before.finished
    assert before.active is not None
    return Finished(now, before.active.ends)


def _moved(finished: Finished, now: Span) -> Span:
    """The absolute end, later by as long as the session lay finished."""
    at, ends = finished
    if ends.last >= NEVER:
        return Span(min(ends.first, NEVER), NEVER)
    return Span(ends.first + now.first - at.last, ends.last + now.last - at.first)


def _without(state: State, *, active: bool, finished: bool) -> State:
    if active and state.key.active is not None:
        state = State(replace(state.key, active=None), None, state.finished)
    if finished and state.key.finished is not None:
        state = State(replace(state.key, finished=None), state.active, None)
    return state
