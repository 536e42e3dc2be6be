"""The machine, promise by promise: locks, in plain examples."""

from __future__ import annotations

import pytest

from sessiontracker.operations import (
    Delete,
    Deleted,
    Finish,
    Granted,
    Hold,
    IsFinished,
    Locked,
    Lost,
    Missing,
    Release,
    Released,
    Renew,
    Resume,
    Stale,
    Start,
    Touch,
    Write,
)
from sessiontracker.state import sweep
from tests.one_key import HERE, Store, found, granted, saved


@pytest.fixture
def store() -> Store:
    return Store()


# Locks are leases with a token that only ever rises ------------------------------------


def test_a_token_is_the_stores_clock_in_microseconds(store: Store) -> None:
    assert store.lock(1).token == store.now


def test_tokens_rise_within_one_microsecond_and_when_the_clock_goes_back(store: Store) -> None:
    first = store.lock(1)
    store.ask(Release(HERE, 1))
    second = store.lock(2)
    assert second.token == first.token + 1
    store.ask(Release(HERE, 2))
    store.go_on(-60_000)
    assert store.lock(3).token == second.token + 1


def test_tokens_rise_through_expiry_deletion_and_forgetting(store: Store) -> None:
    store.start(idle=1_000)
    token = store.lock(1, lease=1_000).token
    store.delete()
    store.go_on(2_000)
    assert store.lock(2, lease=1).token > token
    token = store.lock(3, lease=1).token if store.go_on(5) is None else 0
    store.go_on(1 + 3_600_000)
    store.slot, _ = sweep(store.slot, store.now)
    assert store.slot.keys, "strictly past its retention, not at it"
    store.go_on(1)
    store.slot, _ = sweep(store.slot, store.now)
    assert not store.slot.keys
    assert store.lock(4).token > token


def test_one_holder_at_a_time_and_the_next_when_the_lease_ran_out(store: Store) -> None:
    store.lock(1, lease=1_000, holder="host:1")
    assert store.look(2, queue=False) == Locked("host:1", 1_000)
    store.go_on(999)
    assert store.look(2, queue=False) == Locked("host:1", 1)
    store.go_on(1)
    granted(store.look(2, queue=False))


def test_the_same_ticket_again_has_the_same_token_and_a_full_lease(store: Store) -> None:
    hold = store.lock(1, lease=1_000)
    store.go_on(600)
    assert store.look(1) == Granted(hold.token, 30_000)


def test_renewing_matches_ticket_and_token_and_never_makes_a_lease(store: Store) -> None:
    hold = store.lock(1, lease=1_000)
    store.go_on(900)
    assert store.ask(Renew(HERE, 1, hold.token + 1, 1_000)) == Lost()
    assert store.ask(Renew(HERE, 2, hold.token, 1_000)) == Lost()
    assert store.ask(Renew(HERE, 1, hold.token, 1_000)) == Granted(hold.token, 1_000)
    store.go_on(1_000)
    assert store.ask(Renew(HERE, 1, hold.token, 1_000)) == Lost()
    granted(store.look(2, queue=False))


def test_the_lock_belongs_to_the_key_not_to_the_session(store: Store) -> None:
    hold = store.lock(1)
    store.start(lock=hold)
    store.finish(lock=hold)
    store.delete()
    store.start(idle=10, lock=hold)
    store.go_on(20)
    assert store.ask(Renew(HERE, 1, hold.token, 1_000)) == Granted(hold.token, 1_000)


def test_a_missing_or_finished_session_leaves_no_lock(store: Store) -> None:
    assert store.look(1, read=True) == Missing()
    store.start()
    store.finish()
    assert store.look(2, read=True) == IsFinished()
    store.lock(3)


def test_lock_and_read_are_one_step_and_start_what_is_missing(store: Store) -> None:
    missing = Start(HERE, store.id(), b"made", idle=1_000)
    made = granted(store.look(1, read=True, start=missing))
    assert found(made.found).meta.write == missing.id
    again = granted(store.look(1, read=True, start=missing))
    assert found(again.found) == found(made.found)
    assert found(granted(store.look(1, read=True)).found).payload == b"made"


def test_a_lock_that_was_let_go_is_not_granted_to_its_late_repeat(store: Store) -> None:
    store.lock(1)
    assert store.ask(Release(HERE, 1)) == Released()
    assert store.look(1) == Lost()
    store.lock(2)


# A stale holder cannot write ---------------------------------------------------------


def test_a_lease_that_ran_out_cannot_write_even_if_nobody_took_over(store: Store) -> None:
    stamp = store.start().stamp
    hold = store.lock(1, lease=1_000)
    store.go_on(1_000)
    assert store.ask(Write(HERE, store.id(), stamp, b"", lock=hold)) == Lost()
    store.write(stamp)


def test_with_locks_elsewhere_the_highest_token_seen_is_the_least_accepted(store: Store) -> None:
    old, new = Hold(1, 1_000, elsewhere=True), Hold(2, 1_001, elsewhere=True)
    stamp = store.start().stamp
    found(store.read(lock=old))
    found(store.read(lock=new))
    assert store.read(lock=old) == Lost()
    assert store.ask(Write(HERE, store.id(), stamp, b"", lock=old)) == Lost()
    store.write(stamp, lock=new)
    store.delete()
    assert store.ask(Start(HERE, store.id(), b"", lock=old)) == Lost()
    store.start(lock=new)


def test_get_or_start_under_a_lock_elsewhere_registers_its_token_too(store: Store) -> None:
    store.start()
    new = Hold(2, 1_001, elsewhere=True)
    found(store.ask(Start(HERE, store.id(), b"", lock=new, read=True)))
    assert store.read(lock=Hold(1, 1_000, elsewhere=True)) == Lost()


def test_a_lock_elsewhere_stops_nobody_who_claims_none(store: Store) -> None:
    stamp = store.start().stamp
    store.read(lock=Hold(1, 1_000, elsewhere=True))
    store.write(stamp)


def test_while_a_key_is_locked_others_are_refused_and_readers_are_not(store: Store) -> None:
    meta = store.start(b"data")
    store.finish()
    store.start(b"active")
    active = found(store.read()).meta
    store.lock(1, holder="host:1")
    locked = Locked("host:1", 30_000)
    assert store.ask(Write(HERE, store.id(), active.stamp, b"")) == locked
    assert store.ask(Finish(HERE, store.id(), 0)) == locked
    assert store.ask(Delete(HERE, store.id(), stamp=active.stamp)) == locked
    found(store.read(slide=True))
    found(store.read(finished=True))
    saved(store.ask(Touch(HERE)))
    assert store.delete() == Deleted(True)
    assert store.ask(Start(HERE, store.id(), b"")) == locked
    assert meta.version == 1


def test_a_locked_finished_one_is_not_resumed_by_others(store: Store) -> None:
    store.start()
    store.finish()
    hold = store.lock(1, holder="host:1")
    assert store.ask(Resume(HERE, store.id())) == Locked("host:1", 30_000)
    found(store.ask(Resume(HERE, store.id(), lock=hold)))


# Letting go in the same step ----------------------------------------------------------


def test_save_and_unlock_are_one_step(store: Store) -> None:
    stamp = store.start().stamp
    hold = store.lock(1)
    store.write(stamp, lock=hold, release=True)
    store.lock(2)


@pytest.mark.parametrize("ended", ["delete", "finish", "another life"])
def test_a_refused_save_lets_go_all_the_same(store: Store, ended: str) -> None:
    stamp = store.start().stamp
    hold = store.lock(1)
    if ended == "finish":
        store.finish(lock=hold)
    else:
        store.delete()
    if ended == "another life":
        store.start(lock=hold)
    outcome = store.ask(Write(HERE, store.id(), stamp, b"", lock=hold, release=True))
    assert isinstance(outcome, (Missing, IsFinished, Stale))
    store.lock(2)


def test_an_unlock_says_whether_the_session_is_still_there(store: Store) -> None:
    life = store.start().life
    store.lock(1)
    assert store.ask(Release(HERE, 1, life)) == Released()
    store.lock(2)
    store.delete()
    assert store.ask(Release(HERE, 2, life)) == Missing()
    store.lock(3)
    assert store.ask(Release(HERE, 9, life)) == Lost()
    granted(store.look(3))
