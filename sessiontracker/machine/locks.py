"""Operations on a key's lock."""

from __future__ import annotations

from msgspec.structs import replace

from ..operations import (
    Acquire,
    Found,
    Granted,
    Hold,
    Locked,
    Lost,
    Missing,
    Outcome,
    Queued,
    Release,
    Released,
    Renew,
    Unknown,
)
from ..state import ALIVE, FREE, Key, Lease, Lock, Waiter
from .rules import absent, is_lost, leave
from .sessions import begin, has_begun, read_active

__all__ = ["acquire", "release", "renew"]

Step = tuple[Key, Outcome]


def acquire(key: Key, operation: Acquire, now: int) -> Step:
    ms = now // 1000
    ticket, start = operation.ticket, operation.start
    lock = key.lock or FREE
    lease = lock.lease
    mine = lease is not None and lease.ticket == ticket
    token = lease.token if lease is not None and mine else 0
    # A repeat begins nothing again: its session was there once, and has gone since.
    begins = start is not None and not token and not has_begun(key, start)
    if key.active is None and not begins and (operation.read or start is not None):
        return leave(key, ticket, ms), absent(key)
    if lock.released == ticket:
        return key, Lost()  # it comes after its release: nobody would let go again
    if lease is not None and not mine:
        if operation.queue:
            return _enqueue(key, lock, lease, operation, ms)
        return leave(key, ticket, ms), Locked(lease.holder, lease.until - ms)
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
        key = begin(key, start, start.id, 1, ms)
    assert key.active is not None
    key, found = read_active(key, key.active, operation.touch_every, ms)
    assert isinstance(found, Found)
    return key, Granted(token, operation.lease, found)


def _enqueue(key: Key, lock: Lock, lease: Lease, operation: Acquire, ms: int) -> Step:
    """``operation`` in line: at the end the first time, then a sign of life where it stands."""
    every = operation.look_every
    waiter = Waiter(operation.ticket, operation.holder, every, ms)
    tickets = [known.ticket for known in lock.queue]
    if operation.ticket in tickets:
        ahead = tickets.index(operation.ticket)
        known = lock.queue[ahead]
        queue = (*lock.queue[:ahead], waiter, *lock.queue[ahead + 1 :])
        # Looks in quick succession say nothing new, and then change nothing; but for those at a
        # claim, which may begin with this one, and has to be survived.
        quick = known.every == every and ms - known.seen < every // 4
        fresh = quick and lease.token > 0
    else:
        alive = [known for known in lock.queue if ms < known.seen + ALIVE * known.every]
        ahead, queue, fresh = len(alive), (*alive, waiter), False
    if not fresh:
        key = replace(key, lock=replace(lock, queue=queue))
    # All look when the lease ends: those ahead may be dead by then.
    look_in = max(1, min(every, lease.until - ms))
    return key, Queued(lease.holder, ahead, look_in)


def renew(key: Key, operation: Renew, now: int) -> Step:
    lock = key.lock
    if lock is None or is_lost(key, Hold(operation.ticket, operation.token)):
        return key, Lost()
    assert lock.lease is not None
    until = now // 1000 + operation.lease
    lease = replace(lock.lease, until=until)
    key = replace(key, lock=replace(lock, lease=lease, kept=until + operation.keep))
    return key, Granted(operation.token, operation.lease)


def release(key: Key, operation: Release, now: int) -> Step:
    after = leave(key, operation.ticket, now // 1000)
    before = after is key  # if ever
    if before and (key.lock is None or key.lock.released != operation.ticket):
        return key, Unknown() if operation.since else Lost()
    active = key.active
    if not operation.life or (active is not None and active.meta.life == operation.life):
        return after, Released()
    if before and operation.since:  # it may have been there then, and have ended since
        return key, Unknown()
    return after, absent(key) if active is None else Missing()
