"""The specification, as code: what every operation on one slot means.

`apply(slot, operation, now)` is a pure function from a slot's state to its next
state and the operation's outcome. Memory and every compare-and-swap store run
it; every other backend is held against it. `settle` comes first and lets time
pass, so that no handler below it thinks about time.

Where several refusals apply, the first of: lock lost; not found; finished or
active; locked; stale; limit.

What concerns one key is in `rules` (who may), `sessions` and `locks`; what an
owner's keys have to do with each other, in `owners`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..operations import (
    Acquire,
    CountOwner,
    Delete,
    EndOwner,
    Finish,
    Found,
    ListOwner,
    Operation,
    Outcome,
    Pong,
    Read,
    ReadShared,
    Release,
    Renew,
    Resume,
    Rotate,
    Start,
    Time,
    Touch,
    Write,
    WriteShared,
)
from ..state import NOTHING, Key, Slot, put, settle
from . import locks, owners, sessions

__all__ = ["apply", "concerns_others", "concerns_the_ended", "depends_on_time"]


def _tell_time(key: Key, _: Time, now: int) -> tuple[Key, Outcome]:
    return key, Pong(now)


_OF_A_KEY: dict[type[Operation], Callable[[Key, Any, int], tuple[Key, Outcome]]] = {
    Start: sessions.start,
    Read: sessions.read,
    Touch: sessions.touch,
    Write: sessions.write,
    Finish: sessions.finish,
    Resume: sessions.resume,
    Delete: sessions.delete,
    Acquire: locks.acquire,
    Renew: locks.renew,
    Release: locks.release,
    Time: _tell_time,
}

_OF_AN_OWNER: dict[type[Operation], Callable[[Slot, Any, int], tuple[Slot, Outcome]]] = {
    Rotate: owners.rotate,
    ListOwner: owners.list_,
    CountOwner: owners.count,
    EndOwner: owners.end,
    ReadShared: owners.read_shared,
    WriteShared: owners.write_shared,
}


def apply(slot: Slot, operation: Operation, now: int) -> tuple[Slot, Outcome]:
    """``slot`` after ``operation`` at ``now`` (µs), and the outcome.

    The very slot comes back where the operation changed nothing, even if time did.
    """
    address = operation.address
    if address.scope:
        return _apply_to_owned(slot, operation, now)
    ms = now // 1000
    key = settle(slot.keys.get(address.key, NOTHING), ms)
    after, outcome = _OF_A_KEY[type(operation)](key, operation, now)
    if after is key:
        return slot, outcome
    return put(slot, address.key, after, ms), outcome


def _apply_to_owned(slot: Slot, operation: Operation, now: int) -> tuple[Slot, Outcome]:
    as_a_whole = _OF_AN_OWNER.get(type(operation))
    if as_a_whole is not None:
        return as_a_whole(slot, operation, now)
    ms = now // 1000
    known = settle(slot.keys.get(operation.address.key, NOTHING), ms)
    key = owners.remembering(known, operation, slot.ending)
    after, outcome = _OF_A_KEY[type(operation)](key, operation, now)
    if after is key:
        return slot, owners.with_owner(outcome, operation, slot)
    after = owners.forgetting(after, key, known)
    if after.active is not None and known.active is None:
        return owners.admit(slot, known, after, operation, outcome, ms)
    slot = put(slot, operation.address.key, after, ms)
    return slot, owners.with_owner(outcome, operation, slot)


def concerns_others(operation: Operation) -> bool:
    """Whether the outcome depends on other keys of an owner's slot than the operation's own.

    For any other operation, a slot with that key alone, and what the owner shares and
    remembers, will do.
    """
    if isinstance(operation, Acquire):
        return operation.start is not None
    if isinstance(operation, Resume):
        return operation.limit is not None
    return isinstance(operation, Start) or type(operation) in _OF_AN_OWNER


def concerns_the_ended(operation: Operation) -> bool:
    """Whether the outcome depends on what those other keys remember that hold no session any more.

    For whatever else `concerns_others`, they may be left out.
    """
    return isinstance(operation, EndOwner) and operation.since > 0


def depends_on_time(outcome: Outcome) -> bool:
    """Whether ``outcome`` may be what it is because something has lapsed.

    That holds for good only once nobody can prolong it any longer, who was in time and is about
    to have it stored. What was found is there, whatever else has lapsed.
    """
    return not isinstance(outcome, (Found, Pong))
