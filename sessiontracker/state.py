"""What a slot holds, and what time alone does to it.

All values are frozen: a step makes a new one. They are what memory keeps in its
dictionary and what a compare-and-swap store keeps as one blob.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from .operations import FOREVER, Meta, Shared

__all__ = [
    "ALIVE",
    "CLAIM",
    "EMPTY",
    "FREE",
    "NOTHING",
    "Deed",
    "Ending",
    "Key",
    "Lease",
    "Lock",
    "Record",
    "Slot",
    "Waiter",
    "claimed",
    "due",
    "hand_over",
    "has_sessions",
    "is_empty",
    "is_forgotten",
    "put",
    "settle",
    "settle_owner",
    "sweep",
]

REMEMBERED = 60_000
"""How long, in ms, a key without a session remembers the last thing done to it."""

ALIVE = 2.0  # a waiter is alive for so many of its intervals after its last look
CLAIM = 1.5  # and its claim lasts so many of them: time enough for the living to look again


class Record(Struct, frozen=True, array_like=True, gc=False):
    """A session as it is kept."""

    meta: Meta
    payload: bytes


class Waiter(Struct, frozen=True, array_like=True, gc=False):
    """One who waits for the lock: ``every`` ms it looks again, ``seen`` was its last look."""

    ticket: int
    holder: str
    every: int
    seen: int


class Lease(Struct, frozen=True, array_like=True, gc=False):
    """Who has the lock ``until`` when. Without a token it is a claim: kept free for a waiter."""

    ticket: int
    token: int
    until: int
    holder: str


class Lock(Struct, frozen=True, array_like=True, gc=False):
    """A key's lock: its lease, its queue, its last token (``kept`` until when), who let go last."""

    lease: Lease | None = None
    queue: tuple[Waiter, ...] = ()
    token: int = 0
    kept: int = 0
    released: int = 0


class Deed(Struct, frozen=True, array_like=True, gc=False):
    """The last operation that changed a key's sessions, and when."""

    id: int
    time: int


class Key(Struct, frozen=True, array_like=True, gc=False):
    """What a slot holds under one key: two places for sessions, a lock and a memory."""

    active: Record | None = None
    finished: Record | None = None
    lock: Lock | None = None
    deed: Deed | None = None


class Ending(Struct, frozen=True, array_like=True, gc=False):
    """The last operation that ended an owner's sessions all at once: when, and how many."""

    id: int
    time: int
    count: int


class Slot(Struct, frozen=True, array_like=True):
    """All that is decided in one step: one key of a plain session, all keys of an owner.

    An owner's holds what its sessions share as well, and a memory of its own.
    """

    keys: dict[str, Key]
    shared: Shared | None = None
    ending: Ending | None = None


EMPTY = Slot({})
NOTHING = Key()
FREE = Lock()


# Time ------------------------------------------------------------------------


def settle(key: Key, ms: int) -> Key:
    """``key`` as it is at ``ms``: without what expired, a lapsed lease with its next waiter."""
    active, finished, lock = key.active, key.finished, key.lock
    if active is not None and ms >= active.meta.expires:
        key = replace(key, active=None)
    if finished is not None and ms >= finished.meta.expires:
        key = replace(key, finished=None)
    if lock is not None and lock.lease is not None and ms >= lock.lease.until:
        key = replace(key, lock=hand_over(lock, ms))
    return key


def has_sessions(slot: Slot, ms: int) -> bool:
    """Whether there is a session in ``slot``, active or finished, at ``ms``."""
    for key in slot.keys.values():
        for record in (key.active, key.finished):
            if record is not None and ms < record.meta.expires:
                return True
    return False


def settle_owner(slot: Slot, ms: int) -> Slot:
    """``slot`` as its owner's whole is at ``ms``: without what was shared by sessions long gone,
    and without the memory of an ending that nobody will ask about."""
    shared, ending = slot.shared, slot.ending
    if shared is not None and ms >= _shared_kept(shared) and not has_sessions(slot, ms):
        shared = None
    if ending is not None and ms >= ending.time + REMEMBERED:
        ending = None
    if shared is slot.shared and ending is slot.ending:
        return slot
    return Slot(slot.keys, shared, ending)


def _shared_kept(shared: Shared) -> int:
    """Until when it lives without sessions: also until the clock is above its version."""
    return max(shared.kept, shared.version // 1000 + 1)


def sweep(slot: Slot, now: int) -> tuple[Slot, int]:
    """``slot`` without what expired and what need not be remembered; how many sessions went."""
    ms = now // 1000
    gone = 0
    keys: dict[str, Key] = {}
    changed = False
    for name, key in slot.keys.items():
        after = settle(key, ms)
        gone += (key.active is not after.active) + (key.finished is not after.finished)
        if is_forgotten(after, ms):
            changed = True
            continue
        changed |= after is not key
        keys[name] = after
    if changed:
        slot = Slot(keys, slot.shared, slot.ending)
    return settle_owner(slot, ms), gone


def is_empty(slot: Slot) -> bool:
    """Whether ``slot`` holds nothing, and need not be kept."""
    return not slot.keys and slot.shared is None and slot.ending is None


def due(slot: Slot, changed: str = "") -> int:
    """When, in ms, `sweep` next has something to remove from ``slot``; FOREVER: never.

    With ``changed``, the one key that has changed since this was last asked, it is that, or
    what was answered then, whichever is sooner.
    """
    key = slot.keys.get(changed)
    if key is not None and (key.active is not None or key.finished is not None):
        return _due(key)
    soonest = min((_due(key) for key in slot.keys.values()), default=FOREVER)
    if slot.ending is not None:
        soonest = min(soonest, slot.ending.time + REMEMBERED)
    if slot.shared is not None and not has_sessions(slot, 0):
        soonest = min(soonest, _shared_kept(slot.shared))
    return soonest


def _due(key: Key) -> int:
    sessions = [record.meta.expires for record in (key.active, key.finished) if record is not None]
    if sessions:
        return min(sessions)
    until = 0 if key.deed is None else key.deed.time + REMEMBERED
    if key.lock is not None:
        lease = key.lock.lease
        until = max(until, _token_kept(key.lock) + 1, 0 if lease is None else lease.until + 1)
    return until


def _token_kept(lock: Lock) -> int:
    """Until when the last token must be known: after that, the clock is above it."""
    return max(lock.kept, lock.token // 1000)


def is_forgotten(key: Key, ms: int) -> bool:
    """Whether nothing of ``key`` lives, so that forgetting it breaks no promise."""
    if key.active is not None or key.finished is not None:
        return False
    if key.deed is not None and ms < key.deed.time + REMEMBERED:
        return False
    lock = key.lock
    return lock is None or (lock.lease is None and ms > _token_kept(lock))


def put(slot: Slot, name: str, key: Key, ms: int) -> Slot:
    """``slot`` with ``key`` under ``name``, or without it if nothing of it lives."""
    keys = slot.keys.copy()
    if is_forgotten(key, ms):
        keys.pop(name, None)
    else:
        keys[name] = key
    return Slot(keys, slot.shared, slot.ending)


def _claim(waiter: Waiter) -> int:
    """For how long, in ms, the lock is kept free for ``waiter``."""
    return int(CLAIM * waiter.every)


def hand_over(lock: Lock, ms: int) -> Lock:
    """``lock`` with its lease gone: claimed for the first waiter that is alive, or free.

    If that was a claim that nobody took, all who have not looked in the meantime are taken for
    dead, so that those who died together cost the others no more than this one.
    """
    queue, lease = lock.queue, lock.lease
    if lease is not None and not lease.token and ms >= lease.until:
        queue = tuple(waiter for waiter in queue if ms < waiter.seen + _claim(waiter))
    for index, waiter in enumerate(queue):
        if ms < waiter.seen + ALIVE * waiter.every:
            lease = Lease(waiter.ticket, 0, ms + _claim(waiter), waiter.holder)
            return replace(lock, lease=lease, queue=queue[index + 1 :])
    return replace(lock, lease=None, queue=())


def claimed(before: Slot, after: Slot, key: str) -> int:
    """The ticket that a step gave a claim on ``key``'s lock, to be woken; 0 if none."""
    new = after.keys.get(key, NOTHING).lock
    if new is None or new.lease is None or new.lease.token:
        return 0
    old = before.keys.get(key, NOTHING).lock
    return 0 if old is not None and old.lease == new.lease else new.lease.ticket
