"""All of an owner's sessions: their limit, their list, their end, and what they share."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

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
    FoundShared,
    Granted,
    InProgress,
    IsFinished,
    Limit,
    LimitReached,
    Listed,
    ListOwner,
    Locked,
    Meta,
    Missing,
    Read,
    ReadShared,
    Reap,
    Reaped,
    Release,
    Released,
    Resume,
    Rotate,
    Saved,
    SavedShared,
    Scan,
    Shared,
    Stale,
    Start,
    Touch,
    Unknown,
    Write,
    WriteShared,
)
from .harness import LONG, SCOPE, Store, at_once, new_address, take

pytestmark = pytest.mark.needs(Capability.OWNERS)

DAY = 86_400_000


@pytest.fixture
def owner() -> Address:
    """Whose name no test has used before."""
    return new_address("", SCOPE)


def at(owner: Address, key: str) -> Address:
    return replace(owner, key=key)


def start(store: Store, owner: Address, key: str, payload: bytes = b"new", **more: Any) -> Meta:
    operation = Start(at(owner, key), new_id(), payload, "alice", **more)
    return store.expect(operation, Saved).meta


def try_to_start(store: Store, owner: Address, key: str, limit: Limit) -> Any:
    return store.ask(Start(at(owner, key), new_id(), b"", "alice", limit=limit))


def listed(store: Store, owner: Address) -> list[str]:
    """The keys of the active sessions, newest first; their count must say the same."""
    keys = [item.address.key for item in store.expect(ListOwner(owner), Listed).items]
    assert store.expect(CountOwner(owner), Counted).count == len(keys)
    return keys


def shared(store: Store, owner: Address) -> Shared | None:
    return store.expect(ReadShared(owner), FoundShared).shared


def share(store: Store, owner: Address, payload: bytes, keep: int = DAY) -> int:
    now = shared(store, owner)
    version, write = (0, 0) if now is None else (now.version, now.write)
    operation = WriteShared(owner, new_id(), version, write, payload, keep)
    return store.expect(operation, SavedShared).version


def tell_apart(store: Store) -> None:
    """Let the store's clock show another millisecond."""
    if store.clock is not None:
        store.clock.now += 1_000
        return
    now = store.now()
    while store.now() == now:
        time.sleep(0.0005)


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


# Log out everywhere ------------------------------------------------------------


def test_all_are_finished_at_once(store: Store, owner: Address) -> None:
    for key in ("ka", "kb"):
        start(store, owner, key, key.encode())
    store.expect(EndOwner(owner, new_id(), LONG), Ended)
    assert listed(store, owner) == []
    found = store.expect(Read(at(owner, "kb"), finished=True), Found)
    assert (found.payload, found.meta.version) == (b"kb", 2)
    assert found.meta.expires == found.meta.finished + LONG
    store.expect(Read(at(owner, "ka")), IsFinished)


def test_the_one_that_is_kept_is_kept(store: Store, owner: Address) -> None:
    for key in ("ka", "kb", "kc"):
        start(store, owner, key)
    assert store.expect(EndOwner(owner, new_id(), LONG, "kb"), Ended).count == 2
    assert store.expect(EndOwner(owner, new_id(), None, "kb"), Ended).count == 2
    assert listed(store, owner) == ["kb"]


def test_all_are_removed_finished_ones_too(store: Store, owner: Address) -> None:
    for key in ("ka", "kb"):
        start(store, owner, key)
    store.expect(Finish(at(owner, "ka"), new_id(), FOREVER), Found)
    assert store.expect(EndOwner(owner, new_id()), Ended).count == 2
    for key in ("ka", "kb"):
        store.expect(Read(at(owner, key)), Missing)
        store.expect(Read(at(owner, key), finished=True), Missing)
    assert store.expect(EndOwner(owner, new_id()), Ended).count == 0


@pytest.mark.roles("locking")
def test_locks_are_no_bar_to_a_log_out(both: Store, owner: Address) -> None:
    start(both, owner, "ka")
    ticket, token = take(both, at(owner, "ka"))
    assert both.expect(EndOwner(owner, new_id(), LONG), Ended).count == 1
    assert type(try_to_start(both, owner, "ka", Limit(9))) is Locked
    both.expect(Release(at(owner, "ka"), ticket), Released)
    assert take(both, at(owner, "ka"))[1] > token


def test_a_repeated_log_out_ends_no_more(store: Store, owner: Address) -> None:
    for key in ("ka", "kb"):
        start(store, owner, key)
    end = EndOwner(owner, new_id(), LONG)
    assert store.expect(end, Ended).count == 2
    start(store, owner, "kc")
    assert store.expect(store.repeated(end, 10_000), Ended).count == 2
    assert listed(store, owner) == ["kc"]


def test_a_log_out_is_not_done_late(store: Store, owner: Address) -> None:
    start(store, owner, "ka")
    store.expect(store.repeated(EndOwner(owner, new_id()), 10_000), Unknown)
    store.expect(store.repeated(EndOwner(owner, new_id(), LONG), 10_000), Unknown)
    assert listed(store, owner) == ["ka"]


def test_what_went_by_key_before_a_log_out_is_not_done_after_it(
    store: Store, owner: Address
) -> None:
    start(store, owner, "ka")
    store.elapse(3)
    store.expect(EndOwner(owner, new_id()), Ended)
    for operation in (
        Start(at(owner, "ka"), new_id(), b"", "alice"),
        Finish(at(owner, "ka"), new_id(), LONG),
        Delete(at(owner, "ka"), new_id()),
    ):
        # First sent before the log-out, and after all else that was done to the key.
        store.expect(store.repeated(operation, 2 * store.tick), Unknown)
    assert listed(store, owner) == []


def test_a_start_is_wholly_before_a_log_out_or_wholly_after(store: Store, owner: Address) -> None:
    """Whoever starts one session after the other is left with the last ones alone."""
    for _ in range(6):
        keys: list[str] = []
        over = threading.Event()

        def begin(keys: list[str] = keys, over: threading.Event = over) -> int:
            while not over.is_set() or len(keys) < 4:
                keys.append(f"k{'az'[len(keys) % 2]}{len(keys)}")
                start(store, owner, keys[-1])
            return 0

        def end(over: threading.Event = over) -> int:
            time.sleep(0.002)
            try:
                return store.expect(EndOwner(owner, new_id()), Ended).count
            finally:
                over.set()

        _, gone = at_once(begin, end)
        left = set(listed(store, owner))
        assert left == set(keys[gone:]), f"of {len(keys)}, {gone} were ended, {left} are left"
        assert store.expect(EndOwner(owner, new_id()), Ended).count == len(left)


def test_what_was_started_has_ended_or_is_there(store: Store, owner: Address) -> None:
    def begin(caller: int) -> int:
        for number in range(6):
            start(store, owner, f"k{caller}.{number}")
        return 6

    def end() -> int:
        count = 0
        for _ in range(4):
            count -= store.expect(EndOwner(owner, new_id()), Ended).count
        return count

    left = sum(at_once(*[partial(begin, caller) for caller in range(6)], end, end))
    assert store.expect(CountOwner(owner), Counted).count == left


# What they share ---------------------------------------------------------------


def test_what_is_shared_comes_with_every_session(store: Store, owner: Address) -> None:
    start(store, owner, "ka")
    assert shared(store, owner) is None
    assert store.expect(Read(at(owner, "ka")), Found).shared is None
    version = share(store, owner, b"dark")
    now = shared(store, owner)
    assert now is not None
    assert (now.payload, now.version) == (b"dark", version)
    begun = store.expect(Start(at(owner, "kb"), new_id(), b"", "alice"), Saved)
    assert begun.shared == now
    assert store.expect(Read(at(owner, "ka"), slide=True), Found).shared == now
    again = Start(at(owner, "ka"), new_id(), b"", "alice")
    assert store.expect(again, InProgress).found.shared == now
    assert store.expect(replace(again, read=True), Found).shared == now
    assert store.expect(Finish(at(owner, "ka"), new_id(), LONG), Found).shared == now
    assert store.expect(Read(at(owner, "ka"), finished=True), Found).shared == now
    assert store.expect(Resume(at(owner, "ka"), new_id()), Found).shared == now
    assert [item.shared for item in store.expect(ListOwner(owner), Listed).items] == [now, now]


@pytest.mark.needs(Capability.SCAN)
def test_what_is_shared_comes_with_a_page_of_sessions(store: Store, owner: Address) -> None:
    start(store, owner, "ka")
    share(store, owner, b"dark")
    page: Any = store.ask(Scan(owner.type))
    assert [(item.address.key, item.shared.payload) for item in page.items] == [("ka", b"dark")]


@pytest.mark.roles("locking")
def test_what_is_shared_comes_with_the_lock(both: Store, owner: Address) -> None:
    start(both, owner, "ka")
    share(both, owner, b"dark")
    granted = both.expect(Acquire(at(owner, "ka"), new_id(), LONG, read=True), Granted)
    assert granted.found is not None
    assert granted.found.shared == shared(both, owner)


def test_of_two_who_write_what_is_shared_one_is_refused(store: Store, owner: Address) -> None:
    version = share(store, owner, b"one")
    late = WriteShared(owner, new_id(), 0, 0, b"late", DAY)
    assert store.expect(late, Stale).actual == version
    now = shared(store, owner)
    assert now is not None
    forged = WriteShared(owner, new_id(), version, now.write + 1, b"forged", DAY)
    store.expect(forged, Stale)
    assert shared(store, owner) == now


def test_of_many_who_write_what_is_shared_each_builds_on_the_last(
    store: Store, owner: Address
) -> None:
    def add() -> None:
        left = 8
        while left:
            now = shared(store, owner)
            version, write = (0, 0) if now is None else (now.version, now.write)
            payload = b"%d" % (1 if now is None else int(now.payload) + 1)
            operation = WriteShared(owner, new_id(), version, write, payload, DAY)
            left -= isinstance(store.ask(operation), SavedShared)

    at_once(*[add] * 6)
    now = shared(store, owner)
    assert now is not None
    assert int(now.payload) == 48


def test_a_repeated_write_of_what_is_shared_is_done_once(store: Store, owner: Address) -> None:
    write = WriteShared(owner, new_id(), 0, 0, b"one", DAY)
    first = store.expect(write, SavedShared)
    assert store.expect(store.repeated(write, 10_000), SavedShared) == first
    share(store, owner, b"two")
    store.expect(store.repeated(write, 10_000), Unknown)


def test_its_version_rises_also_when_it_was_forgotten(store: Store, owner: Address) -> None:
    first = share(store, owner, b"one", keep=store.tick)
    second = share(store, owner, b"two", keep=store.tick)
    assert second > first
    store.elapse(2)
    store.expect(Reap(1_000_000), Reaped)
    assert shared(store, owner) is None
    assert share(store, owner, b"three", keep=0) > second


def test_what_is_shared_lives_with_the_last_session_at_least(store: Store, owner: Address) -> None:
    start(store, owner, "ka", idle=2 * store.tick)
    share(store, owner, b"dark", keep=0)
    store.elapse(1.5)
    assert shared(store, owner) is not None
    store.elapse(0.6)
    assert shared(store, owner) is None
    assert store.expect(Start(at(owner, "ka"), new_id(), b""), Saved).shared is None


def test_what_is_shared_is_kept_for_its_own_time(store: Store, owner: Address) -> None:
    start(store, owner, "ka")
    share(store, owner, b"dark", keep=2 * store.tick)
    store.expect(EndOwner(owner, new_id()), Ended)
    store.expect(Reap(1_000_000), Reaped)
    assert shared(store, owner) is not None
    store.elapse(2.1)
    assert shared(store, owner) is None


def test_another_type_shares_nothing_with_it(store: Store, owner: Address) -> None:
    share(store, owner, b"dark")
    other = replace(owner, type=owner.type + "x")
    assert shared(store, other) is None
    start(store, other, "ka")
    assert store.expect(Read(at(other, "ka")), Found).shared is None


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
