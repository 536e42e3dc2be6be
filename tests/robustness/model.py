"""What a call may do to a key, and what it is then told: `machine.apply`, with time taken out.

The state is the machine's own `Key`, without what the calls of a history cannot show: points in
time, queues, memories of deeds. When sessions expire is in `timing`; that a lease is gone is an
event of its own, which the checker orders among the calls. What a call without an answer did has
no id that anybody was told; until one shows up in an answer, it is UNTOLD.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from sessiontracker.machine import apply
from sessiontracker.operations import (
    FOREVER,
    Acquire,
    Address,
    Delete,
    Deleted,
    Finish,
    Found,
    Granted,
    Hold,
    InProgress,
    IsActive,
    IsFinished,
    Locked,
    Lost,
    Meta,
    Missing,
    Operation,
    Outcome,
    Read,
    Release,
    Released,
    Resume,
    Saved,
    Stale,
    Start,
    Touch,
    Write,
)
from sessiontracker.operations import Stamp as MachineStamp
from sessiontracker.state import FREE, NOTHING, Key, Lease, Lock, Record, Slot, Waiter

from .history import UNKNOWN, Call, Stamp
from .timing import State, Timeouts, Timing

__all__ = ["ERRORS", "Gone", "Happening", "Model", "Rollback", "describe"]

UNTOLD = -1
PLACE = Address("thing", "", "")
NOW = 1_000  # µs; it stands still but for tokens, which are points in time

ERRORS: dict[str, type[Outcome]] = {
    "SessionNotFoundError": Missing,
    "SessionFinishedError": IsFinished,
    "SessionActiveError": IsActive,
    "SessionInProgressError": InProgress,
    "StaleSessionError": Stale,
    "SessionLockedError": Locked,
    "LockNotAcquiredError": Locked,
    "LockLostError": Lost,
}
_LEFT_BEHIND = (UNKNOWN, "BackendUnavailableError")  # of a taker: its ticket, let go behind it
_BEFORE_LOCKED = (Lost, Missing, IsFinished, IsActive, InProgress)


class Gone(Struct, frozen=True):
    """The lease that this call took may end by itself, or be let go behind its holder."""

    number: int


class Rollback(Struct, frozen=True):
    """A failover: all may be as it was at some time since ``since``."""

    since: int


Happening = Call | Gone | Rollback


class Model:
    """What may become of one key, whose history is ``calls``."""

    def __init__(
        self, calls: Iterable[Call], timeouts: Timeouts, losses: Collection[tuple[int, int]] = ()
    ) -> None:
        """``losses``: since when, and when, all may have become as it was."""
        calls = list(calls)
        stamps = [call.answer.stamp for call in calls if call.is_ok and _changes(call)]
        self._writes = {stamp[2] for stamp in stamps if stamp is not None}
        self._lives = {
            call.answer.stamp[0]
            for call in calls
            if call.is_ok and call.do == "start" and call.answer.stamp is not None
        }
        self._claims = _claims(calls, losses)
        self._queued = _queued(calls, losses)
        self._timing = Timing(timeouts, calls)
        self._known: dict[tuple[State, int], list[State]] = {}

    def after(self, state: State, event: Call | Gone) -> list[State]:
        """What ``event`` may make of ``state``; nothing: it cannot happen now."""
        if isinstance(event, Gone):
            return [state._replace(key=key) for key in _without_lease(state.key, event.number)]
        known = self._known.get((state, event.number))
        if known is None:
            known = self._known[state, event.number] = self._of_call(state, event)
        return known

    def unheard(self, state: State, call: Call) -> list[State]:
        """What ``call`` may make of ``state``, whatever it is told of that, if anything."""
        known = self._known.get((state, ~call.number))
        if known is None:
            found = [
                self._timing.after(bound, after, call)
                for bound in self._bound(state, call)
                if (after := self._apply(bound.key, call)[0]) != bound.key
            ]
            known = self._known[state, ~call.number] = list(dict.fromkeys(found))
        return known

    def _of_call(self, state: State, call: Call) -> list[State]:
        if call.answer.what == UNKNOWN:
            return self.unheard(state, call)
        states: list[State] = []
        for bound in self._bound(state, call):
            after, outcome = self._apply(bound.key, call)
            if _tells(outcome, call):
                states.append(self._timing.after(bound, after, call))
            elif self._is_refused_all_the_same(outcome, call) or self._leaves_a_queue(bound, call):
                states.append(bound)
        return list(dict.fromkeys(states))

    def _apply(self, key: Key, call: Call) -> tuple[Key, Outcome]:
        token = call.answer.token
        slot, outcome = apply(Slot({"": key}), operation_of(call), NOW if token is None else token)
        return _timeless(slot.keys.get("", NOTHING)), outcome

    def _is_refused_all_the_same(self, outcome: Outcome, call: Call) -> bool:
        """Whether the call's refusal has a reason that the state does not show."""
        what = call.answer.what
        if what == "LockLostError":  # a holder gives up by its own clock, before the store does
            return call.hold is not None or call.do in ("lock", "get_locked")
        if what in ("SessionLockedError", "LockNotAcquiredError"):
            return call.number in self._claims and not isinstance(outcome, _BEFORE_LOCKED)
        return False

    def _leaves_a_queue(self, state: State, call: Call) -> bool:
        """Whether it is answered as one whose ticket waits: that has nothing to do with leases."""
        if call.number not in self._queued:
            return False
        lock = state.key.lock or FREE
        ticket = operation_of(call).ticket  # type: ignore[union-attr]
        waiting = replace(lock, queue=(Waiter(ticket, "", 1, 0),))
        return _tells(self._apply(replace(state.key, lock=waiting), call)[1], call)

    # What nobody was told, and then showed

    def _bound(self, state: State, call: Call) -> Iterator[State]:
        """``state`` as time may have left it, and as it is if what was UNTOLD of it is what
        ``call`` was told of."""
        for now in self._timing.before(state, call):
            yield now
            for key in self._shown(now.key, call):
                yield now._replace(key=key)

    def _shown(self, key: Key, call: Call) -> Iterator[Key]:
        if not any(map(_has_untold, (key.active, key.finished))):
            return
        for stamp in (call.stamp, call.answer.stamp):
            if stamp is not None:
                active, finished = (self._told(each, stamp) for each in (key.active, key.finished))
                if active is not key.active:
                    yield replace(key, active=active)
                if finished is not key.finished:
                    yield replace(key, finished=finished)

    def _told(self, record: Record | None, stamp: Stamp) -> Record | None:
        if record is None:
            return None
        life, version, write = stamp
        meta = record.meta
        if meta.life == UNTOLD and life not in self._lives:
            meta = replace(meta, life=life)
        if meta.life != life:
            return record
        if meta.write == UNTOLD and meta.version == version and write not in self._writes:
            meta = replace(meta, write=write)
        return record if meta is record.meta else Record(meta, record.payload)


def _has_untold(record: Record | None) -> bool:
    return record is not None and UNTOLD in (record.meta.life, record.meta.write)


def _changes(call: Call) -> bool:
    return call.do in ("start", "update", "finish", "finish_session", "resume", "save")


def is_back(call: Call, since: int, at: int) -> bool:
    """Whether what ``call`` ended may be there again, once all became at ``at`` as it was at some
    time since ``since``."""
    return call.begin <= at and (call.end is None or call.end >= since)


def _claims(calls: list[Call], losses: Collection[tuple[int, int]]) -> set[int]:
    """The calls during which the lock may have been kept free for one who waits for it."""
    found: set[int] = set()
    takers = [call for call in calls if call.do in ("lock", "get_locked")]
    for call in calls:
        end = call.end
        if call.answer.what not in ("SessionLockedError", "LockNotAcquiredError") or end is None:
            continue
        for taker in takers:
            if taker.number != call.number and taker.begin <= end:
                lingers = (
                    taker.end is None
                    or taker.answer.what in _LEFT_BEHIND
                    or any(at <= end and is_back(taker, since, at) for since, at in losses)
                )
                if lingers or taker.end >= call.begin:
                    found.add(call.number)
                    break
    return found


def _queued(calls: list[Call], losses: Collection[tuple[int, int]]) -> set[int]:
    """The calls that let go of a ticket that may have been in the queue again.

    One that asks for no life is told the same if it had to be sent twice and the ticket is not
    even there: it may have been let go the first time.
    """
    takers = {call.number: call for call in calls if call.do in ("lock", "get_locked")}
    return {
        call.number
        for call in calls
        if call.do in ("unlock", "abandon") and call.hold is not None and call.end is not None
        for since, at in losses
        if at <= call.end and call.hold[0] in takers and is_back(takers[call.hold[0]], since, at)
    }


def _without_lease(key: Key, ticket: int) -> Iterator[Key]:
    lock = key.lock
    if lock is not None and lock.lease is not None and lock.lease.ticket == ticket:
        yield _timeless(replace(key, lock=replace(lock, lease=None)))


def operation_of(call: Call) -> Operation:
    """What the call asked, in the machine's terms."""
    id = -2 - call.number
    if call.is_ok and call.answer.stamp is not None and _changes(call):
        id = call.answer.stamp[2]
    payload = (call.value or "").encode()
    hold = None if call.hold is None else Hold(*call.hold)
    stamp = None if call.stamp is None else MachineStamp(*call.stamp)
    life = 0 if stamp is None else stamp.life
    ticket = call.number if call.hold is None else call.hold[0]
    match call.do:
        case "start":
            return Start(PLACE, id, payload, lock=hold)
        case "get":
            return Read(PLACE)
        case "get_finished":
            return Read(PLACE, finished=True)
        case "touch":
            return Touch(PLACE, life)
        case "update":
            assert stamp is not None
            return Write(PLACE, id, stamp, payload, hold)
        case "save":
            assert stamp is not None
            return Write(PLACE, id, stamp, payload, hold, release=True)
        case "finish":
            return Finish(PLACE, id, FOREVER, lock=hold)
        case "finish_session":
            return Finish(PLACE, id, FOREVER, stamp, payload, hold)
        case "resume":
            return Resume(PLACE, id, life, hold)
        case "delete":
            return Delete(PLACE, id, life)
        case "lock" | "get_locked":
            return Acquire(PLACE, ticket, FOREVER // 2, queue=False, read=call.do == "get_locked")
        case "unlock" | "abandon":
            return Release(PLACE, ticket, life)


def _tells(outcome: Outcome, call: Call) -> bool:
    """Whether ``outcome`` is what the call was told."""
    answer = call.answer
    if answer.what != "ok":
        if ERRORS.get(answer.what) is not type(outcome):
            return False
        if isinstance(outcome, InProgress):
            return _shows(outcome.found, call)
        return not isinstance(outcome, Stale) or outcome.actual == answer.version
    match outcome:
        case Found():
            return _shows(outcome, call)
        case Saved(meta):
            return call.do == "touch" or _is_at(meta, answer.stamp)
        case Granted(token, _, found):
            return token == answer.token and (found is None or _shows(found, call))
        case Deleted(existed):
            return existed == answer.existed
        case _:
            return isinstance(outcome, Released)


def _shows(found: Found, call: Call) -> bool:
    value = call.answer.value
    return _is_at(found.meta, call.answer.stamp) and found.payload == (value or "").encode()


def _is_at(meta: Meta, stamp: Stamp | None) -> bool:
    return stamp == (meta.life, meta.version, meta.write)


def _timeless(key: Key) -> Key:
    lock = key.lock
    if lock is not None:
        lease = lock.lease
        if lease is not None:
            lease = Lease(lease.ticket, lease.token, FOREVER, "")
        lock = Lock(lease, (), lock.token) if lock.token else None
    return Key(_timeless_record(key.active), _timeless_record(key.finished), lock)


def _timeless_record(record: Record | None) -> Record | None:
    if record is None:
        return None
    meta = record.meta
    life, write = max(meta.life, UNTOLD), max(meta.write, UNTOLD)
    timeless = Meta(
        life, meta.version, write, "", 0, 0, 0, 0, FOREVER, FOREVER, meta.finished and 1
    )
    return Record(timeless, record.payload)


def describe(key: Key) -> str:
    """``key`` in words."""
    parts: list[str] = []
    for name, record in (("active", key.active), ("finished", key.finished)):
        if record is not None:
            parts.append(f"{name}: version {record.meta.version}, {record.payload.decode()!r}")
    lease = (key.lock or FREE).lease
    if lease is not None:
        parts.append(f"locked with token {lease.token}")
    return "; ".join(parts) or "nothing"
