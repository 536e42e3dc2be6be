"""Broken in what they do with locks."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from sessiontracker.operations import (
    Acquire,
    Delete,
    Granted,
    Hold,
    IsFinished,
    Missing,
    Outcome,
    Queued,
    Release,
    Released,
    Renew,
)
from sessiontracker.state import FREE, Lease, Slot

from .twin import Twin, key_of, with_key


class TokenFallsAfterExpiry(Twin):
    meant = "test_locks.py::test_tokens_rise_through_expiry"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        old = key_of(slot, operation).lock
        after, outcome = super().apply(slot, operation, now)
        key = key_of(after, operation)
        if isinstance(operation, Acquire) and isinstance(outcome, Granted):
            if old and old.lease and old.lease.token and now // 1000 >= old.lease.until:
                assert key.lock is not None
                assert key.lock.lease is not None
                token = old.lease.token - 1
                lock = replace(key.lock, token=token, lease=replace(key.lock.lease, token=token))
                after = with_key(after, operation, replace(key, lock=lock))
                outcome = replace(outcome, token=token)
        return after, outcome


class TokenFallsAfterDeletion(Twin):
    meant = "test_locked_sessions.py::test_tokens_rise_through_deletion"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = super().apply(slot, operation, now)
        key = key_of(after, operation)
        if isinstance(operation, Delete) and after is not slot and key.lock is not None:
            after = with_key(after, operation, replace(key, lock=replace(key.lock, token=0)))
        return after, outcome


class RenewsALockOfAnother(Twin):
    meant = "test_locks.py::test_a_lock_of_another_is_not_renewed"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        lock = key_of(slot, operation).lock
        if isinstance(operation, Renew) and lock is not None and lock.lease is not None:
            if operation.token == lock.lease.token:
                operation = replace(operation, ticket=lock.lease.ticket)
        return super().apply(slot, operation, now)


class ReCreatesAnExpiredLease(Twin):
    meant = "test_locks.py::test_a_lease_that_ran_out_is_not_renewed"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        if isinstance(operation, Renew) and key.lock is not None and key.lock.lease is not None:
            lease = replace(key.lock.lease, until=now)
            slot = with_key(slot, operation, replace(key, lock=replace(key.lock, lease=lease)))
        return super().apply(slot, operation, now)


class ReleasesALockOfAnother(Twin):
    meant = "test_locks.py::test_a_lock_of_another_is_not_released"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        lock = key_of(slot, operation).lock
        if isinstance(operation, Release) and lock is not None and lock.lease is not None:
            waiting = any(waiter.ticket == operation.ticket for waiter in lock.queue)
            if not waiting and not operation.since:
                operation = replace(operation, ticket=lock.lease.ticket)
        return super().apply(slot, operation, now)


class ReleasingTakesTheNextOnesLock(Twin):
    """A release that comes again lets go of whatever is held by then."""

    meant = "test_retries.py::test_a_release_again_does_not_touch_the_next_holder"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        lock = key_of(slot, operation).lock
        if isinstance(operation, Release) and operation.since and lock and lock.lease:
            operation = replace(operation, ticket=lock.lease.ticket)
        return super().apply(slot, operation, now)


class AcceptsAWriteUnderALapsedLease(Twin):
    """Nobody took over, so what could be wrong?"""

    meant = "test_locked_sessions.py::test_a_write_under_a_lapsed_lease_is_refused"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        hold = getattr(operation, "lock", None)
        if isinstance(hold, Hold) and key.lock is not None and key.lock.lease is not None:
            lease = replace(key.lock.lease, until=max(key.lock.lease.until, now))
            slot = with_key(slot, operation, replace(key, lock=replace(key.lock, lease=lease)))
        return super().apply(slot, operation, now)


class LetsAnybodyWriteWhileItIsLocked(Twin):
    meant = (
        "test_locked_sessions.py::test_a_locked_session_is_read_by_all_and_written_by_its_holder"
    )

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        lock = key_of(slot, operation).lock
        if getattr(operation, "lock", 0) is None and lock and lock.lease and lock.lease.token:
            if now // 1000 < lock.lease.until:
                hold = Hold(lock.lease.ticket, lock.lease.token)
                operation = replace(operation, lock=hold)
        return super().apply(slot, operation, now)


class LocksAMissingSession(Twin):
    meant = "test_locked_sessions.py::test_a_missing_session_leaves_no_lock"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = super().apply(slot, operation, now)
        key = key_of(after, operation)
        lock = key.lock or FREE
        if isinstance(operation, Acquire) and isinstance(outcome, (Missing, IsFinished)):
            if lock.lease is None:
                lease = Lease(operation.ticket, now, now // 1000 + operation.lease, "")
                after = with_key(after, operation, replace(key, lock=replace(lock, lease=lease)))
        return after, outcome


class ServesTheLastFirst(Twin):
    """An unfair queue, declared fair."""

    meant = "test_waiting.py::test_first_come_first_served"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        turned = isinstance(operation, Release) and key.lock is not None
        if turned and key.lock and len(key.lock.queue) > 1:
            lock = replace(key.lock, queue=key.lock.queue[::-1])
            slot = with_key(slot, operation, replace(key, lock=lock))
        return super().apply(slot, operation, now)


class LetsNewcomersInFirst(Twin):
    """A lock that is let go is kept for nobody."""

    meant = "test_waiting.py::test_a_released_lock_is_kept_for_the_waiter"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        if isinstance(operation, Acquire) and key.lock is not None and key.lock.lease is not None:
            if not key.lock.lease.token and key.lock.lease.ticket != operation.ticket:
                slot = with_key(slot, operation, replace(key, lock=replace(key.lock, lease=None)))
        return super().apply(slot, operation, now)


class LeavesTheTicketOfOneWhoLeft(Twin):
    meant = "test_waiting.py::test_a_waiter_that_leaves_leaves_nothing"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        lock = key_of(slot, operation).lock
        if isinstance(operation, Release) and lock is not None:
            if any(waiter.ticket == operation.ticket for waiter in lock.queue):
                return slot, Released()
        return super().apply(slot, operation, now)


class ADeadWaiterBlocksTheRest(Twin):
    """A claim lasts as long as a lease."""

    meant = "test_waiting.py::test_a_dead_waiter_costs_one_claim"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = super().apply(slot, operation, now)
        key = key_of(after, operation)
        if isinstance(operation, Release) and key.lock and key.lock.lease and after is not slot:
            lease = replace(key.lock.lease, until=now // 1000 + 3_600_000)
            after = with_key(after, operation, replace(key, lock=replace(key.lock, lease=lease)))
        return after, outcome


class OnlyTheFirstLooksWhenTheLeaseEnds(Twin):
    """Whoever is behind one who has died sleeps on."""

    meant = "test_waiting.py::test_all_who_wait_look_again_when_the_lease_ends"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = super().apply(slot, operation, now)
        if isinstance(outcome, Queued) and outcome.ahead:
            outcome = replace(outcome, look_in=operation.look_every)
        return after, outcome


class EachDeadWaiterHasAClaim(Twin):
    """One after the other, though all have died at once."""

    meant = "test_waiting.py::test_dead_waiters_cost_one_claim_together"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        lease = key.lock.lease if key.lock is not None else None
        if key.lock is not None and lease is not None and now // 1000 >= lease.until:
            lock = replace(key.lock, lease=replace(lease, token=lease.token or 1))
            slot = with_key(slot, operation, replace(key, lock=lock))
        return super().apply(slot, operation, now)
