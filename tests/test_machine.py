"""The machine, promise by promise: what a store may be relied upon for, in plain examples."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    Queued,
    Read,
    Release,
    Released,
    Renew,
    Resume,
    Saved,
    Stale,
    Stamp,
    Start,
    Touch,
    Unknown,
    Write,
)
from sessiontracker.state import EMPTY, claimed, due, sweep

HERE = Address("checkout", "", "korder-42")
DAY = 86_400_000
BEGIN = 1_800_000_000_000  # ms


class Store:
    """A slot and a clock that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.slot = EMPTY
        self.now = BEGIN * 1000
        self._ids = 0

    def id(self) -> int:
        self._ids += 1
        return self._ids

    @property
    def ms(self) -> int:
        return self.now // 1000

    def go_on(self, ms: float) -> None:
        self.now += round(ms * 1000)

    def ask(self, operation: Operation) -> Outcome:
        self.slot, outcome = apply(self.slot, operation, self.now)
        return outcome

    # Shorthands: what is asked, and that it is granted

    def start(self, payload: bytes = b"new", **more: Any) -> Meta:
        return saved(self.ask(Start(HERE, self.id(), payload, **more)))

    def write(self, stamp: Stamp, payload: bytes = b"written", **more: Any) -> Meta:
        return saved(self.ask(Write(HERE, self.id(), stamp, payload, **more)))

    def finish(self, retention: int = DAY, **more: Any) -> Meta:
        return found(self.ask(Finish(HERE, self.id(), retention, **more))).meta

    def resume(self) -> Meta:
        return found(self.ask(Resume(HERE, self.id()))).meta

    def delete(self) -> Deleted:
        outcome = self.ask(Delete(HERE, self.id()))
        assert isinstance(outcome, Deleted)
        return outcome

    def read(self, **more: Any) -> Outcome:
        return self.ask(Read(HERE, **more))

    def lock(self, ticket: int, lease: int = 30_000, **more: Any) -> Hold:
        return Hold(ticket, granted(self.ask(Acquire(HERE, ticket, lease, **more))).token)

    def look(self, ticket: int, **more: Any) -> Outcome:
        return self.ask(Acquire(HERE, ticket, 30_000, f"process {ticket}", **more))


def saved(outcome: Outcome) -> Meta:
    assert isinstance(outcome, Saved), outcome
    return outcome.meta


def found(outcome: Outcome | None) -> Found:
    assert isinstance(outcome, Found), outcome
    return outcome


def granted(outcome: Outcome) -> Granted:
    assert isinstance(outcome, Granted), outcome
    return outcome


@pytest.fixture
def store() -> Store:
    return Store()


# Every operation is one step ---------------------------------------------------


def test_a_step_changes_nothing_that_it_was_given(store: Store) -> None:
    before, encoded = store.slot, msgspec.msgpack.encode(store.slot)
    store.start()
    assert store.slot is not before
    assert msgspec.msgpack.encode(before) == encoded


def test_what_a_slot_holds_cannot_be_changed_in_place(store: Store) -> None:
    store.start()
    store.lock(1)
    store.look(2)
    key = store.slot.keys[HERE.key]
    assert key.active is not None
    assert key.lock is not None
    for value in (store.slot, key, key.active, key.active.meta, key.deed, key.lock, key.lock.lease):
        name = msgspec.structs.fields(type(value))[0].name  # type: ignore[arg-type, type-var]
        with pytest.raises(AttributeError):
            setattr(value, name, None)


def test_the_very_slot_comes_back_from_what_changed_nothing(store: Store) -> None:
    meta = store.start(idle=60_000)
    store.lock(1)
    before = store.slot
    store.read(slide=True)
    store.read(finished=True)
    store.ask(Write(HERE, store.id(), meta.stamp, b""))
    store.ask(Finish(HERE, store.id(), 0))
    store.ask(Resume(HERE, store.id()))
    store.ask(Renew(HERE, 2, 1, 30_000))
    store.ask(Release(HERE, 2))
    store.look(2, queue=False)
    assert store.slot is before


def test_the_keys_of_a_slot_do_not_touch_each_other(store: Store) -> None:
    store.start()
    key = store.slot.keys[HERE.key]
    store.ask(Start(Address("checkout", "", "kother"), 9, b"other"))
    assert store.slot.keys[HERE.key] is key


# No lost update ------------------------------------------------------------------


def test_every_change_counts_the_version_up_by_one(store: Store) -> None:
    meta = store.start()
    assert meta.version == 1
    meta = store.write(meta.stamp)
    assert meta.version == 2
    assert store.finish().version == 3
    assert store.resume().version == 4


def test_of_two_writers_the_second_is_stale(store: Store) -> None:
    stamp = store.start().stamp
    store.write(stamp, b"first")
    assert store.ask(Write(HERE, store.id(), stamp, b"second")) == Stale(2)
    assert found(store.read()).payload == b"first"


def test_a_writer_of_a_former_life_is_refused_at_the_same_version(store: Store) -> None:
    stamp = store.start().stamp
    store.delete()
    store.start()
    assert store.ask(Write(HERE, store.id(), stamp, b"late")) == Stale(1, same_life=False)


def test_the_same_version_of_another_write_is_refused(store: Store) -> None:
    stamp = store.start().stamp
    store.write(stamp)
    after_a_failover = Stamp(stamp.life, 2, 4711)
    assert store.ask(Write(HERE, store.id(), after_a_failover, b"late")) == Stale(2)


def test_a_write_never_creates_and_never_revives(store: Store) -> None:
    stamp = Stamp(1, 1, 1)
    assert store.ask(Write(HERE, store.id(), stamp, b"")) == Missing()
    stamp = store.start().stamp
    store.finish()
    assert store.ask(Write(HERE, store.id(), stamp, b"")) == IsFinished()
    store.delete()
    assert store.ask(Write(HERE, store.id(), stamp, b"")) == Missing()
    assert store.read() == Missing()


# Active and finished are separate places ------------------------------------------


def test_a_session_is_active_then_finished_then_active_again(store: Store) -> None:
    store.start(b"data")
    assert store.read(finished=True) == IsActive()
    store.finish()
    assert store.read() == IsFinished()
    assert found(store.read(finished=True)).payload == b"data"
    store.resume()
    assert found(store.read()).meta.finished == 0
    assert store.ask(Finish(HERE, store.id(), 0)) is not None
    assert store.read() == store.read(finished=True) == Missing()


def test_start_beside_a_finished_one_and_never_over_an_active_one(store: Store) -> None:
    store.start(b"old")
    store.finish()
    store.start(b"new")
    assert found(store.read(finished=True)).payload == b"old"
    refused = store.ask(Start(HERE, store.id(), b"third"))
    assert isinstance(refused, InProgress)
    assert refused.found.payload == b"new"
    assert found(store.ask(Start(HERE, store.id(), b"third", read=True))).payload == b"new"


def test_resume_never_overwrites_an_active_one(store: Store) -> None:
    store.start(b"old")
    store.finish()
    store.start(b"new")
    assert store.ask(Resume(HERE, store.id())) == IsActive()
    assert found(store.read()).payload == b"new"


def test_finishing_again_replaces_the_older_finished_one(store: Store) -> None:
    store.start(b"old")
    store.finish()
    store.start(b"new")
    store.finish()
    assert found(store.read(finished=True)).payload == b"new"


def test_finish_with_a_session_saves_it_and_checks_it(store: Store) -> None:
    stamp = store.start(b"old").stamp
    store.write(stamp)
    finish = Finish(HERE, store.id(), DAY, stamp=stamp, payload=b"last")
    assert store.ask(finish) == Stale(2)
    now = found(store.read()).meta.stamp
    saved(store.ask(Finish(HERE, store.id(), DAY, stamp=now, payload=b"last")))
    assert found(store.read(finished=True)).payload == b"last"


def test_delete_takes_both_and_says_whether_there_was_one(store: Store) -> None:
    assert store.delete() == Deleted(False)
    store.start()
    store.finish()
    store.start()
    assert store.delete() == Deleted(True)
    assert store.read() == store.read(finished=True) == Missing()


def test_a_life_in_place_of_whatever_is_there(store: Store) -> None:
    life = store.start().life
    store.finish()
    assert store.ask(Resume(HERE, store.id(), life=life + 1)) == Missing()
    assert store.ask(Delete(HERE, store.id(), life=life + 1)) == Deleted(False)
    found(store.ask(Resume(HERE, store.id(), life=life)))
    assert store.ask(Touch(HERE, life=life + 1)) == Missing()
    assert saved(store.ask(Touch(HERE, life=life))).life == life


def test_one_that_comes_from_another_slot_keeps_its_life_and_its_timeouts(store: Store) -> None:
    meta = store.start(idle=60_000, absolute=DAY)
    there = Store()
    there.go_on(10_000)
    moved = there.start(adopt=meta, owner="alice", payload=b"moved")
    assert moved.life == meta.life
    assert moved.version == 2
    assert moved.owner == "alice"
    assert (moved.slid, moved.expires, moved.ends) == (meta.slid, meta.expires, meta.ends)
    saved(store.ask(Delete(HERE, store.id(), stamp=meta.stamp)) and Saved(moved))
    assert store.read() == Missing()


# Time is the store's clock ----------------------------------------------------------


def test_an_expired_session_is_not_there(store: Store) -> None:
    store.start(idle=1_000)
    store.go_on(999)
    found(store.read())
    store.go_on(1)
    assert store.read() == Missing()
    store.start()


def test_expiry_is_the_earlier_of_both_timeouts(store: Store) -> None:
    meta = store.start(idle=1_000, absolute=1_500)
    assert meta.expires == BEGIN + 1_000
    store.go_on(900)
    assert saved(store.ask(Touch(HERE))).expires == BEGIN + 1_500
    store.go_on(600)
    assert store.read() == Missing()


def test_fourteen_days_are_fourteen_days(store: Store) -> None:
    assert store.start(idle=14 * DAY).expires == BEGIN + 14 * DAY
    store.go_on(14 * DAY - 1)
    found(store.read())


def test_without_timeouts_it_never_expires(store: Store) -> None:
    assert store.start().expires == FOREVER
    store.go_on(100 * 365 * DAY)
    found(store.read())
    assert store.finish(FOREVER).expires == FOREVER


def test_start_resume_update_and_touch_slide(store: Store) -> None:
    meta = store.start(idle=10_000)
    for step in (
        lambda: store.write(meta.stamp),
        lambda: saved(store.ask(Touch(HERE))),
        lambda: store.finish() and store.resume(),
    ):
        store.go_on(1)
        slid = step()
        assert slid.slid == store.now // 1000
        assert slid.expires == slid.slid + 10_000


def test_a_lock_alone_does_not_slide(store: Store) -> None:
    store.start(idle=10_000)
    store.go_on(9_000)
    store.lock(1)
    assert found(store.read()).meta.slid == BEGIN


@given(
    idle=st.integers(1, 30 * DAY),
    touch_every=st.none() | st.integers(0, 30 * DAY),
    elapsed=st.integers(0, 31 * DAY),
)
def test_a_read_slides_when_it_is_due_and_not_before(
    idle: int, touch_every: int | None, elapsed: int
) -> None:
    store = Store()
    store.start(idle=idle)
    store.go_on(elapsed)
    outcome = store.read(slide=True, touch_every=touch_every)
    if elapsed >= idle:
        assert outcome == Missing()
        return
    every = idle // 20 if touch_every is None else min(touch_every, idle // 20)
    slid = BEGIN + elapsed if elapsed > every else BEGIN
    meta = found(outcome).meta
    assert (meta.slid, meta.expires) == (slid, slid + idle)
    assert meta.version == 1


def test_a_read_that_is_told_not_to_slide_never_does(store: Store) -> None:
    store.start(idle=10_000)
    store.go_on(9_999)
    assert found(store.read()).meta.slid == BEGIN


def test_resume_moves_the_absolute_end_by_the_time_it_lay_finished(store: Store) -> None:
    store.start(absolute=10_000)
    store.go_on(4_000)
    store.finish()
    store.go_on(DAY - 1)
    assert store.resume().ends == BEGIN + 10_000 + DAY - 1


def test_a_finished_one_is_kept_for_its_retention_alone(store: Store) -> None:
    store.start(idle=1_000)
    store.finish(5_000)
    store.go_on(4_999)
    found(store.read(finished=True))
    store.go_on(1)
    assert store.read(finished=True) == Missing()
    assert store.ask(Resume(HERE, store.id())) == Missing()


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


# The first that applies: lock lost, not found, finished, locked, stale -----------------

Refused = Callable[[Stamp, Hold | None], Operation]
WRITERS: dict[str, Refused] = {
    "write": lambda stamp, lock: Write(HERE, 77, stamp, b"", lock=lock),
    "finish": lambda stamp, lock: Finish(HERE, 77, DAY, stamp=stamp, payload=b"", lock=lock),
    "delete": lambda stamp, lock: Delete(HERE, 77, stamp=stamp, lock=lock),
}


@pytest.mark.parametrize("operation", WRITERS)
@pytest.mark.parametrize(
    "lost,absent,locked,stale",
    list(product([False, True], [None, Missing, IsFinished], [False, True], [False, True])),
)
def test_the_first_refusal_that_applies(
    store: Store,
    operation: str,
    lost: bool,
    absent: type[Outcome] | None,
    locked: bool,
    stale: bool,
) -> None:
    stamp = store.start().stamp
    if stale:
        store.write(stamp)
    if absent is IsFinished:
        store.finish()
    elif absent is Missing:
        store.delete()
    if locked:
        store.lock(1)
    outcome = store.ask(WRITERS[operation](stamp, Hold(2, 2) if lost else None))
    expected = (
        Lost
        if lost
        else absent
        if absent is not None
        else Locked
        if locked
        else Stale
        if stale
        else Deleted
        if operation == "delete"
        else Saved
    )
    assert type(outcome) is expected


def test_a_start_says_in_progress_before_locked_and_lost_before_both(store: Store) -> None:
    store.start()
    store.lock(1)
    assert isinstance(store.ask(Start(HERE, store.id(), b"")), InProgress)
    assert store.ask(Start(HERE, store.id(), b"", lock=Hold(2, 2))) == Lost()


def test_a_resume_says_active_or_missing_before_locked(store: Store) -> None:
    store.lock(1)
    assert store.ask(Resume(HERE, store.id())) == Missing()
    assert store.ask(Resume(HERE, store.id(), lock=Hold(2, 2))) == Lost()


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


# Waiting is fair ------------------------------------------------------------------------


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


# Retries are safe -------------------------------------------------------------------------


def again(store: Store, operation: Any, later: int = 5) -> Outcome:
    store.go_on(later)
    return store.ask(msgspec.structs.replace(operation, since=store.ms - later))


def test_a_repeat_of_what_was_done_says_the_same(store: Store) -> None:
    start = Start(HERE, store.id(), b"0")
    meta = saved(store.ask(start))
    assert again(store, start) == Saved(meta)
    write = Write(HERE, store.id(), meta.stamp, b"1")
    meta = saved(store.ask(write))
    assert again(store, write) == Saved(meta)
    finish = Finish(HERE, store.id(), DAY)
    outcome = store.ask(finish)
    assert again(store, finish) == outcome
    resume = Resume(HERE, store.id())
    outcome = store.ask(resume)
    assert again(store, resume) == outcome
    delete = Delete(HERE, store.id())
    assert store.ask(delete) == again(store, delete) == Deleted(True)


def test_a_repeat_of_what_was_not_done_is_done(store: Store) -> None:
    meta = saved(again(store, Start(HERE, store.id(), b"0")))
    saved(again(store, Write(HERE, store.id(), meta.stamp, b"1")))
    store.go_on(100)
    found(again(store, Finish(HERE, store.id(), DAY)))
    store.go_on(100)
    found(again(store, Resume(HERE, store.id())))
    store.go_on(100)
    assert again(store, Delete(HERE, store.id())) == Deleted(True)


@pytest.mark.parametrize(
    "operation",
    [Finish(HERE, 77, DAY), Delete(HERE, 77), Resume(HERE, 77)],
    ids=lambda operation: type(operation).__name__,
)
def test_by_key_alone_a_repeat_after_others_is_unknown(store: Store, operation: Operation) -> None:
    store.start(b"old")
    store.finish()
    store.ask(operation)
    store.delete()
    store.start(b"somebody's")
    before = store.slot
    assert again(store, operation) == Unknown()
    assert store.slot is before


def test_a_start_that_finds_another_is_unknown_if_it_came_since(store: Store) -> None:
    start = Start(HERE, store.id(), b"0")
    saved(store.ask(start))
    store.ask(Delete(HERE, store.id()))
    saved(store.ask(Start(HERE, store.id(), b"1")))
    assert again(store, start) == Unknown()


def test_a_start_that_finds_another_from_before_is_refused(store: Store) -> None:
    saved(store.ask(Start(HERE, store.id(), b"1")))
    store.go_on(10)
    start = Start(HERE, store.id(), b"0")
    assert isinstance(again(store, start), InProgress)


def test_a_write_that_others_built_upon_is_unknown(store: Store) -> None:
    write = Write(HERE, store.id(), store.start().stamp, b"1")
    meta = saved(store.ask(write))
    store.write(meta.stamp, b"2")
    assert again(store, write) == Unknown()


def test_a_write_in_whose_place_another_came_was_not_done(store: Store) -> None:
    stamp = store.start().stamp
    store.write(stamp, b"theirs")
    assert again(store, Write(HERE, store.id(), stamp, b"mine")) == Stale(2)


@pytest.mark.parametrize("after", [2_000, 61_000])
def test_what_was_done_and_has_expired_since_is_unknown_not_done_again(
    store: Store, after: int
) -> None:
    start = Start(HERE, store.id(), b"0", idle=1_000)
    meta = saved(store.ask(start))
    write = Write(HERE, store.id(), meta.stamp, b"1")
    saved(store.ask(write))
    store.go_on(after)
    store.slot, gone = sweep(store.slot, store.now)
    assert gone == 1
    for operation in (start, write):
        assert store.ask(msgspec.structs.replace(operation, since=store.ms - after)) == Unknown()
    assert store.read() == Missing()


def test_a_deed_is_no_older_than_the_one_before_it_if_the_clock_went_back(store: Store) -> None:
    start = Start(HERE, store.id(), b"")
    saved(store.ask(start))
    store.go_on(-60_000)
    store.delete()
    store.go_on(60_000)
    assert again(store, start) == Unknown()


def test_what_was_finished_and_not_kept_is_unknown(store: Store) -> None:
    store.start()
    finish = Finish(HERE, store.id(), 0)
    found(store.ask(finish))
    assert again(store, finish) == Unknown()


def test_a_lock_that_starts_what_is_missing_starts_it_once(store: Store) -> None:
    missing = Start(HERE, store.id(), b"", idle=1_000)
    granted(store.look(1, read=True, start=missing))
    store.go_on(31_000)
    assert store.look(1, read=True, start=missing) == Missing()
    missing = Start(HERE, store.id(), b"")
    granted(store.look(2, read=True, start=missing))
    store.ask(Release(HERE, 2))
    store.finish()
    assert store.look(2, read=True, start=missing) == IsFinished()


def test_an_unlock_is_repeated_without_harm(store: Store) -> None:
    store.lock(1)
    release = Release(HERE, 1)
    assert store.ask(release) == again(store, release) == Released()
    store.lock(2)
    store.ask(Release(HERE, 2))
    store.lock(3)
    assert again(store, release) == Unknown()
    granted(store.look(3))


def test_a_deleted_key_remembers_for_a_minute(store: Store) -> None:
    store.start()
    delete = Delete(HERE, store.id())
    store.ask(delete)
    store.go_on(59_999)
    store.slot, _ = sweep(store.slot, store.now)
    assert store.ask(msgspec.structs.replace(delete, since=store.ms - 59_999)) == Deleted(True)
    store.go_on(1)
    store.slot, _ = sweep(store.slot, store.now)
    assert not store.slot.keys
    assert store.ask(msgspec.structs.replace(delete, since=store.ms - 60_000)) == Unknown()


# Forgetting --------------------------------------------------------------------------------


def test_nothing_of_a_dead_key_stays(store: Store) -> None:
    store.start(idle=1_000)
    store.lock(1, lease=500)
    store.look(2)
    steps = 0
    while store.slot.keys:
        assert due(store.slot) > store.now // 1000
        store.now = due(store.slot) * 1000
        store.slot, _ = sweep(store.slot, store.now)
        steps += 1
        assert steps < 10
    assert due(store.slot) == FOREVER


def test_a_sweep_counts_the_sessions_that_went(store: Store) -> None:
    store.start(idle=1_000)
    store.finish(1_000)
    store.start(idle=2_000)
    assert due(store.slot) == BEGIN + 1_000
    store.go_on(1_000)
    store.slot, gone = sweep(store.slot, store.now)
    assert gone == 1
    found(store.read())
    assert due(store.slot) == BEGIN + 2_000
