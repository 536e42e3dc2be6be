"""The machine, promise by promise: who waits for a lock, in plain examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiontracker.operations import (
    Hold,
    Locked,
    Lost,
    Queued,
    Release,
    Released,
    Write,
)
from sessiontracker.state import claimed
from tests.one_key import HERE, Store, granted


@pytest.fixture
def store() -> Store:
    return Store()


def test_first_come_first_served(store: Store) -> None:
    store.lock(1)
    assert store.look(2) == Queued("", 0, 1_000)
    assert store.look(3) == Queued("", 1, 1_000)
    for ticket in (1, 2, 3):
        store.ask(Release(HERE, ticket))
        follower = ticket + 1
        if follower <= 3:
            assert store.look(9, queue=False) == Locked(f"process {follower}", 1_500)
            granted(store.look(follower))
    granted(store.look(9))


def test_a_claim_lasts_one_and_a_half_of_the_interval_that_was_announced(store: Store) -> None:
    store.lock(1)
    store.look(2, look_every=400)
    before = store.slot
    store.ask(Release(HERE, 1))
    assert claimed(before, store.slot, HERE.key) == 2
    store.go_on(599)
    assert isinstance(store.look(3, queue=False), Locked)
    store.go_on(1)
    granted(store.look(3, queue=False))


def test_a_claim_writes_nothing_until_a_look_made_it_a_lease(store: Store) -> None:
    stamp = store.start().stamp
    store.lock(1)
    store.look(2)
    store.ask(Release(HERE, 1))
    assert store.ask(Write(HERE, store.id(), stamp, b"", lock=Hold(2, 0))) == Lost()
    hold = Hold(2, granted(store.look(2)).token)
    store.write(stamp, lock=hold)


def test_who_gave_no_sign_of_life_is_passed_over(store: Store) -> None:
    store.lock(1, lease=60_000)
    store.look(2, look_every=1_000)
    store.look(3, look_every=30_000)
    store.go_on(2_000)
    store.ask(Release(HERE, 1))
    granted(store.look(3))


def test_a_look_is_a_sign_of_life_and_keeps_the_place(store: Store) -> None:
    store.lock(1, lease=60_000)
    store.look(2)
    store.look(3)
    for _ in range(5):
        store.go_on(1_000)
        assert store.look(2) == Queued("", 0, 1_000)
        assert isinstance(store.look(3), Queued)
    store.ask(Release(HERE, 1))
    granted(store.look(2))


def test_looks_in_quick_succession_write_nothing(store: Store) -> None:
    store.lock(1)
    store.look(2)
    before = store.slot
    store.go_on(249)
    store.look(2)
    assert store.slot is before
    store.go_on(1)
    store.look(2)
    assert store.slot is not before


def test_the_last_look_leaves_the_queue(store: Store) -> None:
    store.lock(1)
    store.look(2)
    assert isinstance(store.look(2, queue=False), Locked)
    before = store.slot
    store.ask(Release(HERE, 1))
    assert claimed(before, store.slot, HERE.key) == 0
    granted(store.look(3))


def test_a_cancelled_waiter_leaves_no_ticket_and_its_claim_goes_on(store: Store) -> None:
    store.lock(1)
    for ticket in (2, 3, 4):
        store.look(ticket)
    assert store.ask(Release(HERE, 3)) == Released()
    store.ask(Release(HERE, 1))
    before = store.slot
    assert store.ask(Release(HERE, 2)) == Released()
    assert claimed(before, store.slot, HERE.key) == 4
    granted(store.look(4))


def test_all_who_wait_look_when_the_lease_ends(store: Store) -> None:
    """Whoever is first in line may be dead."""
    store.lock(1, lease=300)
    assert store.look(2) == Queued("", 0, 300)
    assert store.look(3) == Queued("", 1, 300)
    store.go_on(300)
    assert store.look(3) == Queued("process 2", 0, 1_000)
    granted(store.look(2))


def test_waiters_that_died_together_cost_one_claim(store: Store) -> None:
    store.lock(1)
    for ticket in (2, 3, 4, 5):  # of whom 4 lives
        store.look(ticket)
    store.ask(Release(HERE, 1))
    store.go_on(1_000)
    assert store.look(4) == Queued("process 2", 1, 500)
    store.go_on(500)
    granted(store.look(4))
    store.ask(Release(HERE, 4))
    granted(store.look(6))  # 5, behind it, has no claim either


def test_a_claim_begins_with_the_first_look_after_the_lease(store: Store) -> None:
    store.lock(1, lease=10)
    store.look(2)
    store.look(3)
    store.go_on(10)
    store.look(3)
    store.go_on(1_000)
    assert store.look(3) == Queued("process 2", 0, 500)


def test_who_looked_during_a_claim_keeps_its_place_when_it_lapses(store: Store) -> None:
    store.lock(1)
    for ticket in (2, 3, 4):
        store.look(ticket)
    store.ask(Release(HERE, 1))
    store.go_on(251)
    store.look(3)
    store.go_on(1_249)
    assert store.look(4) == Queued("process 3", 0, 1_000)
    granted(store.look(3))


@given(
    dead=st.lists(st.integers(10, 2_000), max_size=5),
    lease=st.integers(1, 3_000),
    every=st.integers(10, 2_000),
)
def test_dead_waiters_cost_one_claim_at_most_once(dead: list[int], lease: int, every: int) -> None:
    store = Store()
    store.lock(1, lease=lease)
    for ticket, interval in enumerate(dead, start=2):
        store.look(ticket, look_every=interval)
    started = store.now // 1000
    outcome = store.look(100, look_every=every)
    while isinstance(outcome, Queued):
        store.go_on(outcome.look_in)
        outcome = store.look(100, look_every=every)
    granted(outcome)
    # As backends have it, all intervals are one; otherwise, each length of them costs a claim.
    assert store.now // 1000 - started <= lease + sum(int(1.5 * each) for each in set(dead))
