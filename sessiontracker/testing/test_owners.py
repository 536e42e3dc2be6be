"""An owner's sessions: their list, their limit, their keys."""

from __future__ import annotations

from functools import partial

import pytest
from msgspec.structs import replace

from ..contract import Capability, new_id
from ..operations import (
    FOREVER,
    Acquire,
    Address,
    Counted,
    CountOwner,
    Delete,
    Deleted,
    Ended,
    EndOwner,
    Finish,
    Found,
    InProgress,
    Limit,
    LimitReached,
    Listed,
    ListOwner,
    Meta,
    Missing,
    Read,
    Resume,
    Rotate,
    Saved,
    Stale,
    Start,
    Touch,
    Write,
)
from .harness import LONG, SCOPE, Store, at_once, new_address, take
from .owners import DAY, at, listed, shared, start, tell_apart, try_to_start

pytestmark = pytest.mark.needs(Capability.OWNERS)


@pytest.fixture
def owner() -> Address:
    """Whose name no test has used before."""
    return new_address("", SCOPE)


# Lists and counts --------------------------------------------------------------


def test_sessions_are_listed_whole_and_newest_first(store: Store, owner: Address) -> None:
    started: dict[str, Meta] = {}
    for key in ("kb", "ka", "kc"):
        started[key] = start(store, owner, key, key.encode(), idle=LONG)
        tell_apart(store)
    items = store.expect(ListOwner(owner), Listed).items
    assert [item.address for item in items] == [at(owner, key) for key in ("kc", "ka", "kb")]
    for item in items:
        assert item.meta == started[item.address.key]
        assert item.payload == item.address.key.encode()
    assert store.expect(CountOwner(owner), Counted).count == 3


def test_another_owners_sessions_are_not_listed(store: Store, owner: Address) -> None:
    start(store, owner, "ka")
    other = replace(owner, scope=SCOPE.swapcase())
    assert listed(store, other) == []
    start(store, other, "ka")
    plain = replace(owner, scope="", key="ka")
    store.expect(Start(plain, new_id(), b"plain"), Saved)
    other_type = replace(owner, type=owner.type + "x")
    start(store, other_type, "ka")
    store.expect(EndOwner(other, new_id()), Ended)
    assert listed(store, owner) == ["ka"]
    assert listed(store, other_type) == ["ka"]
    store.expect(Read(plain), Found)


def test_finished_and_deleted_ones_are_neither_listed_nor_counted(
    store: Store, owner: Address
) -> None:
    for key in ("ka", "kb", "kc"):
        start(store, owner, key)
    store.expect(Finish(at(owner, "ka"), new_id(), FOREVER), Found)
    store.expect(Delete(at(owner, "kb"), new_id()), Deleted)
    assert listed(store, owner) == ["kc"]


def test_an_expired_session_is_not_listed(store: Store, owner: Address) -> None:
    start(store, owner, "ka", idle=2 * store.tick)
    start(store, owner, "kb", idle=LONG)
    store.elapse(2.1)
    keys = [item.address.key for item in store.expect(ListOwner(owner), Listed).items]
    assert keys == ["kb"]


def test_an_expired_session_is_not_counted(store: Store, owner: Address) -> None:
    start(store, owner, "ka", idle=2 * store.tick)
    start(store, owner, "kb", idle=LONG)
    store.elapse(2.1)
    assert store.expect(CountOwner(owner), Counted).count == 1


def test_each_session_expires_by_itself(store: Store, owner: Address) -> None:
    start(store, owner, "ka", idle=2 * store.tick)
    start(store, owner, "kb", idle=2 * store.tick)
    store.elapse(1.5)
    store.expect(Touch(at(owner, "kb")), Saved)
    store.elapse(0.7)
    store.expect(Read(at(owner, "ka")), Missing)
    store.expect(Read(at(owner, "kb")), Found)


def test_listing_prolongs_nothing(store: Store, owner: Address) -> None:
    meta = start(store, owner, "ka", idle=LONG)
    store.elapse(1)
    listed(store, owner)
    assert store.expect(Read(at(owner, "ka")), Found).meta == meta


# The limit ---------------------------------------------------------------------


def test_one_too_many_is_refused(store: Store, owner: Address) -> None:
    for key in ("ka", "kb"):
        start(store, owner, key, limit=Limit(2))
    assert try_to_start(store, owner, "kc", Limit(2)) == LimitReached(2)
    assert sorted(listed(store, owner)) == ["ka", "kb"]
    assert type(try_to_start(store, owner, "ka", Limit(2))) is InProgress
    store.expect(Finish(at(owner, "ka"), new_id(), 0), Found)
    start(store, owner, "kc", limit=Limit(2))


def test_what_has_expired_makes_room(store: Store, owner: Address) -> None:
    start(store, owner, "ka", idle=2 * store.tick, limit=Limit(1))
    assert type(try_to_start(store, owner, "kb", Limit(1))) is LimitReached
    store.elapse(2.1)
    start(store, owner, "kb", limit=Limit(1))


def test_the_oldest_make_room(store: Store, owner: Address) -> None:
    for key in ("kb", "ka", "kc"):
        start(store, owner, key, key.encode())
        tell_apart(store)
    outcome = try_to_start(store, owner, "kd", Limit(2, finish_oldest=True, retention=LONG))
    assert isinstance(outcome, Saved), outcome
    assert sorted(outcome.ended) == ["ka", "kb"]
    assert listed(store, owner) == ["kd", "kc"]
    found = store.expect(Read(at(owner, "kb"), finished=True), Found)
    assert (found.payload, found.meta.version) == (b"kb", 2)
    assert found.meta.expires == found.meta.finished + LONG


def test_a_repeated_start_makes_room_once(store: Store, owner: Address) -> None:
    start(store, owner, "ka")
    tell_apart(store)
    start(store, owner, "kb")
    tell_apart(store)
    limit = Limit(2, finish_oldest=True, retention=LONG)
    operation = Start(at(owner, "kc"), new_id(), b"", "alice", limit=limit)
    first = store.expect(operation, Saved)
    again = store.expect(store.repeated(operation, DAY), Saved)
    assert (again.meta.stamp, again.ended) == (first.meta.stamp, first.ended)
    assert listed(store, owner) == ["kc", "kb"]


def test_resuming_counts_against_the_limit(store: Store, owner: Address) -> None:
    start(store, owner, "ka")
    store.expect(Finish(at(owner, "ka"), new_id(), FOREVER), Found)
    start(store, owner, "kb")
    full = Limit(1, finish_oldest=True, retention=LONG)
    resume = Resume(at(owner, "ka"), new_id(), limit=full)
    assert store.expect(resume, LimitReached).count == 1
    store.expect(replace(resume, limit=Limit(2)), Found)
    assert sorted(listed(store, owner)) == ["ka", "kb"]


@pytest.mark.roles("locking")
def test_a_lock_that_would_start_one_too_many_is_not_granted(both: Store, owner: Address) -> None:
    start(both, owner, "ka")
    begin = Start(at(owner, "kb"), new_id(), b"", "alice", limit=Limit(1))
    acquire = Acquire(at(owner, "kb"), new_id(), LONG, read=True, start=begin)
    both.expect(acquire, LimitReached)
    take(both, at(owner, "kb"))


def test_of_many_that_start_at_once_as_many_as_may_do(store: Store, owner: Address) -> None:
    outcomes = at_once(
        *[partial(try_to_start, store, owner, f"k{number}", Limit(3)) for number in range(16)]
    )
    done = sum(isinstance(outcome, Saved) for outcome in outcomes)
    assert done == 3, outcomes
    assert store.expect(CountOwner(owner), Counted).count == 3


# Another key -------------------------------------------------------------------


def test_a_rotated_session_lives_at_its_new_key_alone(store: Store, owner: Address) -> None:
    meta = start(store, owner, "kold", idle=LONG, limit=Limit(1))
    tell_apart(store)
    rotate = Rotate(at(owner, "kold"), new_id(), meta.stamp, b"two", "knew")
    moved = store.expect(rotate, Saved).meta
    store.expect(Read(at(owner, "kold")), Missing)
    assert listed(store, owner) == ["knew"]
    found = store.expect(Read(at(owner, "knew")), Found)
    assert (found.meta, found.payload) == (moved, b"two")
    assert (moved.life, moved.version, moved.expires) == (meta.life, 2, meta.expires)
    assert store.expect(store.repeated(rotate, 10_000), Saved).meta == moved
    store.expect(Rotate(at(owner, "kold"), new_id(), meta.stamp, b"", "kother"), Missing)


def test_rotating_is_checked_as_writing_is(store: Store, owner: Address) -> None:
    meta = start(store, owner, "kold")
    written = store.expect(Write(at(owner, "kold"), new_id(), meta.stamp, b"two"), Saved).meta
    store.expect(Rotate(at(owner, "kold"), new_id(), meta.stamp, b"", "knew"), Stale)
    start(store, owner, "ktaken")
    store.expect(Rotate(at(owner, "kold"), new_id(), written.stamp, b"", "ktaken"), InProgress)
    assert sorted(listed(store, owner)) == ["kold", "ktaken"]


# What is left ------------------------------------------------------------------


def test_names_that_were_made_up_leave_nothing(store: Store, owner: Address) -> None:
    for key in ("ka", "kb"):
        store.expect(Read(at(owner, key), slide=True), Missing)
        store.expect(Touch(at(owner, key)), Missing)
        store.expect(Finish(at(owner, key), new_id(), LONG), Missing)
        store.expect(Resume(at(owner, key), new_id(), limit=Limit(1)), Missing)
    assert listed(store, owner) == []
    assert shared(store, owner) is None
    assert store.expect(EndOwner(owner, new_id()), Ended).count == 0
    # Nothing remembers it: a repeat finds nobody in its way.
    assert store.expect(store.repeated(EndOwner(owner, new_id()), 10_000), Ended).count == 0
