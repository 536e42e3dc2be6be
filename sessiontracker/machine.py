"""The specification, as code: what every operation on one slot means.

`apply(slot, operation, now)` is a pure function from a slot's state to its next
state and the operation's outcome. Memory and every compare-and-swap store run
it; every other backend is held against it. `settle` comes first and lets time
pass, so that no handler below it thinks about time.

Where several refusals apply, the first of: lock lost; not found; finished or
active; locked; stale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from .operations import (
    FOREVER,
    Acquire,
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
    Queued,
    Read,
    Release,
    Released,
    Renew,
    Resume,
    Saved,
    Stale,
    Start,
    Touch,
    Unknown,
    Write,
)
from .state import (
    FREE,
    NOTHING,
    REMEMBERED,
    Deed,
    Key,
    Lease,
    Lock,
    Record,
    Slot,
    Waiter,
    hand_over,
    is_alive,
    is_forgotten,
    settle,
)

__all__ = ["apply"]

_IDLE_SHARE = 20  # reading slides an idle timeout at most so many times in its length


Step = tuple[Key, Outcome]


def apply(slot: Slot, operation: Operation, now: int) -> tuple[Slot, Outcome]:
    """``slot`` after ``operation`` at ``now`` (µs), and the outcome.

    The very slot comes back where the operation changed nothing, even if time did.
    """
    name = operation.address.key
    ms = now // 1000
    key = settle(slot.keys.get(name, NOTHING), ms)
    after, outcome = _HANDLERS[type(operation)](key, operation, now)
    if after is key:
        return slot, outcome
    keys = slot.keys.copy()
    if is_forgotten(after, ms):
        keys.pop(name, None)
    else:
        keys[name] = after
    return Slot(keys), outcome


# Sliding ---------------------------------------------------------------------


def _expires(slid: int, idle: int, ends: int) -> int:
    return min(slid + idle, ends) if idle else ends


def _slide(record: Record, ms: int) -> Record:
    meta = record.meta
    expires = _expires(ms, meta.idle, meta.ends)
    return Record(replace(meta, slid=ms, expires=expires), record.payload)


def _slide_if_due(record: Record, touch_every: int | None, ms: int) -> Record:
    meta = record.meta
    if not meta.idle:
        return record
    every = meta.idle // _IDLE_SHARE
    if touch_every is not None and touch_every < every:
        every = touch_every
    return _slide(record, ms) if ms - meta.slid > every else record


# Who may ---------------------------------------------------------------------


def _is_lost(key: Key, hold: Hold | None) -> bool:
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


def _locked(key: Key, hold: Hold | None, ms: int) -> Locked | None:
    """The refusal of a writer that does not claim to hold the lock, if somebody does."""
    if hold is not None or key.lock is None or key.lock.lease is None:
        return None
    return Locked(key.lock.lease.holder, key.lock.lease.until - ms)


def _register(key: Key, hold: Hold | None, ms: int) -> Key:
    """``key`` with the token of a lock held elsewhere as the least that it accepts."""
    if hold is None or not hold.elsewhere:
        return key
    lock = key.lock or FREE
    if hold.token == lock.token:
        return key
    return replace(key, lock=replace(lock, token=hold.token, kept=ms + hold.keep))


def _absent(key: Key) -> Missing | IsFinished:
    return Missing() if key.finished is None else IsFinished()


def _refuse_writer(
    key: Key, operation: Write | Finish | Delete, ms: int
) -> Lost | Missing | IsFinished | Locked | Stale | None:
    """Why one who read a session may not change it now; by key (no stamp), whatever is there."""
    if _is_lost(key, operation.lock):
        return Lost()
    if key.active is None:
        return _absent(key)
    locked = _locked(key, operation.lock, ms)
    if locked is not None:
        return locked
    stamp, meta = operation.stamp, key.active.meta
    if stamp is not None and stamp != meta.stamp:
        return Stale(meta.version, meta.life == stamp.life)
    return None


# Repeats ---------------------------------------------------------------------


def _is_past_telling(key: Key, operation: Any, ms: int) -> bool:
    """Whether a repeat, whose own doing is nowhere to be seen, may have been done all the same.

    It was, and what it did has gone; or others have been here since it was first sent; or that
    was so long ago that the key may have forgotten it.
    """
    if operation.age == 0:
        return False
    deed = key.deed
    if deed is None:
        return bool(operation.age >= REMEMBERED)
    return bool(deed.id == operation.id or deed.time >= ms - operation.age)


def _was_perhaps_done(key: Key, operation: Any, ms: int) -> bool:
    """Whether a repeat that is refused may have been done before others came.

    Somebody who wrote the very next version did so instead of it; any later one may have
    built upon it.
    """
    stamp = operation.stamp
    if operation.age == 0 or stamp is None:
        return False
    for record in (key.active, key.finished):
        if record is not None and record.meta.life == stamp.life:
            return bool(record.meta.version > stamp.version + 1)
    return _is_past_telling(key, operation, ms)


def _deed(key: Key, id: int, ms: int) -> Deed:
    """What the key remembers of ``id``'s deed: no older than the last, if the clock went back."""
    return Deed(id, ms if key.deed is None else max(ms, key.deed.time))


# The session -----------------------------------------------------------------


def _start(key: Key, operation: Start, now: int) -> Step:
    ms = now // 1000
    adopt = operation.adopt
    life, version = (operation.id, 1) if adopt is None else (adopt.life, adopt.version + 1)
    for record in (key.active, key.finished):
        if record is not None and record.meta.life == life and record.meta.version >= version:
            # A repeat: whoever changed it since, this one has started what it started.
            meta = replace(record.meta, version=version, write=operation.id, finished=0)
            return key, Saved(meta)
    lost, active = _is_lost(key, operation.lock), key.active
    if active is not None and not lost:
        if operation.read:
            return _found(_register(key, operation.lock, ms), active, operation.touch_every, ms)
        return key, InProgress(Found(active.meta, active.payload))
    if _is_past_telling(key, operation, ms):
        return key, Unknown()
    if lost:
        return key, Lost()
    locked = _locked(key, operation.lock, ms)
    if locked is not None:
        return key, locked
    key = _begin(_register(key, operation.lock, ms), operation, life, version, ms)
    assert key.active is not None
    return key, Saved(key.active.meta)


def _has_begun(key: Key, start: Start) -> bool:
    """Whether what ``start`` asks for began before, as far as the key remembers."""
    if key.deed is not None and key.deed.id == start.id:
        return True
    return key.finished is not None and key.finished.meta.life == start.id


def _begin(key: Key, operation: Start, life: int, version: int, ms: int) -> Key:
    old = operation.adopt
    if old is not None:
        meta = replace(old, version=version, write=operation.id, owner=operation.owner, updated=ms)
    else:
        ends = min(ms + operation.absolute, FOREVER) if operation.absolute else FOREVER
        meta = Meta(
            life=life,
            version=version,
            write=operation.id,
            owner=operation.owner,
            started=ms,
            updated=ms,
            slid=ms,
            idle=operation.idle,
            ends=ends,
            expires=_expires(ms, operation.idle, ends),
        )
    return replace(key, active=Record(meta, operation.payload), deed=_deed(key, operation.id, ms))


def _found(key: Key, active: Record, touch_every: int | None, ms: int) -> Step:
    """The active session as it is read, slid if that is due."""
    record = _slide_if_due(active, touch_every, ms)
    if record is not active:
        key = replace(key, active=record)
    return key, Found(record.meta, record.payload)


def _read(key: Key, operation: Read, now: int) -> Step:
    if operation.lock is not None:
        if _is_lost(key, operation.lock):
            return key, Lost()
        if key.active is not None:
            key = _register(key, operation.lock, now // 1000)
    if operation.finished:
        if key.finished is not None:
            return key, Found(key.finished.meta, key.finished.payload)
        return key, Missing() if key.active is None else IsActive()
    active = key.active
    if active is None:
        return key, _absent(key)
    if operation.slide:
        return _found(key, active, operation.touch_every, now // 1000)
    return key, Found(active.meta, active.payload)


def _touch(key: Key, operation: Touch, now: int) -> Step:
    active = key.active
    if active is None:
        return key, _absent(key)
    if operation.life and operation.life != active.meta.life:
        return key, Missing()
    record = _slide(active, now // 1000)
    return replace(key, active=record), Saved(record.meta)


def _changed(meta: Meta, id: int, ms: int) -> Meta:
    """``meta`` after a change at ``ms``: the next version, its idle timeout begun anew."""
    expires = _expires(ms, meta.idle, meta.ends)
    return replace(meta, version=meta.version + 1, write=id, updated=ms, slid=ms, expires=expires)


def _write(key: Key, operation: Write, now: int) -> Step:
    ms = now // 1000
    active = key.active
    if active is not None and active.meta.write == operation.id:
        return key, Saved(active.meta)
    refusal = _refuse_writer(key, operation, ms)
    if refusal is not None:
        if _was_perhaps_done(key, operation, ms):
            return _let_go(key, operation, ms), Unknown()
        return (key if type(refusal) is Lost else _let_go(key, operation, ms)), refusal
    assert active is not None
    meta = _changed(active.meta, operation.id, ms)
    key = _register(_let_go(key, operation, ms), operation.lock, ms)
    key = replace(key, active=Record(meta, operation.payload), deed=_deed(key, operation.id, ms))
    return key, Saved(meta)


def _finish(key: Key, operation: Finish, now: int) -> Step:
    ms = now // 1000
    finished = key.finished
    if finished is not None and finished.meta.write == operation.id:
        return key, _finished_outcome(operation, finished)
    if operation.stamp is None and _is_past_telling(key, operation, ms):
        return key, Unknown()
    refusal = _refuse_writer(key, operation, ms)
    if refusal is not None:
        return key, Unknown() if _was_perhaps_done(key, operation, ms) else refusal
    active = key.active
    assert active is not None
    meta = replace(
        active.meta,
        version=active.meta.version + 1,
        write=operation.id,
        updated=ms,
        finished=ms,
        expires=min(ms + operation.retention, FOREVER),
    )
    payload = active.payload if operation.payload is None else operation.payload
    record = Record(meta, payload)
    key = replace(
        _register(key, operation.lock, ms),
        active=None,
        finished=record if operation.retention else None,
        deed=_deed(key, operation.id, ms),
    )
    return key, _finished_outcome(operation, record)


def _finished_outcome(operation: Finish, record: Record) -> Found | Saved:
    if operation.payload is None:
        return Found(record.meta, record.payload)
    return Saved(record.meta)


def _resume(key: Key, operation: Resume, now: int) -> Step:
    ms = now // 1000
    active, finished = key.active, key.finished
    if active is not None and active.meta.write == operation.id:
        return key, Found(active.meta, active.payload)
    if _is_past_telling(key, operation, ms):
        return key, Unknown()
    if _is_lost(key, operation.lock):
        return key, Lost()
    if active is not None:
        return key, IsActive()
    if finished is None or (operation.life and finished.meta.life != operation.life):
        return key, Missing()
    locked = _locked(key, operation.lock, ms)
    if locked is not None:
        return key, locked
    old = finished.meta
    ends = FOREVER if old.ends == FOREVER else min(old.ends + ms - old.finished, FOREVER)
    meta = _changed(replace(old, ends=ends, finished=0), operation.id, ms)
    key = replace(
        _register(key, operation.lock, ms),
        active=Record(meta, finished.payload),
        finished=None,
        deed=_deed(key, operation.id, ms),
    )
    return key, Found(meta, finished.payload)


def _delete(key: Key, operation: Delete, now: int) -> Step:
    ms = now // 1000
    if key.active is None and key.deed is not None and key.deed.id == operation.id:
        return key, Deleted(True)
    if operation.stamp is not None:
        refusal = _refuse_writer(key, operation, ms)
        if refusal is not None:
            return key, Unknown() if _was_perhaps_done(key, operation, ms) else refusal
        key = _register(key, operation.lock, ms)
        return replace(key, active=None, deed=_deed(key, operation.id, ms)), Deleted(True)
    if _is_past_telling(key, operation, ms):
        return key, Unknown()
    lives = {record.meta.life for record in (key.active, key.finished) if record is not None}
    if not lives or (operation.life and operation.life not in lives):
        return key, Deleted(False)
    key = replace(key, active=None, finished=None, deed=_deed(key, operation.id, ms))
    return key, Deleted(True)


# The lock --------------------------------------------------------------------


def _leave(key: Key, ticket: int, ms: int) -> Key:
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


def _let_go(key: Key, operation: Write, ms: int) -> Key:
    if not operation.release or operation.lock is None:
        return key
    return _leave(key, operation.lock.ticket, ms)


def _acquire(key: Key, operation: Acquire, now: int) -> Step:
    ms = now // 1000
    ticket, start = operation.ticket, operation.start
    lock = key.lock or FREE
    lease = lock.lease
    mine = lease is not None and lease.ticket == ticket
    token = lease.token if lease is not None and mine else 0
    # A repeat begins nothing again: its session was there once, and has gone since.
    begins = start is not None and not token and not _has_begun(key, start)
    if key.active is None and not begins and (operation.read or start is not None):
        return _leave(key, ticket, ms), _absent(key)
    if lock.released == ticket:
        return key, Lost()  # it comes after its release: nobody would let go again
    if lease is not None and not mine:
        if operation.queue:
            return _enqueue(key, lock, lease, operation, ms)
        return _leave(key, ticket, ms), Locked(lease.holder, lease.until - ms)
    token = token or max(lock.token + 1, now)
    until = ms + operation.lease
    lock = replace(
        lock,
        lease=Lease(ticket, token, until, operation.holder),
        token=max(lock.token, token),
        kept=until + operation.keep,
    )
    key = replace(key, lock=lock)
    if not operation.read and start is None:
        return key, Granted(token, operation.lease)
    if key.active is None:
        assert start is not None
        key = _begin(key, start, start.id, 1, ms)
    assert key.active is not None
    key, found = _found(key, key.active, operation.touch_every, ms)
    assert isinstance(found, Found)
    return key, Granted(token, operation.lease, found)


def _enqueue(key: Key, lock: Lock, lease: Lease, operation: Acquire, ms: int) -> Step:
    """``operation`` in line: at the end the first time, then a sign of life where it stands."""
    every = operation.look_every
    waiter = Waiter(operation.ticket, operation.holder, every, ms)
    for ahead, known in enumerate(lock.queue):
        if known.ticket == operation.ticket:
            queue = (*lock.queue[:ahead], waiter, *lock.queue[ahead + 1 :])
            # Looks in quick succession say nothing new, and then change nothing.
            fresh = known.every == every and ms - known.seen < every // 4
            break
    else:
        alive = [known for known in lock.queue if is_alive(known, ms)]
        ahead, queue, fresh = len(alive), (*alive, waiter), False
    if not fresh:
        key = replace(key, lock=replace(lock, queue=queue))
    look_in = every if ahead else max(1, min(every, lease.until - ms))
    return key, Queued(lease.holder, ahead, look_in)


def _renew(key: Key, operation: Renew, now: int) -> Step:
    lock = key.lock
    if lock is None or _is_lost(key, Hold(operation.ticket, operation.token)):
        return key, Lost()
    assert lock.lease is not None
    until = now // 1000 + operation.lease
    lease = replace(lock.lease, until=until)
    key = replace(key, lock=replace(lock, lease=lease, kept=until + operation.keep))
    return key, Granted(operation.token, operation.lease)


def _release(key: Key, operation: Release, now: int) -> Step:
    after = _leave(key, operation.ticket, now // 1000)
    if after is key:
        if key.lock is None or key.lock.released != operation.ticket:
            return key, Unknown() if operation.age else Lost()
    active = key.active
    if not operation.life or (active is not None and active.meta.life == operation.life):
        return after, Released()
    return after, _absent(key) if active is None else Missing()


_HANDLERS: dict[type[Operation], Callable[[Key, Any, int], Step]] = {
    Start: _start,
    Read: _read,
    Touch: _touch,
    Write: _write,
    Finish: _finish,
    Resume: _resume,
    Delete: _delete,
    Acquire: _acquire,
    Renew: _renew,
    Release: _release,
}
