"""Whether a history is linearizable: whether there is an order of the calls on each key, in which
each takes effect at one point between its begin and its end, that the machine would answer alike.

Wing and Gong's search with Lowe's memo of (state, calls done), a key at a time as Porcupine has it,
and just in time: at each end of a call, the ways to have had it take effect by then. A call
without an answer may take effect at any time from its begin on, or never.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from itertools import chain, combinations
from typing import NamedTuple

from .history import Call
from .model import Gone, Happening, Model, Rollback, describe, is_back
from .timing import EMPTY, State, Timeouts

__all__ = [
    "START",
    "Event",
    "Illegal",
    "Moment",
    "Rolled",
    "Search",
    "UndecidedError",
    "check",
    "check_key",
    "events_of",
    "search_of",
]

HARMLESS = ("get", "get_finished", "touch")
CHANGES = ("start", "update", "save", "finish", "finish_session", "resume", "delete")
MOST = 500_000  # configurations at the end of one call


class Event(NamedTuple):
    """What may happen from ``begin`` on, and has happened by ``end``; None: or never."""

    begin: int
    end: int | None
    what: Happening


class Config(NamedTuple):
    """A state that the key may be in, and which events under way have had their effect."""

    state: State
    done: frozenset[int]
    """``~index``: it had an effect that it was not told of, and that a failover will undo."""


class Rolled(NamedTuple):
    """A failover at ``at`` may have undone what was done since ``since``.

    ``at`` is when nothing is done any more by the old one, nor yet by the new one.
    """

    since: int
    at: int
    keys: Container[str]


class Illegal(NamedTuple):
    """No order explains the answer to ``call``: before it, the key was in one of ``states``."""

    key: str
    call: Call | None
    states: tuple[str, ...]
    calls: tuple[Call, ...] = ()
    since: tuple[str, ...] = ()
    """What the key may have held before ``calls``; nothing: nothing."""


class UndecidedError(Exception):
    """There are too many ways to order the calls."""


def check(
    calls: Iterable[Call],
    timeouts: Timeouts = Timeouts(),  # noqa: B008
    rollbacks: Iterable[Rolled] = (),
) -> Illegal | None:
    """The first key whose calls no order explains. Raises: UndecidedError."""
    by_key: defaultdict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_key[call.key].append(call)
    for key, its in by_key.items():
        found = check_key(its, timeouts, [each for each in rollbacks if key in each.keys])
        if found is not None:
            return found._replace(key=key, calls=tuple(its))
    return None


def check_key(
    calls: list[Call],
    timeouts: Timeouts = Timeouts(),  # noqa: B008
    rollbacks: Iterable[Rolled] = (),
) -> Illegal | None:
    """As `check`, of calls on one key."""
    return search_of(calls, timeouts, rollbacks).run()


def search_of(calls: list[Call], timeouts: Timeouts, rollbacks: Iterable[Rolled]) -> Search:
    """What finds out about ``calls`` on one key."""
    rollbacks = list(rollbacks)
    events = [*events_of(calls, rollbacks)]
    events += [Event(each.at, each.at, Rollback(each.since)) for each in rollbacks]
    losses = [(each.since, each.at) for each in rollbacks]
    return Search(Model(calls, timeouts, losses), events)


def events_of(calls: list[Call], rollbacks: list[Rolled]) -> Iterator[Event]:
    """The calls, and what time may do between them."""
    leaving = {call.hold[0]: call for call in calls if call.hold and _leaves(call)}
    for call in calls:
        takes = call.do in ("lock", "get_locked")
        unknown = call.answer.what == "unknown"
        if call.answer.what == "BackendUnavailableError" or (unknown and _shows_nothing(call)):
            continue
        yield Event(call.begin, None if unknown else call.end, call)
        if takes and call.is_ok:
            over = call.begin + (call.lease or 0)
            left = leaving.get(call.number)
            if left is not None and not left.is_ok:
                over = min(over, left.begin)
            if (
                left is None
                or not left.is_ok
                or left.end is None
                or over <= left.end
                or any(is_back(left, each.since, each.at) for each in rollbacks)
            ):
                yield Event(over, None, Gone(call.number))


def _leaves(call: Call) -> bool:
    return call.do in ("unlock", "save", "abandon")


def _shows_nothing(call: Call) -> bool:
    """Whether it would not be seen if it took effect; a lock that was taken is not, but by a
    refusal, for which one who waits is reason enough (`Model`)."""
    return call.do in ("get", "get_finished", "touch", "lock", "get_locked")


class Moment(NamedTuple):
    """A point in a history: how many begins and ends were before it, and what may be then."""

    time: int
    passed: int
    configs: frozenset[Config]
    under_way: tuple[int, ...] = ()


START = Moment(-(1 << 62), 0, frozenset([Config(EMPTY, frozenset())]))


class Search:
    """For an order of ``events``."""

    def __init__(self, model: Model, events: list[Event]) -> None:
        self.events = self._events = events
        self.quiet: list[Moment] = []
        """Where no call was under way that had an answer."""
        self._model = model
        begins = [(event.begin, 0, index) for index, event in enumerate(events)]
        ends = [(event.end, 1, index) for index, event in enumerate(events) if event.end]
        self._moments = sorted(begins + ends)
        # Of what is alike and under way, the first is taken first: it makes no difference.
        self._alike: dict[int, tuple[str, object]] = {
            index: (event.what.do, event.what.stamp)
            for index, event in enumerate(events)
            if event.end is None and isinstance(event.what, Call) and event.what.value is None
        }
        # Until when what is under way may do what a failover undoes, and then be done once more.
        self._undone = _undone(events)
        self._now = 0
        self._under_way: list[int] = []
        self._trail: list[tuple[int, frozenset[Config], frozenset[Config]]] = []
        self._keeps_trail = any(isinstance(event.what, Rollback) for event in events)

    def run(self, start: Moment = START, without: frozenset[int] = frozenset()) -> Illegal | None:
        """What is illegal from ``start`` on, if some events were ``without``."""
        configs = start.configs
        self._under_way = list(start.under_way)
        self._trail, self.quiet = [], []
        for passed in range(start.passed, len(self._moments)):
            time, is_end, index = self._moments[passed]
            if index in without:
                continue
            self._now = time
            if not is_end:
                self._under_way.append(index)
                continue
            after = self._settled(configs, index)
            self._under_way.remove(index)
            if not after:
                what = self._events[index].what
                call = what if isinstance(what, Call) else None
                states = sorted({describe(config.state.key) for config in configs})
                return Illegal("", call, tuple(states))
            configs = after
            if all(self._events[each].end is None for each in self._under_way):
                self.quiet.append(Moment(time, passed + 1, configs, tuple(self._under_way)))
        return None

    def after(self, start: Moment) -> list[int]:
        """The events that begin after ``start``, and those that may yet happen then."""
        begun = [index for _, is_end, index in self._moments[start.passed :] if not is_end]
        return [*start.under_way, *begun]

    def _settled(self, configs: frozenset[Config], index: int) -> frozenset[Config]:
        """All that may be once event ``index`` has had its effect."""
        what = self._events[index].what
        is_rollback = isinstance(what, Rollback)
        settled: set[Config] = set()
        seen: set[Config] = set()
        ahead: list[Config] = []
        for config in configs:
            if index in config.done:
                settled.add(Config(config.state, config.done - {index}))
            else:
                ahead.append(config)
        while ahead:
            config = self._with_all_that_changes_nothing(ahead.pop())
            if index in config.done:  # what else may happen, may happen later as well
                settled.add(Config(config.state, config.done - {index}))
                continue
            if config in seen:
                continue
            seen.add(config)
            if len(seen) > MOST:
                raise UndecidedError(f"{len(seen)} configurations at one end")
            if not is_rollback:
                for next in self._after(config, index):
                    settled.add(Config(next.state, next.done - {index}))
            for other in self._candidates(config, index):
                ahead += self._after(config, other)
            ahead += self._unheard(config)
        if isinstance(what, Rollback):
            settled = self._rolled_back(seen, what)
        if self._keeps_trail:
            self._trail.append(
                (self._events[index].end or 0, frozenset(settled | seen), frozenset(settled))
            )
        return self._fewest(settled)

    def _with_all_that_changes_nothing(self, config: Config) -> Config:
        """Reads, refusals: whatever can be done without a change is done as well now as later.

        That a session is slid is no change: who was told which one it is has found that one, and
        before it expired.
        """
        state, done = config
        for other in self._under_way:
            if self._events[other].end is None or other in done or self._is_rollback(other):
                continue
            if self._may_be_undone(other):
                continue
            for after in self._states_after(Config(state, done), other):
                if after == state or (after.key == state.key and self._tells_which(other)):
                    state, done = after, done | {other}
                    break
        return Config(state, done)

    def _tells_which(self, index: int) -> bool:
        what = self._events[index].what
        return isinstance(what, Call) and what.answer.stamp is not None

    def _after(self, config: Config, index: int) -> list[Config]:
        done = config.done | {index}
        return [Config(state, done) for state in self._states_after(config, index)]

    def _states_after(self, config: Config, index: int) -> list[State]:
        if ~index in config.done:
            return []
        what = self._events[index].what
        assert not isinstance(what, Rollback)
        return self._model.after(config.state, what)

    def _unheard(self, config: Config) -> Iterator[Config]:
        """What is done without an answer, undone by a failover, and then asked for once more."""
        for index in self._under_way:
            if self._may_be_undone(index) and config.done.isdisjoint((index, ~index)):
                call = self._events[index].what
                assert isinstance(call, Call)
                for state in self._model.unheard(config.state, call):
                    yield Config(state, config.done | {~index})

    def _may_be_undone(self, index: int) -> bool:
        return self._now <= self._undone.get(index, START.time)

    def _candidates(self, config: Config, index: int) -> Iterator[int]:
        taken: set[tuple[str, object]] = set()
        for other in self._under_way:
            if other == index or other in config.done or self._is_rollback(other):
                continue
            alike = self._alike.get(other)
            if alike is not None:
                if alike in taken:
                    continue
                taken.add(alike)
            yield other

    def _is_rollback(self, index: int) -> bool:
        return isinstance(self._events[index].what, Rollback)

    def _rolled_back(self, configs: set[Config], what: Rollback) -> set[Config]:
        """What may be after it: any state since then, with what is under way as it may be.

        Who was answered may have been told of what is lost, or does it again; a read was told.
        """
        under_way = frozenset(self._under_way)
        old: set[Config] = set(configs)
        before: frozenset[Config] = frozenset([Config(EMPTY, frozenset())])
        for time, passed, settled in self._trail:
            if time < what.since:
                before = settled
            else:
                old |= passed
        # What is still there is known by its id when it is asked for once more.
        pasts = {
            (past.state, past.done & under_way)
            for past in old | before
            if all(index >= 0 for index in past.done)
        }
        ended = {index for index in under_way if self._events[index].end is not None}
        told = {index for index in ended if self._is_harmless(index)}
        found: set[Config] = set()
        for done in {config.done for config in configs}:
            for state, was in pasts:
                sure = was | (done & told)
                again = sorted((done & ended) - sure)
                for some in chain.from_iterable(
                    combinations(again, n) for n in range(len(again) + 1)
                ):
                    found.add(Config(state, sure.union(some)))
        return found

    def _is_harmless(self, index: int) -> bool:
        what = self._events[index].what
        return isinstance(what, Call) and not (what.is_ok and what.do not in HARMLESS)

    def _fewest(self, configs: set[Config]) -> frozenset[Config]:
        """Without those that have used up more of what need not happen at all."""
        optional = {index for index in self._under_way if self._events[index].end is None}
        if not optional or len(configs) < 2:
            return frozenset(configs)
        groups: defaultdict[tuple[State, frozenset[int]], list[frozenset[int]]] = defaultdict(list)
        for state, done in sorted(configs, key=lambda config: len(config.done)):
            kept = groups[state, done - optional]
            used = done & optional
            if not any(less <= used for less in kept):
                kept.append(used)
        return frozenset(
            Config(state, needed | used)
            for (state, needed), kept in groups.items()
            for used in kept
        )


def _undone(events: list[Event]) -> dict[int, int]:
    """The calls that a failover came into, and when the last one did."""
    failovers = [event.begin for event in events if isinstance(event.what, Rollback)]
    found: dict[int, int] = {}
    for index, (begin, end, what) in enumerate(events):
        if isinstance(what, Call) and what.do in CHANGES and end is not None:
            during = [at for at in failovers if begin <= at <= end]
            if during:
                found[index] = max(during)
    return found
