"""A reply was lost: the same operation comes again, with the time when it was first sent.

If it was not done, it is done now; if it was, it answers the same and nothing happens;
if nobody can tell, because others have been here since, it is Unknown.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

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
    IsActive,
    IsFinished,
    Locked,
    Lost,
    Meta,
    Missing,
    Operation,
    Outcome,
    Pong,
    Read,
    Release,
    Released,
    Renew,
    Resume,
    Saved,
    Stale,
    Start,
    Time,
    Unknown,
    Write,
)
from .harness import LONG, Store, hold, new_address, take, try_to_take

AGO = 5_000
"""In ms: how long ago the first sending was. Longer than any of these tests takes."""


def again(store: Store, operation: Operation) -> Outcome:
    return store.ask(store.repeated(operation, AGO))


def started(store: Store, address: Address) -> Meta:
    return store.expect(Start(address, new_id(), b"one"), Saved).meta


def finished(store: Store, address: Address) -> Meta:
    started(store, address)
    return store.expect(Finish(address, new_id(), FOREVER), Found).meta


Make = Callable[[Store, Address], Operation]

EACH: dict[str, Make] = {
    "start": lambda s, a: Start(a, new_id(), b"one", idle=LONG),
    "start or read": lambda s, a: Start(a, new_id(), b"one", read=True),
    "start beside a finished one": lambda s, a: (finished(s, a), Start(a, new_id(), b"two"))[1],
    "write": lambda s, a: Write(a, new_id(), started(s, a).stamp, b"two"),
    "finish by key": lambda s, a: (started(s, a), Finish(a, new_id(), FOREVER))[1],
    "finish by version": lambda s, a: Finish(
        a, new_id(), FOREVER, stamp=started(s, a).stamp, payload=b"two"
    ),
    "resume by key": lambda s, a: (finished(s, a), Resume(a, new_id()))[1],
    "resume by life": lambda s, a: Resume(a, new_id(), finished(s, a).life),
    "delete by key": lambda s, a: (started(s, a), Delete(a, new_id()))[1],
    "delete by life": lambda s, a: Delete(a, new_id(), started(s, a).life),
    "delete by version": lambda s, a: Delete(a, new_id(), stamp=started(s, a).stamp),
    "delete a finished one": lambda s, a: (finished(s, a), Delete(a, new_id()))[1],
    "delete nothing": lambda s, a: Delete(a, new_id()),
}


@pytest.mark.parametrize("name", EACH)
def test_lost_before_the_deed_it_is_done_once(store: Store, address: Address, name: str) -> None:
    operation = EACH[name](store, address)
    store.elapse(2)
    outcome = store.ask(store.repeated(operation, store.tick))
    assert type(outcome) in (Saved, Found, Deleted), f"{outcome} to the first {operation} to arrive"


@pytest.mark.parametrize("name", EACH)
def test_lost_after_the_deed_it_answers_the_same(store: Store, address: Address, name: str) -> None:
    operation = EACH[name](store, address)
    first = store.ask(operation)
    there = [store.ask(Read(address)), store.ask(Read(address, finished=True))]
    for _ in range(2):
        assert again(store, operation) == first
    assert [store.ask(Read(address)), store.ask(Read(address, finished=True))] == there


def test_a_start_knows_its_own_whoever_wrote_since(store: Store, address: Address) -> None:
    start = Start(address, new_id(), b"one")
    first = store.expect(start, Saved)
    written = store.expect(Write(address, new_id(), first.meta.stamp, b"two"), Saved).meta
    outcome = again(store, start)
    assert type(outcome) is Saved
    assert outcome.meta.stamp == first.meta.stamp
    assert store.expect(Read(address), Found) == Found(written, b"two")


def test_a_start_is_not_done_again_after_a_deletion(store: Store, address: Address) -> None:
    start = Start(address, new_id(), b"one")
    store.expect(start, Saved)
    store.expect(Delete(address, new_id()), Deleted)
    assert again(store, start) == Unknown()
    store.expect(Read(address), Missing)


def test_a_start_that_finds_another_begun_since_is_unknown(store: Store, address: Address) -> None:
    start = Start(address, new_id(), b"one")
    store.expect(start, Saved)
    store.expect(Delete(address, new_id()), Deleted)
    other = store.expect(Start(address, new_id(), b"two"), Saved).meta
    assert again(store, start) == Unknown(), "it said that it had not been done"
    assert store.expect(Read(address), Found) == Found(other, b"two")


def test_a_start_is_not_done_again_after_it_expired(store: Store, address: Address) -> None:
    start = Start(address, new_id(), b"one", idle=store.tick)
    store.expect(start, Saved)
    store.elapse(1)
    outcome = store.ask(store.repeated(start, 2 * store.tick))
    assert outcome == Unknown(), "what had expired came back"
    store.expect(Read(address), Missing)


def test_a_write_that_others_built_upon_is_unknown(store: Store, address: Address) -> None:
    meta = started(store, address)
    write = Write(address, new_id(), meta.stamp, b"two")
    second = store.expect(write, Saved).meta
    third = store.expect(Write(address, new_id(), second.stamp, b"three"), Saved).meta
    assert again(store, write) == Unknown()
    assert store.expect(Read(address), Found) == Found(third, b"three")


def test_a_write_that_another_came_before_is_stale(store: Store, address: Address) -> None:
    meta = started(store, address)
    write = Write(address, new_id(), meta.stamp, b"two")
    other = store.expect(Write(address, new_id(), meta.stamp, b"other"), Saved).meta
    assert again(store, write) == Stale(2)
    assert store.expect(Read(address), Found) == Found(other, b"other")


def test_a_write_of_a_deleted_session_is_unknown(store: Store, address: Address) -> None:
    meta = started(store, address)
    write = Write(address, new_id(), meta.stamp, b"two")
    store.expect(write, Saved)
    store.expect(Delete(address, new_id()), Deleted)
    assert again(store, write) == Unknown()
    store.expect(Read(address), Missing)


def test_a_finish_by_key_is_not_repeated_over_another_deed(store: Store, address: Address) -> None:
    started(store, address)
    finish = Finish(address, new_id(), FOREVER)
    store.expect(finish, Found)
    resumed = store.expect(Resume(address, new_id()), Found)
    assert again(store, finish) == Unknown()
    assert store.expect(Read(address), Found) == resumed, "somebody else's deed was undone"


def test_a_finish_by_key_without_retention_is_done_once(store: Store, address: Address) -> None:
    started(store, address)
    finish = Finish(address, new_id(), 0)
    store.expect(finish, Found)
    assert type(again(store, finish)) in (Found, Unknown)
    new = started(store, address)
    assert again(store, finish) == Unknown()
    assert store.expect(Read(address), Found).meta == new, "somebody else's deed was undone"


def test_a_resume_by_key_is_not_repeated_over_another_deed(store: Store, address: Address) -> None:
    finished(store, address)
    resume = Resume(address, new_id())
    store.expect(resume, Found)
    done = store.expect(Finish(address, new_id(), FOREVER), Found)
    assert again(store, resume) == Unknown()
    store.expect(Read(address), IsFinished)
    assert store.expect(Read(address, finished=True), Found) == done


def test_a_delete_by_key_is_not_repeated_over_another_deed(store: Store, address: Address) -> None:
    started(store, address)
    delete = Delete(address, new_id())
    store.expect(delete, Deleted)
    new = started(store, address)
    assert again(store, delete) == Unknown()
    assert store.expect(Read(address), Found).meta == new, "somebody else's deed was undone"


def test_by_key_alone_an_older_deed_is_no_obstacle(store: Store, address: Address) -> None:
    started(store, address)
    store.elapse(2)
    finish = Finish(address, new_id(), FOREVER)
    assert type(store.ask(store.repeated(finish, store.tick))) is Found
    store.elapse(2)
    assert type(store.ask(store.repeated(Resume(address, new_id()), store.tick))) is Found
    store.elapse(2)
    outcome = store.ask(store.repeated(Delete(address, new_id()), store.tick))
    assert outcome == Deleted(existed=True)


def test_a_repeat_that_was_long_on_its_way_is_not_done_over_another_deed(
    store: Store, address: Address
) -> None:
    started(store, address)
    store.elapse(2)
    late = store.repeated(Delete(address, new_id()), store.tick)
    done = store.expect(Finish(address, new_id(), FOREVER), Found)
    store.elapse(2)  # the deed is older by now than the first sending was when it was repeated
    assert store.ask(late) == Unknown()
    assert store.expect(Read(address, finished=True), Found) == done


def test_the_time_is_the_store_s(store: Store, address: Address) -> None:
    for place in (address, new_address(scope="s")):
        before = store.now_us()
        now = store.expect(Time(place), Pong).now
        assert before <= now <= store.now_us()


def test_the_first_sending_is_never_unknown(store: Store, address: Address) -> None:
    started(store, address)
    for _ in range(3):
        store.expect(Finish(address, new_id(), FOREVER), Found)
        store.expect(Resume(address, new_id()), Found)
    store.expect(Resume(address, new_id()), IsActive)
    store.expect(Delete(address, new_id()), Deleted)


def test_a_deleted_key_remembers(store: Store, address: Address) -> None:
    started(store, address)
    delete = Delete(address, new_id())
    store.expect(delete, Deleted)
    # Whatever else is asked of the key meanwhile.
    store.expect(Read(address), Missing)
    assert not store.expect(Delete(address, new_id()), Deleted).existed
    assert again(store, delete) == Deleted(existed=True)


# By ticket -------------------------------------------------------------------


def test_an_acquire_again_is_the_same_lock(locks: Store, address: Address) -> None:
    call = Acquire(address, new_id(), LONG)
    granted = locks.expect(call, Granted)
    assert locks.expect(call, Granted) == granted


def test_a_renewal_again_is_the_same_lock(locks: Store, address: Address) -> None:
    ticket, token = take(locks, address)
    renew = Renew(address, ticket, token, LONG)
    assert locks.expect(renew, Granted) == locks.expect(renew, Granted)


def test_a_release_again_is_released(locks: Store, address: Address) -> None:
    ticket, _ = take(locks, address)
    release = Release(address, ticket)
    locks.expect(release, Released)
    assert again(locks, release) == Released()
    assert try_to_take(locks, address)


def test_a_release_again_does_not_touch_the_next_holder(locks: Store, address: Address) -> None:
    ticket, _ = take(locks, address)
    release = Release(address, ticket)
    locks.expect(release, Released)
    later, token = take(locks, address)
    assert type(again(locks, release)) in (Released, Unknown)
    locks.expect(Renew(address, later, token, LONG), Granted)


def test_a_release_again_does_not_tell_of_what_ended_since(both: Store, address: Address) -> None:
    """The session was there when the lock was let go, and who was told otherwise was misled."""
    meta = started(both, address)
    ticket, _ = take(both, address)
    release = Release(address, ticket, meta.life)
    both.expect(release, Released)
    assert again(both, release) == Released()
    both.expect(Finish(address, new_id(), LONG), Found)
    assert again(both, release) == Unknown()
    both.expect(Delete(address, new_id()), Deleted)
    assert again(both, release) == Unknown()


def test_a_release_that_can_not_be_told_is_unknown(locks: Store, address: Address) -> None:
    ticket, _ = take(locks, address, lease=locks.tick)
    locks.elapse(1)
    assert again(locks, Release(address, ticket)) == Unknown()
    locks.expect(Release(address, ticket), Lost)


# By version, under a lock ----------------------------------------------------


def test_a_save_that_released_is_repeated(both: Store, address: Address) -> None:
    meta = started(both, address)
    call = Acquire(address, new_id(), LONG)
    holding = hold(call.ticket, both.expect(call, Granted))
    write = Write(address, new_id(), meta.stamp, b"two", lock=holding, release=True)
    saved = both.expect(write, Saved)
    assert again(both, write) == saved
    assert try_to_take(both, address)


def test_a_save_that_released_is_not_repeated_under_the_next(both: Store, address: Address) -> None:
    meta = started(both, address)
    call = Acquire(address, new_id(), LONG)
    holding = hold(call.ticket, both.expect(call, Granted))
    write = Write(address, new_id(), meta.stamp, b"two", lock=holding, release=True)
    second = both.expect(write, Saved).meta
    later, token = take(both, address)
    assert again(both, write) == Saved(second)
    third = Write(address, new_id(), second.stamp, b"three", lock=hold(later, Granted(token, 0)))
    both.expect(third, Saved)
    assert again(both, write) == Unknown()
    both.expect(Acquire(address, new_id(), LONG, queue=False), Locked)
    assert both.expect(Read(address), Found).payload == b"three"
