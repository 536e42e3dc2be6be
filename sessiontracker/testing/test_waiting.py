"""Waiting for a lock: in line, given a claim, woken, and gone without a trace."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from ..contract import Capability, new_id
from ..operations import Acquire, Address, Granted, Locked, Queued, Release, Released, Renew
from .harness import LONG, Store, at_once, await_grant, lasts, take, try_to_take


def queue(store: Store, address: Address, *, every: float = 10) -> int:
    """Get in line, looking again ``every`` so many ticks: the ticket."""
    ticket = new_id()
    store.expect(_look(store, address, ticket, every=every), Queued)
    return ticket


def _look(store: Store, address: Address, ticket: int, *, every: float = 10) -> Acquire:
    return Acquire(address, ticket, LONG, look_every=int(every * store.tick))


def test_a_waiter_gets_the_lock_when_it_is_released(locks: Store, address: Address) -> None:
    holder, token = take(locks, address)
    waiter = queue(locks, address)
    locks.expect(_look(locks, address, waiter), Queued)
    locks.expect(Release(address, holder), Released)
    granted = locks.expect(_look(locks, address, waiter), Granted)
    assert granted.token > token
    assert lasts(locks, granted, LONG)
    locks.expect(Renew(address, waiter, granted.token, LONG), Granted)


def test_a_released_lock_is_kept_for_the_waiter(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    waiter = queue(locks, address)
    locks.expect(Release(address, holder), Released)
    assert not try_to_take(locks, address), "a newcomer went before one who waited"
    locks.expect(_look(locks, address, waiter), Granted)


def test_a_waiter_gets_the_lock_when_the_lease_runs_out(locks: Store, address: Address) -> None:
    take(locks, address, lease=2 * locks.tick)
    waiter = queue(locks, address)
    locks.elapse(2)
    assert not try_to_take(locks, address), "a newcomer went before one who waited"
    locks.expect(_look(locks, address, waiter), Granted)


def test_all_who_wait_look_again_when_the_lease_ends(locks: Store, address: Address) -> None:
    take(locks, address, lease=3 * locks.tick)
    for _ in range(2):
        queued = locks.expect(_look(locks, address, new_id(), every=20), Queued)
        assert 0 < queued.look_in <= 3 * locks.tick


def test_a_dead_waiter_costs_one_claim(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    dead = queue(locks, address, every=2)
    alive = queue(locks, address, every=20)
    locks.expect(Release(address, holder), Released)
    queued = locks.expect(_look(locks, address, alive, every=20), Queued)
    assert queued.look_in <= 3 * locks.tick, "the claim is longer than 1.5 intervals"
    locks.elapse(3)  # 1.5 times the interval that the dead one had announced
    locks.expect(_look(locks, address, alive, every=20), Granted)
    locks.expect(_look(locks, address, dead), Queued)


def test_dead_waiters_cost_one_claim_together(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    dead = [queue(locks, address, every=4) for _ in range(3)]
    alive = queue(locks, address, every=20)
    dead.append(queue(locks, address, every=4))
    locks.expect(Release(address, holder), Released)
    locks.expect(_look(locks, address, alive, every=20), Queued)
    locks.elapse(6)  # 1.5 times the interval of those who died
    locks.expect(_look(locks, address, alive, every=20), Granted)
    locks.expect(Release(address, alive), Released)
    assert try_to_take(locks, address), "the lock is kept for one who was dead before"


def test_a_claim_that_nobody_took_costs_the_living_no_place(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    queue(locks, address, every=2)
    first, second = queue(locks, address, every=20), queue(locks, address, every=20)
    locks.expect(Release(address, holder), Released)
    for ticket in (first, second):
        locks.expect(_look(locks, address, ticket, every=20), Queued)
    locks.elapse(3)
    locks.expect(_look(locks, address, second, every=20), Queued)
    locks.expect(_look(locks, address, first, every=20), Granted)


def test_the_first_look_after_a_lease_begins_a_claim(locks: Store, address: Address) -> None:
    take(locks, address, lease=2 * locks.tick)
    queue(locks, address)
    alive = queue(locks, address)
    locks.elapse(2)
    locks.expect(_look(locks, address, alive), Queued)
    locks.elapse(8)
    assert locks.expect(_look(locks, address, alive), Queued).look_in <= 7 * locks.tick


def test_who_has_not_looked_for_long_gets_no_claim(locks: Store, address: Address) -> None:
    take(locks, address, lease=6 * locks.tick)
    for _ in range(3):
        queue(locks, address, every=1)
    alive = queue(locks, address, every=10)
    locks.elapse(6)
    locks.expect(_look(locks, address, alive), Granted)


def test_a_look_is_a_sign_of_life(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    waiter = queue(locks, address, every=2)
    for _ in range(3):
        locks.elapse(2)
        locks.expect(_look(locks, address, waiter, every=2), Queued)
    locks.expect(Release(address, holder), Released)
    assert not try_to_take(locks, address), "a waiter that looked lately was passed over"
    locks.expect(_look(locks, address, waiter, every=2), Granted)


def test_a_lock_that_only_dead_ones_wait_for_is_free(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    queue(locks, address, every=1)
    queue(locks, address, every=1)
    locks.elapse(3)
    locks.expect(Release(address, holder), Released)
    assert try_to_take(locks, address)


def test_a_waiter_that_leaves_leaves_nothing(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    waiter = queue(locks, address)
    locks.expect(Release(address, waiter), Released)
    locks.expect(Release(address, holder), Released)
    assert try_to_take(locks, address), "the lock is kept for a waiter that has left"


def test_a_last_look_leaves_nothing(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    waiter = queue(locks, address)
    locks.expect(Acquire(address, waiter, LONG, queue=False), Locked)
    locks.expect(Release(address, holder), Released)
    assert try_to_take(locks, address), "the lock is kept for a waiter that has left"


def test_a_last_look_takes_what_is_free(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    waiter = queue(locks, address)
    locks.expect(Release(address, holder), Released)
    locks.expect(Acquire(address, waiter, LONG, queue=False), Granted)


def test_a_claim_that_is_given_back_goes_to_the_next(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    first = queue(locks, address)
    second = queue(locks, address)
    locks.expect(Release(address, holder), Released)
    locks.expect(Release(address, first), Released)
    assert not try_to_take(locks, address)
    locks.expect(_look(locks, address, second), Granted)


def test_many_waiters_that_leave_leave_nothing(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    waiters = [queue(locks, address) for _ in range(40)]
    leave = [
        Release(address, ticket) if n % 2 else Acquire(address, ticket, LONG, queue=False)
        for n, ticket in enumerate(waiters)
    ]
    at_once(*(partial(locks.ask, operation) for operation in leave))
    queued = locks.expect(Acquire(address, new_id(), LONG), Queued)
    assert queued.ahead == 0, f"{queued.ahead} tickets are left of those that went"
    locks.expect(Release(address, holder), Released)


@pytest.mark.needs(Capability.FAIR)
def test_first_come_first_served(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    waiters = [queue(locks, address) for _ in range(6)]
    for ahead, ticket in enumerate(waiters):
        assert locks.expect(_look(locks, address, ticket), Queued).ahead == ahead
    for ticket in waiters:
        locks.expect(Release(address, holder), Released)
        for other in reversed(waiters[waiters.index(ticket) + 1 :]):
            locks.expect(_look(locks, address, other), Queued)
        locks.expect(_look(locks, address, ticket), Granted)
        holder = ticket


def test_a_sleeping_waiter_gets_the_lock(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    in_line = threading.Event()
    ticket = new_id()

    def wait() -> Granted:
        call = Acquire(address, ticket, LONG, look_every=int(1000 * locks.backend.look_every))
        locks.expect(call, Queued)
        in_line.set()
        return await_grant(locks, call)

    def release() -> Granted | None:
        in_line.wait()
        locks.expect(Release(address, holder), Released)
        return None

    granted, _ = at_once(wait, release)
    assert granted is not None
    locks.expect(Renew(address, ticket, granted.token, LONG), Granted)


def test_waiting_ends_in_time(locks: Store, address: Address) -> None:
    take(locks, address)
    waiter = queue(locks, address)
    locks.wait(waiter, 0.05)
    locks.expect(_look(locks, address, waiter), Queued)


def test_a_hint_before_the_wait_is_not_lost(locks: Store, address: Address) -> None:
    holder, _ = take(locks, address)
    waiter = queue(locks, address)
    locks.expect(Release(address, holder), Released)
    locks.wait(waiter, 1.0)
    locks.expect(_look(locks, address, waiter), Granted)
