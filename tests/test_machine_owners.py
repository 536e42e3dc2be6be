"""The machine on an owner's slot: lists and limits, by example."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sessiontracker.operations import (
    Acquire,
    Delete,
    Ended,
    Finish,
    Found,
    Granted,
    InProgress,
    IsActive,
    IsFinished,
    Limit,
    LimitReached,
    ListOwner,
    Locked,
    Lost,
    Missing,
    Queued,
    Read,
    Release,
    Released,
    Resume,
    Rotate,
    Saved,
    Stamp,
    Start,
    Touch,
    Write,
)
from sessiontracker.state import EMPTY
from tests.one_owner import DAY, OWNER, Store, at


@pytest.fixture
def store() -> Store:
    return Store()


# Lists and counts --------------------------------------------------------------


def test_an_owners_sessions_are_listed_newest_first(store: Store) -> None:
    for key in ("kios", "kweb", "kandroid"):
        store.start(key)
        store.go_on(1)
    assert store.listed() == ["kandroid", "kweb", "kios"]


def test_of_those_that_started_at_once_the_order_is_the_keys(store: Store) -> None:
    for key in ("kc", "ka", "kb"):
        store.start(key)
    assert store.listed() == ["ka", "kb", "kc"]


def test_a_list_holds_the_sessions_whole(store: Store) -> None:
    meta = store.start("kios", b"mine")
    version = store.share(b"theirs")
    (item,) = store.ask(ListOwner(OWNER)).items
    assert (item.address, item.meta, item.payload) == (at("kios"), meta, b"mine")
    assert (item.shared.payload, item.shared.version) == (b"theirs", version)


def test_finished_sessions_are_neither_listed_nor_counted(store: Store) -> None:
    store.start("kios")
    store.start("kweb")
    store.finish("kios")
    assert store.listed() == ["kweb"]


def test_an_expired_session_is_never_listed_nor_counted(store: Store) -> None:
    store.start("kios", idle=1_000)
    store.start("kweb", idle=5_000)
    store.go_on(999.999)
    assert store.listed() == ["kios", "kweb"]
    store.go_on(0.001)
    assert store.listed() == ["kweb"]


def test_each_session_keeps_its_own_expiry(store: Store) -> None:
    store.start("kios", idle=1_000)
    store.start("kweb", idle=1_000)
    store.go_on(900)
    assert isinstance(store.ask(Touch(at("kweb"))), Saved)
    store.go_on(100)
    assert store.listed() == ["kweb"]
    assert isinstance(store.read("kios"), Missing)


def test_listing_and_counting_begin_no_timeout_anew(store: Store) -> None:
    store.start("kios", idle=1_000)
    before = store.slot
    store.go_on(900)
    store.listed()
    assert store.slot is before


def test_an_owner_that_nobody_knows_has_no_sessions_and_leaves_nothing(store: Store) -> None:
    assert store.listed() == []
    assert store.shared() is None
    assert store.delete_all() == Ended(0)
    assert store.finish_all() == Ended(0)
    for operation in (
        Read(at("kios"), slide=True),
        Read(at("kios"), finished=True),
        Touch(at("kios")),
        Finish(at("kios"), 7, DAY),
        Resume(at("kios"), 7, limit=Limit(1)),
        Delete(at("kios"), 7),
        Write(at("kios"), 7, Stamp(1, 1, 1), b""),
        Rotate(at("kios"), 7, Stamp(1, 1, 1), b"", "kweb"),
        Acquire(at("kios"), 7, DAY, read=True),
    ):
        store.ask(operation)
    assert store.slot is EMPTY


# The limit ---------------------------------------------------------------------


def test_a_session_past_the_limit_is_refused(store: Store) -> None:
    store.start("kios", limit=Limit(2))
    store.start("kweb", limit=Limit(2))
    before = store.slot
    assert store.try_to_start("kandroid", limit=Limit(2)) == LimitReached(2)
    assert store.slot is before


def test_what_is_there_is_read_or_refused_as_ever_at_the_limit(store: Store) -> None:
    store.start("kios", limit=Limit(1))
    assert isinstance(store.try_to_start("kios", limit=Limit(1)), InProgress)
    assert isinstance(store.try_to_start("kios", limit=Limit(1), read=True), Found)


def test_expired_and_finished_sessions_make_room(store: Store) -> None:
    store.start("kios", idle=1_000, limit=Limit(2))
    store.start("kweb", limit=Limit(2))
    store.go_on(1_000)
    store.start("kandroid", limit=Limit(2))
    store.finish("kweb")
    store.start("ktv", limit=Limit(2))
    assert store.listed() == ["kandroid", "ktv"]


def test_the_oldest_are_finished_to_make_room(store: Store) -> None:
    for key in ("kios", "kweb", "kandroid"):
        store.start(key)
        store.go_on(1)
    limit = Limit(2, finish_oldest=True, retention=DAY)
    outcome = store.try_to_start("ktv", limit=limit)
    assert isinstance(outcome, Saved)
    assert outcome.ended == ("kios", "kweb")
    assert store.listed() == ["ktv", "kandroid"]
    finished = store.read("kios", finished=True)
    assert isinstance(finished, Found)
    assert (finished.meta.version, finished.payload) == (2, b"new")
    assert finished.meta.finished == store.now // 1000
    assert finished.meta.expires == store.now // 1000 + DAY


def test_those_that_make_room_are_not_kept_where_nothing_is(store: Store) -> None:
    store.start("kios")
    store.start("kweb", limit=Limit(1, finish_oldest=True))
    assert isinstance(store.read("kios", finished=True), Missing)


def test_finishing_the_oldest_is_an_administrators_deed(store: Store) -> None:
    meta = store.start("kios")
    hold = store.lock("kios", 7)
    store.start("kweb", limit=Limit(1, finish_oldest=True, retention=DAY))
    write = Write(at("kios"), store.id(), meta.stamp, b"late", lock=hold)
    assert isinstance(store.ask(write), IsFinished)
    assert isinstance(store.ask(Release(at("kios"), 7)), Released)


def test_a_repeated_start_makes_room_once(store: Store) -> None:
    store.start("kios")
    store.go_on(1)
    store.start("kweb")
    limit = Limit(2, finish_oldest=True, retention=DAY)
    start = Start(at("kandroid"), store.id(), b"", "alice", limit=limit)
    first = store.ask(start)
    store.go_on(5)
    again = store.ask(replace(start, since=store.ms - 6))
    assert again == first
    assert first.ended == ("kios",)
    assert store.listed() == ["kandroid", "kweb"]


def test_a_start_that_was_refused_may_be_repeated_once_there_is_room(store: Store) -> None:
    store.start("kios", limit=Limit(1))
    start = Start(at("kweb"), store.id(), b"", "alice", limit=Limit(1))
    assert isinstance(store.ask(start), LimitReached)
    store.go_on(1)
    store.finish("kios")
    assert isinstance(store.ask(replace(start, since=store.ms - 2)), Saved)


def test_resuming_counts_against_the_limit_and_never_ends_another(store: Store) -> None:
    store.start("kios")
    store.finish("kios")
    store.start("kweb")
    before = store.slot
    assert store.resume("kios", Limit(1, finish_oldest=True)) == LimitReached(1)
    assert store.slot is before
    assert isinstance(store.resume("kios", Limit(2)), Found)
    assert store.listed() == ["kios", "kweb"]


def test_the_limit_is_the_last_of_all_refusals(store: Store) -> None:
    store.start("kweb")
    hold = store.lock("kios", 7)
    full = Limit(1)
    lost = replace(hold, token=hold.token + 1)
    assert isinstance(store.try_to_start("kios", limit=full, lock=lost), Lost)
    assert isinstance(store.try_to_start("kios", limit=full), Locked)
    assert isinstance(store.try_to_start("kios", limit=full, lock=hold), LimitReached)
    assert isinstance(store.resume("kios", full), Missing)
    assert isinstance(store.resume("kweb", full), IsActive)


def test_a_lock_that_would_start_one_too_many_is_not_granted(store: Store) -> None:
    store.start("kweb")
    start = Start(at("kios"), store.id(), b"", "alice", limit=Limit(1))
    acquire = Acquire(at("kios"), 7, 30_000, read=True, start=start)
    before = store.slot
    assert store.ask(acquire) == LimitReached(1)
    assert store.slot is before
    made = replace(start, limit=Limit(1, finish_oldest=True, retention=DAY))
    granted = store.ask(replace(acquire, start=made))
    assert isinstance(granted, Granted)
    assert granted.ended == ("kweb",)
    assert store.listed() == ["kios"]


def test_who_is_refused_by_the_limit_leaves_the_queue(store: Store) -> None:
    store.start("kweb")
    store.lock("kios", 7)
    start = Start(at("kios"), store.id(), b"", "alice", limit=Limit(1))
    acquire = Acquire(at("kios"), 8, 30_000, read=True, start=start)
    assert isinstance(store.ask(acquire), Queued)
    store.ask(Release(at("kios"), 7))
    assert isinstance(store.ask(acquire), LimitReached)
    store.lock("kios", 9)
