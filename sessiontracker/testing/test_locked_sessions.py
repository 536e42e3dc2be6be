"""Where one backend keeps sessions and locks: each step sees both."""

from __future__ import annotations

from ..contract import new_id
from ..operations import (
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
    IsFinished,
    Locked,
    Lost,
    Meta,
    Missing,
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
    Write,
)
from .harness import LONG, Store, hold, take, try_to_take


def started(store: Store, address: Address, *, idle: int = 0) -> Meta:
    return store.expect(Start(address, new_id(), b"one", idle=idle), Saved).meta


def taken(store: Store, address: Address, *, lease: int = LONG) -> Hold:
    return Hold(*take(store, address, lease=lease, holder="web-1:7"))


def test_lock_and_read_in_one_step(both: Store, address: Address) -> None:
    meta = started(both, address)
    granted = both.expect(Acquire(address, new_id(), LONG, read=True), Granted)
    assert granted.found == Found(meta, b"one")


def test_a_missing_session_leaves_no_lock(both: Store, address: Address) -> None:
    both.expect(Acquire(address, new_id(), LONG, read=True), Missing)
    assert try_to_take(both, address), "the lock was taken without a session under it"
    started(both, address)
    both.expect(Finish(address, new_id(), FOREVER), Found)
    both.expect(Acquire(address, new_id(), LONG, read=True), IsFinished)
    assert try_to_take(both, address), "the lock was taken without a session under it"


def test_a_waiter_whose_session_went_leaves_no_ticket(both: Store, address: Address) -> None:
    started(both, address)
    holding = taken(both, address)
    waiter = Acquire(address, new_id(), LONG, read=True, look_every=10 * both.tick)
    both.expect(waiter, Queued)
    both.expect(Delete(address, new_id()), Deleted)
    both.expect(waiter, Missing)
    both.expect(Release(address, holding.ticket), Released)
    assert try_to_take(both, address), "the lock is kept for a waiter that was sent away"


def test_lock_and_start_in_one_step(both: Store, address: Address) -> None:
    start = Start(address, new_id(), b"new", owner="alice", idle=LONG)
    ticket = new_id()
    granted = both.expect(Acquire(address, ticket, LONG, start=start), Granted)
    assert granted.found is not None
    assert granted.found.payload == b"new"
    assert (granted.found.meta.life, granted.found.meta.version) == (start.id, 1)
    assert both.expect(Read(address), Found) == granted.found
    both.expect(Release(address, ticket), Released)
    other = Start(address, new_id(), b"other")
    again = both.expect(Acquire(address, new_id(), LONG, start=other), Granted)
    assert again.found == granted.found, "the session that was there is started over"


def test_a_locked_session_is_read_by_all_and_written_by_its_holder(
    both: Store, address: Address
) -> None:
    meta = started(both, address)
    holding = taken(both, address)
    both.expect(Read(address), Found)
    both.expect(Touch(address), Saved)
    assert both.expect(Start(address, new_id(), b"two", read=True), Found).payload == b"one"
    both.expect(Start(address, new_id(), b"two"), InProgress)
    for refused in (
        Write(address, new_id(), meta.stamp, b"two"),
        Finish(address, new_id(), FOREVER),
        Finish(address, new_id(), FOREVER, stamp=meta.stamp, payload=b"two"),
        Delete(address, new_id(), stamp=meta.stamp),
    ):
        locked = both.expect(refused, Locked)
        assert locked.holder == "web-1:7"
        assert 0 < locked.expires_in <= LONG
    meta = both.expect(Write(address, new_id(), meta.stamp, b"two", lock=holding), Saved).meta
    assert both.expect(Read(address), Found) == Found(meta, b"two")
    both.expect(Finish(address, new_id(), FOREVER, lock=holding), Found)
    both.expect(Read(address, finished=True), Found)
    both.expect(Resume(address, new_id()), Locked)
    both.expect(Resume(address, new_id(), lock=holding), Found)
    both.expect(Delete(address, new_id(), lock=holding), Deleted)
    both.expect(Start(address, new_id(), b"new"), Locked)
    both.expect(Start(address, new_id(), b"new", lock=holding), Saved)
    both.expect(Renew(address, holding.ticket, holding.token, LONG), Granted)


def test_deleting_by_key_is_an_administrators(both: Store, address: Address) -> None:
    meta = started(both, address)
    holding = taken(both, address)
    assert both.expect(Delete(address, new_id()), Deleted).existed
    both.expect(Write(address, new_id(), meta.stamp, b"two", lock=holding), Missing)
    both.expect(Renew(address, holding.ticket, holding.token, LONG), Granted)


def test_a_claim_keeps_others_from_writing_too(both: Store, address: Address) -> None:
    meta = started(both, address)
    holding = taken(both, address)
    waiter = Acquire(address, new_id(), LONG, look_every=10 * both.tick)
    both.expect(waiter, Queued)
    both.expect(Release(address, holding.ticket), Released)
    both.expect(Write(address, new_id(), meta.stamp, b"two"), Locked)
    both.expect(Write(address, new_id(), meta.stamp, b"two", lock=holding), Lost)
    both.expect(waiter, Granted)


def test_a_write_under_a_lapsed_lease_is_refused(both: Store, address: Address) -> None:
    meta = started(both, address)
    holding = taken(both, address, lease=both.tick)
    both.elapse(1)
    for refused in (
        Write(address, new_id(), meta.stamp, b"two", lock=holding),
        Write(address, new_id(), meta.stamp, b"two", lock=holding, release=True),
        Finish(address, new_id(), FOREVER, lock=holding),
        Finish(address, new_id(), FOREVER, stamp=meta.stamp, payload=b"two", lock=holding),
        Delete(address, new_id(), stamp=meta.stamp, lock=holding),
        Resume(address, new_id(), lock=holding),
        Start(address, new_id(), b"two", lock=holding),
        Read(address, lock=holding),
    ):
        both.expect(refused, Lost)
    assert both.expect(Read(address), Found) == Found(meta, b"one")


def test_a_write_under_a_successors_lease_is_refused(both: Store, address: Address) -> None:
    meta = started(both, address)
    former = taken(both, address, lease=both.tick)
    both.elapse(1)
    latter = taken(both, address)
    both.expect(Write(address, new_id(), meta.stamp, b"two", lock=former), Lost)
    mixed = Hold(former.ticket, latter.token)
    both.expect(Write(address, new_id(), meta.stamp, b"two", lock=mixed), Lost)
    mixed = Hold(latter.ticket, former.token)
    both.expect(Write(address, new_id(), meta.stamp, b"two", lock=mixed), Lost)
    both.expect(Write(address, new_id(), meta.stamp, b"two", lock=latter), Saved)


def test_save_and_release_in_one_step(both: Store, address: Address) -> None:
    meta = started(both, address)
    holding = taken(both, address)
    write = Write(address, new_id(), meta.stamp, b"two", lock=holding, release=True)
    meta = both.expect(write, Saved).meta
    assert meta.version == 2
    assert try_to_take(both, address), "the lock is still held"


def test_a_refused_save_releases_all_the_same(both: Store, address: Address) -> None:
    meta = started(both, address)
    holding = taken(both, address)
    both.expect(Write(address, new_id(), meta.stamp, b"two", lock=holding), Saved)
    write = Write(address, new_id(), meta.stamp, b"three", lock=holding, release=True)
    both.expect(write, Stale)
    assert try_to_take(both, address), "the lock is still held"
    holding = taken(both, address)
    both.expect(Delete(address, new_id()), Deleted)
    write = Write(address, new_id(), meta.stamp, b"three", lock=holding, release=True)
    both.expect(write, Missing)
    assert try_to_take(both, address), "the lock is still held"


def test_a_save_that_releases_hands_on_to_the_waiter(both: Store, address: Address) -> None:
    meta = started(both, address)
    holding = taken(both, address)
    waiter = Acquire(address, new_id(), LONG, read=True, look_every=10 * both.tick)
    both.expect(waiter, Queued)
    write = Write(address, new_id(), meta.stamp, b"two", lock=holding, release=True)
    meta = both.expect(write, Saved).meta
    granted = both.expect(waiter, Granted)
    assert granted.found == Found(meta, b"two")
    assert granted.token > holding.token


def test_release_says_whether_the_session_is_still_there(both: Store, address: Address) -> None:
    meta = started(both, address)
    holding = taken(both, address)
    both.expect(Release(address, holding.ticket, meta.life), Released)
    holding = taken(both, address)
    both.expect(Release(address, holding.ticket, new_id()), Missing)
    assert try_to_take(both, address), "the lock is still held"
    holding = taken(both, address)
    both.expect(Finish(address, new_id(), FOREVER, lock=holding), Found)
    both.expect(Release(address, holding.ticket, meta.life), IsFinished)
    assert try_to_take(both, address), "the lock is still held"
    both.expect(Release(address, holding.ticket + 1, meta.life), Lost)


def test_the_lock_outlives_its_session(both: Store, address: Address) -> None:
    meta = started(both, address, idle=2 * both.tick)
    holding = taken(both, address)
    waiter = Acquire(address, new_id(), LONG, look_every=10 * both.tick)
    both.expect(waiter, Queued)
    both.elapse(2)
    both.expect(Read(address), Missing)
    both.expect(Write(address, new_id(), meta.stamp, b"two", lock=holding), Missing)
    both.expect(Renew(address, holding.ticket, holding.token, LONG), Granted)
    both.expect(Release(address, holding.ticket), Released)
    assert both.expect(waiter, Granted).token > holding.token


def test_tokens_rise_through_deletion(both: Store, address: Address) -> None:
    tokens: list[int] = []
    for end in (Delete(address, new_id()), Finish(address, new_id(), 0)) * 3:
        started(both, address)
        # Many grants at one moment carry the token ahead of a clock that stands still.
        for _ in range(5):
            holding = taken(both, address)
            tokens.append(holding.token)
            both.expect(Release(address, holding.ticket), Released)
        both.ask(type(end)(address, new_id(), 0))
    tokens.append(taken(both, address).token)
    assert tokens == sorted(set(tokens)), "a token fell when the session was deleted"


def test_locking_alone_does_not_slide(both: Store, address: Address) -> None:
    meta = started(both, address, idle=4 * both.tick)
    both.elapse(1)
    holding = taken(both, address)
    both.expect(Renew(address, holding.ticket, holding.token, LONG), Granted)
    both.expect(Release(address, holding.ticket), Released)
    assert both.expect(Read(address), Found).meta == meta


def test_lock_and_read_slides_as_reading_does(both: Store, address: Address) -> None:
    meta = started(both, address, idle=20 * both.tick)
    both.elapse(2)
    call = Acquire(address, new_id(), LONG, read=True)
    found = both.expect(call, Granted).found
    assert found is not None
    assert found.meta.slid >= meta.slid + 2 * both.tick
    assert found.meta.expires == found.meta.slid + meta.idle
    assert both.expect(Read(address), Found) == found
    both.expect(Release(address, call.ticket), Released)


def test_a_holders_repeated_start_does_not_begin_again(both: Store, address: Address) -> None:
    start = Start(address, new_id(), b"new")
    call = Acquire(address, new_id(), LONG, start=start)
    granted = both.expect(call, Granted)
    assert both.expect(call, Granted) == granted
    both.expect(Delete(address, new_id()), Deleted)
    both.expect(call, Missing)
    both.expect(Read(address), Missing)


def test_who_holds_reads_under_the_lock(both: Store, address: Address) -> None:
    meta = started(both, address)
    call = Acquire(address, new_id(), LONG)
    holding = hold(call.ticket, both.expect(call, Granted))
    assert both.expect(Read(address, lock=holding), Found) == Found(meta, b"one")
    both.expect(Read(address, lock=Hold(holding.ticket, holding.token - 1)), Lost)
