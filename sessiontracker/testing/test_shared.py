"""What all of an owner's sessions share."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from ..contract import Capability, new_id
from ..operations import (
    Acquire,
    Address,
    Ended,
    EndOwner,
    Finish,
    Found,
    Granted,
    InProgress,
    Listed,
    ListOwner,
    Read,
    Reap,
    Reaped,
    Resume,
    Saved,
    SavedShared,
    Scan,
    Stale,
    Start,
    Unknown,
    WriteShared,
)
from .harness import LONG, SCOPE, Store, at_once, new_address
from .owners import DAY, at, share, shared, start

pytestmark = pytest.mark.needs(Capability.OWNERS)


@pytest.fixture
def owner() -> Address:
    """Whose name no test has used before."""
    return new_address("", SCOPE)


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
