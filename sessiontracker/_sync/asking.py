# Generated from sessiontracker/_async/asking.py by scripts/generate_sync.py: edit that.
"""A backend as the tracker asks it: batched, and asked again where that is safe."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import ceil, inf
from typing import Any, TypeGuard

from ..contract import Asked, Backend
from ..operations import (
    Failed,
    NoAnswer,
    Outcome,
    Ping,
    Pong,
    Read,
    Reap,
    Renew,
    Scan,
    Time,
    Touch,
    Unavailable,
    repeat,
)
from .batching import Batcher
from .runtime import NOT_ANSWERED, NOT_SENT, monotonic, sleep

__all__ = ["Asker"]

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5
_SPARE = 1 / 10  # of all the time: what is left for an answer to the last that is asked
_LOOKS = 250  # a second, by all who wait in this process
_RAREST = 4_000  # ms between two looks of one: the claim of one who died lasts 1.5 times as long
_HARMLESS = (Read, Touch, Renew, Scan, Reap, Ping)


class Asker:
    """One backend, by its ``name`` in the configuration.

    What it could not do, and what it gave no answer to, is asked again for ``timeout``
    seconds in all; an operation that was sent before says `since` when.
    """

    def __init__(
        self, name: str, backend: Backend, timeout: float, max_in_flight: int | None = None
    ) -> None:
        self.name = name
        self.backend = backend
        self.at_once = backend.at_once
        self.waiters: set[int] = set()
        """The tickets that are in line for locks."""
        self._look_every = round(backend.look_every * 1000)
        self._timeout = timeout
        self._batcher = Batcher(backend, max_in_flight, timeout)
        self._closed = False

    def ask(self, operation: Asked) -> Outcome:
        """The outcome of ``operation``; `Unavailable` and `NoAnswer` only when time is up."""
        if self.at_once is not None and operation.address is not None:
            return self.at_once(operation)
        began = monotonic()
        outcome = self._batcher.ask(operation, began)
        if type(outcome) is Unavailable or type(outcome) is NoAnswer:
            return (self._again([operation], [outcome], began))[0]
        return outcome

    def ask_all(self, operations: Sequence[Asked]) -> list[Outcome]:
        """The outcomes of all ``operations``, in as few round trips as possible."""
        began = monotonic()
        return self._again(operations, self.ask_once(operations), began)

    def reap(self, limit: int) -> Outcome:
        """The outcome of a `Reap`, which rests in between and takes as long as it takes."""
        began = monotonic()
        reap = Reap(limit)
        return (self._again([reap], [self._batcher.ask(reap, inf)], began))[0]

    def ask_once(self, operations: Sequence[Asked]) -> list[Outcome]:
        """As `ask_all`, for one who asks again by itself."""
        if self.at_once is not None:
            return [self.ask(operation) for operation in operations]
        return self._batcher.ask_all(operations, monotonic())

    def _again(
        self, operations: Sequence[Asked], outcomes: list[Outcome], began: float
    ) -> list[Outcome]:
        """Ask those that have no outcome until they have, or time is up."""
        if not any(map(_is_unsettled, outcomes)):
            return outcomes
        calls = [_Call(*each) for each in zip(operations, outcomes, strict=True)]
        unsettled = [call for call in calls if call.is_unsettled]
        took = monotonic() - began
        pause = _FIRST_PAUSE
        while unsettled:
            left = began + self._timeout * (1 - _SPARE) - monotonic()
            if left <= 0 or self._closed:
                break
            # Were time up while it is sent for the first time, nobody would know what was done.
            unsettled = [call for call in unsettled if left > took or call.may_be_cut_short]
            if not unsettled:
                break
            sleep(min(pause * random.uniform(0.5, 1.0), left))
            pause = min(pause * 2, _LONGEST_PAUSE)
            asked_at = monotonic()
            self._date([call for call in unsettled if call.is_undated], began)
            self._ask_again([call for call in unsettled if not call.is_undated], began)
            took = monotonic() - asked_at
            unsettled = [call for call in unsettled if call.is_unsettled]
        return [call.told(self.name) for call in calls]

    def _ask_again(self, calls: Sequence[_Call], began: float) -> None:
        if calls and type(calls[0].operation) is Reap:
            began = inf
        answers = self._batcher.ask_all([call.operation for call in calls], began)
        for call, answer in zip(calls, answers, strict=True):
            call.hear(answer)

    def _date(self, calls: Sequence[_Call], began: float) -> None:
        """Have ``calls`` say since when they are sent, by the clock of where they go.

        That clock was read after ``began`` and before its answer is here, so that much less is
        surely no later than when they were first sent. Where there is no answer, they say nothing.
        """
        if not calls:
            return
        times = [Time(call.operation.address) for call in calls]
        answers = self._batcher.ask_all(times, began)
        elapsed = ceil((monotonic() - began) * 1000)
        for call, answer in zip(calls, answers, strict=True):
            if type(answer) is Pong:
                since = max(1, answer.now // 1000 - elapsed)
                call.operation = repeat(call.operation, since)

    @property
    def look_every(self) -> int:
        """How often, in ms, one who waits for a lock looks again by itself: where many wait, the
        rarer, since each look costs the store the more, the longer the queue is."""
        every, waiters = self._look_every, len(self.waiters)
        while waiters * 1000 > _LOOKS * every and 2 * every <= _RAREST:
            every *= 2  # in few steps: looks that are alike are sent together
        return every

    def close(self) -> None:
        self._closed = True
        self.at_once = None
        self._batcher.close()


class _Call:
    """An operation that is asked again while it has no outcome, and what came of it so far."""

    __slots__ = ("_outcome", "_was_sent", "operation")

    def __init__(self, operation: Any, outcome: Outcome) -> None:
        self.operation = operation
        self._outcome = outcome
        self._was_sent = False  # and may have been done
        self.hear(outcome)

    def hear(self, outcome: Outcome) -> None:
        if type(outcome) is NoAnswer:
            self._was_sent |= not isinstance(self.operation, _HARMLESS)
        # That time was up says less than what was wrong before.
        if not _is_unsettled(outcome) or outcome.reason not in (NOT_ANSWERED, NOT_SENT):
            self._outcome = outcome

    @property
    def is_unsettled(self) -> bool:
        return _is_unsettled(self._outcome)

    @property
    def is_undated(self) -> bool:
        """Whether it must not be sent again before it says `since` when."""
        return self._was_sent and getattr(self.operation, "since", None) == 0

    @property
    def may_be_cut_short(self) -> bool:
        """Whether it makes no difference if time is up while it is sent."""
        return self._was_sent or isinstance(self.operation, _HARMLESS)

    def told(self, backend: str) -> Outcome:
        """The outcome, as its caller is told it."""
        outcome = self._outcome
        if type(outcome) is Failed and self._was_sent:
            # It may have been done when it was sent first, whatever became of its repeat.
            return NoAnswer(f"backend {backend!r}: {outcome.error}")
        if _is_unsettled(outcome):
            reason = f"backend {backend!r}: {outcome.reason}"
            return NoAnswer(reason) if self._was_sent else Unavailable(reason)
        return outcome


def _is_unsettled(outcome: Outcome) -> TypeGuard[Unavailable | NoAnswer]:
    return type(outcome) is Unavailable or type(outcome) is NoAnswer
