"""What every handler asks: who may, was it done before, and what letting a lock go does."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ..operations import (
    Delete,
    Finish,
    Hold,
    IsFinished,
    Locked,
    Lost,
    Missing,
    Rotate,
    Stale,
    Write,
)
from ..state import FREE, REMEMBERED, Deed, Key, hand_over

__all__ = [
    "absent",
    "held_by_another",
    "is_lost",
    "is_past_telling",
    "leave",
    "let_go",
    "refuse_writer",
    "register",
    "remember",
    "was_perhaps_done",
]

# Who may ---------------------------------------------------------------------


def is_lost(key: Key, hold: Hold | None) -> bool:
    """Whether a writer claims to hold a lock that it does not hold."""
    if hold is None:
        return False
    lock = key.lock or FREE
    if hold.elsewhere:
        return hold.token < lock.token
    lease = lock.lease
    return (
        lease is None or not lease.token or lease.ticket != hold.ticket or lease.token != hold.token
    )


def held_by_another(key: Key, hold: Hold | None, ms: int) -> Locked | None:
    """The refusal of a writer that does not claim to hold the lock, if somebody does."""
    if hold is not None or key.lock is None or key.lock.lease is None:
        return None
    return Locked(key.lock.lease.holder, key.lock.lease.until - ms)


def register(key: Key, hold: Hold | None, ms: int) -> Key:
    """``key`` with the token of a lock held elsewhere as the least that it accepts."""
    if hold is None or not hold.elsewhere:
        return key
    lock = key.lock or FREE
    if hold.token == lock.token:
        return key
    return replace(key, lock=replace(lock, token=hold.token, kept=ms + hold.keep))


def absent(key: Key) -> Missing | IsFinished:
    return Missing() if key.finished is None else IsFinished()


def refuse_writer(
    key: Key, operation: Write | Finish | Delete | Rotate, ms: int
) -> Lost | Missing | IsFinished | Locked | Stale | None:
    """Why one who read a session may not change it now; by key (no stamp), whatever is there."""
    if is_lost(key, operation.lock):
        return Lost()
    if key.active is None:
        return absent(key)
    locked = held_by_another(key, operation.lock, ms)
    if locked is not None:
        return locked
    stamp, meta = operation.stamp, key.active.meta
    if stamp is not None and stamp != meta.stamp:
        return Stale(meta.version, meta.life == stamp.life)
    return None


# Letting go ------------------------------------------------------------------


def leave(key: Key, ticket: int, ms: int) -> Key:
    """``key`` without ``ticket``'s lease or claim, or its place in the queue."""
    lock = key.lock
    if lock is None:
        return key
    if lock.lease is not None and lock.lease.ticket == ticket:
        if lock.lease.token:
            lock = replace(lock, released=ticket)
        return replace(key, lock=hand_over(lock, ms))
    queue = tuple(waiter for waiter in lock.queue if waiter.ticket != ticket)
    return key if len(queue) == len(lock.queue) else replace(key, lock=replace(lock, queue=queue))


def let_go(key: Key, operation: Write, ms: int) -> Key:
    if not operation.release or operation.lock is None:
        return key
    return leave(key, operation.lock.ticket, ms)


# Repeats ---------------------------------------------------------------------


def is_past_telling(key: Key, operation: Any, ms: int) -> bool:
    """Whether a repeat, whose own doing is nowhere to be seen, may have been done all the same.

    It was, and what it did has gone; or others have been here since it was first sent; or that
    was so long ago that the key may have forgotten it.
    """
    if operation.since == 0:
        return False
    deed = key.deed
    if deed is None:
        return bool(ms - operation.since >= REMEMBERED)
    return bool(deed.id == operation.id or deed.time >= operation.since)


def was_perhaps_done(key: Key, operation: Any, ms: int) -> bool:
    """Whether a repeat that is refused may have been done before others came.

    Somebody who wrote the very next version did so instead of it; any later one may have
    built upon it.
    """
    stamp = operation.stamp
    if operation.since == 0 or stamp is None:
        return False
    for record in (key.active, key.finished):
        if record is not None and record.meta.life == stamp.life:
            return bool(record.meta.version > stamp.version + 1)
    return is_past_telling(key, operation, ms)


def remember(key: Key, id: int, ms: int) -> Deed:
    """What the key remembers of ``id``'s deed: no older than the last, if the clock went back."""
    return Deed(id, ms if key.deed is None else max(ms, key.deed.time))
