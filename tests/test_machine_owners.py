"""The machine on an owner's slot: limits, lists, log-outs and what is shared, by example."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from sessiontracker.machine import apply
from sessiontracker.operations import (
    FOREVER,
    Acquire,
    Address,
    Counted,
    CountOwner,
    Delete,
    Ended,
    EndOwner,
    Finish,
    Found,
    FoundShared,
    Granted,
    Hold,
    InProgress,
    IsActive,
    IsFinished,
    Limit,
    LimitReached,
    Listed,
    ListOwner,
    Locked,
    Lost,
    Meta,
    Missing,
    Operation,
    Outcome,
    Queued,
    Read,
    ReadShared,
    Release,
    Released,
    Resume,
    Rotate,
    Saved,
    SavedShared,
    Shared,
    Stale,
    Stamp,
    Start,
    Touch,
    Unknown,
    Write,
    WriteShared,
)
from sessiontracker.state import EMPTY, REMEMBERED, due, is_empty, sweep

OWNER = Address("login", "c2NvcGUgb2YgMTI4IGJpdA", "")
DAY = 86_400_000
BEGIN = 1_800_000_000_000  # ms


class Store:
    """An owner's slot and a clock that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.slot = EMPTY
        self.now = BEGIN * 1000
        self.ids = count(1)

    @property
    def ms(self) -> int:
        return self.now // 1000

    def go_on(self, ms: float) -> None:
        self.now += round(ms * 1000)

    def ask(self, operation: Operation) -> Any:
        self.slot, outcome = apply(self.slot, operation, self.now)
        return outcome

    def id(self) -> int:
        return next(self.ids)

    # Shorthands

    def try_to_start(self, key: str, payload: bytes = b"new", **more: Any) -> Outcome:
        outcome: Outcome = self.ask(Start(at(key), self.id(), payload, "alice", **more))
        return outcome

    def start(self, key: str, payload: bytes = b"new", **more: Any) -> Meta:
        outcome = self.try_to_start(key, payload, **more)
        assert isinstance(outcome, Saved), outcome
        return outcome.meta

    def finish(self, key: str, retention: int = DAY) -> Meta:
        outcome = self.ask(Finish(at(key), self.id(), retention))
        assert isinstance(outcome, Found), outcome
        return outcome.meta

    def resume(self, key: str, limit: Limit | None = None) -> Outcome:
        outcome: Outcome = self.ask(Resume(at(key), self.id(), limit=limit))
        return outcome

    def read(self, key: str, **more: Any) -> Outcome:
        outcome: Outcome = self.ask(Read(at(key), **more))
        return outcome

    def listed(self) -> list[str]:
        outcome = self.ask(ListOwner(OWNER))
        assert isinstance(outcome, Listed), outcome
        keys = [item.address.key for item in outcome.items]
        counted = self.ask(CountOwner(OWNER))
        assert counted == Counted(len(keys))
        return keys

    def finish_all(self, retention: int = DAY, keep: str = "", **more: Any) -> Outcome:
        outcome: Outcome = self.ask(EndOwner(OWNER, self.id(), retention, keep, **more))
        return outcome

    def delete_all(self, keep: str = "", **more: Any) -> Outcome:
        outcome: Outcome = self.ask(EndOwner(OWNER, self.id(), None, keep, **more))
        return outcome

    def shared(self) -> Shared | None:
        outcome = self.ask(ReadShared(OWNER))
        assert isinstance(outcome, FoundShared), outcome
        return outcome.shared

    def share(self, payload: bytes, keep: int = DAY) -> int:
        now = self.shared()
        version, write = (0, 0) if now is None else (now.version, now.write)
        outcome = self.ask(WriteShared(OWNER, self.id(), version, write, payload, keep))
        assert isinstance(outcome, SavedShared), outcome
        return outcome.version

    def lock(self, key: str, ticket: int) -> Hold:
        outcome = self.ask(Acquire(at(key), ticket, 30_000))
        assert isinstance(outcome, Granted), outcome
        return Hold(ticket, outcome.token)


def at(key: str) -> Address:
    return replace(OWNER, key=key)


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


# Log out everywhere ------------------------------------------------------------


def test_all_are_finished_but_for_one(store: Store) -> None:
    first = store.start("kios", b"mine")
    store.start("kweb")
    store.go_on(1)
    assert store.finish_all(keep="kweb") == Ended(1)
    assert store.listed() == ["kweb"]
    finished = store.read("kios", finished=True)
    assert isinstance(finished, Found)
    assert (finished.payload, finished.meta.version) == (b"mine", first.version + 1)
    assert finished.meta.expires == store.now // 1000 + DAY


def test_finished_ones_stay_where_they_are_when_all_are_finished(store: Store) -> None:
    store.start("kios")
    earlier = store.finish("kios", FOREVER)
    store.start("kweb")
    assert store.finish_all() == Ended(1)
    finished = store.read("kios", finished=True)
    assert isinstance(finished, Found)
    assert finished.meta == earlier


def test_a_later_finished_one_replaces_the_earlier(store: Store) -> None:
    store.start("kios", b"first")
    store.finish("kios")
    store.start("kios", b"second")
    assert store.finish_all() == Ended(1)
    finished = store.read("kios", finished=True)
    assert isinstance(finished, Found)
    assert finished.payload == b"second"


def test_all_are_removed_finished_ones_too(store: Store) -> None:
    store.start("kios")
    store.finish("kios")
    store.start("kios")
    store.start("kweb")
    store.start("ktv")
    store.finish("ktv")
    assert store.delete_all(keep="kweb") == Ended(3)
    assert store.listed() == ["kweb"]
    for key in ("kios", "ktv"):
        assert isinstance(store.read(key), Missing)
        assert isinstance(store.read(key, finished=True), Missing)


def test_none_are_kept_where_finished_ones_are_not(store: Store) -> None:
    store.start("kios")
    assert store.finish_all(retention=0) == Ended(1)
    assert isinstance(store.read("kios", finished=True), Missing)


def test_expired_ones_do_not_count_as_ended(store: Store) -> None:
    store.start("kios", idle=1_000)
    store.start("kweb")
    store.start("ktv")
    store.finish("ktv", 1_000)
    store.go_on(1_000)
    assert store.delete_all() == Ended(1)


def test_locks_are_no_bar_and_stay_with_their_keys(store: Store) -> None:
    meta = store.start("kios")
    hold = store.lock("kios", 7)
    assert isinstance(store.ask(Acquire(at("kios"), 8, 30_000)), Queued)
    assert store.delete_all() == Ended(1)
    assert isinstance(store.try_to_start("kios"), Locked)
    write = Write(at("kios"), store.id(), meta.stamp, b"late", lock=hold)
    assert isinstance(store.ask(write), Missing)
    assert isinstance(store.ask(Release(at("kios"), 7)), Released)
    granted = store.ask(Acquire(at("kios"), 8, 30_000))
    assert isinstance(granted, Granted)
    assert granted.token > hold.token


def test_a_repeated_log_out_answers_the_same_and_ends_nothing_more(store: Store) -> None:
    store.start("kios")
    store.start("kweb")
    end = EndOwner(OWNER, store.id())
    assert store.ask(end) == Ended(2)
    store.go_on(5)
    store.start("kandroid")
    store.go_on(5)
    assert store.ask(replace(end, since=store.ms - 11)) == Ended(2)
    assert store.listed() == ["kandroid"]


@pytest.mark.parametrize("deed", ["start", "finish", "delete", "end"])
def test_a_log_out_is_not_repeated_past_what_others_have_done(store: Store, deed: str) -> None:
    store.start("kios")
    store.start("kweb")
    store.go_on(1_000)
    match deed:
        case "start":
            store.start("ktv")
        case "finish":
            store.finish("kios", 0)
        case "delete":
            store.ask(Delete(at("kios"), store.id()))
        case _:
            store.delete_all(keep="kweb")
    store.go_on(1)
    left = store.listed()
    assert isinstance(store.delete_all(since=store.ms - 1), Unknown)
    assert isinstance(store.finish_all(since=store.ms - 1), Unknown)
    assert store.listed() == left
    store.go_on(1)
    assert isinstance(store.delete_all(since=store.ms - 1), Ended)


def test_a_log_out_that_is_repeated_too_late_is_not_known(store: Store) -> None:
    store.start("kios")
    store.go_on(REMEMBERED + 1)
    assert isinstance(store.delete_all(since=store.ms - REMEMBERED), Unknown)
    assert store.listed() == ["kios"]


def test_a_log_out_is_what_each_key_saw_last(store: Store) -> None:
    """A repeat by key, sent before it, must not act on what came after it."""
    store.start("kios")
    store.go_on(1_000)
    finish, delete = Finish(at("kios"), store.id(), DAY), Delete(at("kios"), store.id())
    store.go_on(1)
    store.delete_all()
    store.go_on(1)
    assert isinstance(store.ask(replace(finish, since=store.ms - 3)), Unknown)
    assert isinstance(store.ask(replace(delete, since=store.ms - 3)), Unknown)
    start = Start(at("kios"), store.id(), b"", "alice")
    assert isinstance(store.ask(replace(start, since=store.ms - 3)), Unknown)
    assert isinstance(store.ask(start), Saved)


def test_a_write_that_was_done_before_a_log_out_is_not_called_missing(store: Store) -> None:
    meta = store.start("kios")
    write = Write(at("kios"), store.id(), meta.stamp, b"new")
    store.ask(write)
    store.go_on(1)
    store.delete_all()
    store.go_on(1)
    assert isinstance(store.ask(replace(write, since=store.ms - 3)), Unknown)


def test_the_memory_of_a_log_out_survives_a_clock_that_goes_back(store: Store) -> None:
    store.start("kios")
    end = EndOwner(OWNER, store.id())
    store.ask(end)
    store.go_on(-5_000)
    store.start("kweb")
    assert store.ask(replace(end, since=store.ms - 10)) == Ended(1)
    other = EndOwner(OWNER, store.id())
    assert store.ask(other) == Ended(1)
    store.go_on(5_010)
    assert isinstance(store.ask(Delete(at("kweb"), store.id(), since=store.ms - 20)), Unknown)


def test_a_log_out_leaves_its_own_memory_and_no_more(store: Store) -> None:
    for number in range(10):
        store.start(f"k{number}")
    store.go_on(REMEMBERED)
    store.delete_all()
    assert store.slot.keys == {}
    assert due(store.slot) == store.now // 1000 + REMEMBERED
    store.go_on(REMEMBERED)
    assert is_empty(sweep(store.slot, store.now)[0])


# What they share ---------------------------------------------------------------


def test_what_is_shared_comes_with_every_session_that_is_read(store: Store) -> None:
    store.start("kios", limit=Limit(3))
    version = store.share(b"dark")
    now = store.shared()
    assert now is not None
    assert (now.payload, now.version) == (b"dark", version)
    started = store.try_to_start("kweb")
    assert isinstance(started, Saved)
    assert started.shared == now
    taken = store.try_to_start("kweb")
    assert isinstance(taken, InProgress)
    assert taken.found.shared == now
    for outcome in (store.read("kweb"), store.try_to_start("kweb", read=True)):
        assert isinstance(outcome, Found)
        assert outcome.shared == now
    granted = store.ask(Acquire(at("kweb"), 7, 30_000, read=True))
    assert granted.found.shared == now
    store.ask(Release(at("kweb"), 7))
    finished = store.ask(Finish(at("kweb"), store.id(), DAY))
    assert finished.shared == now
    read = store.read("kweb", finished=True)
    assert isinstance(read, Found)
    assert read.shared == now
    resumed = store.resume("kweb")
    assert isinstance(resumed, Found)
    assert resumed.shared == now
    rotated = store.ask(Rotate(at("kweb"), store.id(), resumed.meta.stamp, b"", "knew"))
    assert rotated.shared == now


def test_there_is_nothing_shared_before_it_is_written(store: Store) -> None:
    store.start("kios")
    read = store.read("kios")
    assert isinstance(read, Found)
    assert read.shared is None
    assert store.shared() is None


def test_who_read_what_is_not_there_any_more_is_refused(store: Store) -> None:
    version = store.share(b"one")
    now = store.shared()
    assert now is not None
    for read in ((0, 0), (version, now.write + 1), (version - 1, now.write)):
        write = WriteShared(OWNER, store.id(), *read, b"two", DAY)
        assert store.ask(write) == Stale(version)
    assert store.shared() == now


def test_its_version_rises_and_never_comes_again(store: Store) -> None:
    first = store.share(b"one")
    second = store.share(b"two")
    assert first == store.now
    assert second == first + 1
    store.go_on(DAY)
    store.slot, _ = sweep(store.slot, store.now)
    assert is_empty(store.slot)
    assert store.shared() is None
    assert store.share(b"three") > second


def test_with_the_clock_set_back_its_version_rises_all_the_same(store: Store) -> None:
    first = store.share(b"one", keep=0)
    store.go_on(-60_000)
    store.slot, _ = sweep(store.slot, store.now)
    assert store.share(b"two", keep=0) > first


def test_it_lives_with_the_last_session_and_for_its_own_time_at_least(store: Store) -> None:
    store.start("kios", idle=10_000)
    store.share(b"dark", keep=5_000)
    store.go_on(9_999)
    assert store.shared() is not None
    store.go_on(1)
    assert store.shared() is None
    store.start("kios", idle=1_000)
    store.share(b"light", keep=5_000)
    store.go_on(4_999)
    assert store.shared() is not None
    store.go_on(1)
    assert store.shared() is None


def test_a_finished_session_keeps_it_alive(store: Store) -> None:
    store.start("kios")
    store.share(b"dark", keep=0)
    store.finish("kios", 10_000)
    store.go_on(9_999)
    assert store.shared() is not None
    store.go_on(1)
    assert store.shared() is None


def test_what_has_gone_does_not_come_back_with_a_new_session(store: Store) -> None:
    store.start("kios", idle=1_000)
    store.share(b"dark", keep=0)
    store.go_on(1_000)
    started = store.try_to_start("kios")
    assert isinstance(started, Saved)
    assert started.shared is None
    assert store.shared() is None


def test_it_outlives_a_log_out_for_its_own_time(store: Store) -> None:
    store.start("kios")
    store.share(b"dark", keep=10_000)
    store.delete_all()
    store.go_on(9_999)
    assert store.shared() is not None
    assert due(store.slot) <= store.now // 1000 + 1
    store.go_on(REMEMBERED)
    assert is_empty(sweep(store.slot, store.now)[0])


def test_a_repeated_write_of_it_is_done_once(store: Store) -> None:
    write = WriteShared(OWNER, store.id(), 0, 0, b"one", DAY)
    first = store.ask(write)
    store.go_on(5)
    assert store.ask(replace(write, since=store.ms - 6)) == first
    store.go_on(5)
    store.share(b"two")
    store.go_on(5)
    assert isinstance(store.ask(replace(write, since=store.ms - 16)), Unknown)
    late = WriteShared(OWNER, store.id(), 0, 0, b"three", DAY)
    assert isinstance(store.ask(replace(late, since=store.ms - 2)), Stale)


# Another key -------------------------------------------------------------------


def test_rotating_moves_the_session_as_it_is(store: Store) -> None:
    meta = store.start("kold", b"one", idle=60_000, absolute=DAY)
    store.go_on(1_000)
    moved = store.ask(Rotate(at("kold"), store.id(), meta.stamp, b"two", "knew"))
    assert isinstance(moved, Saved)
    timeouts = ("life", "owner", "started", "slid", "idle", "ends", "expires")
    assert [getattr(moved.meta, n) for n in timeouts] == [getattr(meta, n) for n in timeouts]
    assert moved.meta.version == meta.version + 1
    assert store.listed() == ["knew"]
    assert isinstance(store.read("kold"), Missing)
    found = store.read("knew")
    assert isinstance(found, Found)
    assert (found.meta, found.payload) == (moved.meta, b"two")


def test_rotating_needs_no_room(store: Store) -> None:
    meta = store.start("kold", limit=Limit(1))
    assert isinstance(store.ask(Rotate(at("kold"), store.id(), meta.stamp, b"", "knew")), Saved)


def test_rotating_is_checked_as_a_write_is(store: Store) -> None:
    meta = store.start("kold")
    written = store.ask(Write(at("kold"), store.id(), meta.stamp, b"")).meta
    stale = Rotate(at("kold"), store.id(), meta.stamp, b"", "knew")
    assert store.ask(stale) == Stale(written.version)
    hold = store.lock("kold", 7)
    rotate = Rotate(at("kold"), store.id(), written.stamp, b"", "knew")
    assert isinstance(store.ask(rotate), Locked)
    lost = replace(hold, token=hold.token + 1)
    assert isinstance(store.ask(replace(rotate, lock=lost)), Lost)
    assert isinstance(store.ask(replace(rotate, lock=hold)), Saved)
    assert isinstance(store.ask(Release(at("kold"), 7)), Released)
    gone = Rotate(at("kold"), store.id(), written.stamp, b"", "kother")
    assert isinstance(store.ask(gone), Missing)


def test_rotating_leaves_the_finished_one_and_the_lock_with_the_old_key(store: Store) -> None:
    store.start("kold", b"first")
    store.finish("kold")
    meta = store.start("kold", b"second")
    hold = store.lock("kold", 7)
    store.ask(Rotate(at("kold"), store.id(), meta.stamp, b"", "knew", hold))
    assert isinstance(store.read("kold", finished=True), Found)
    assert isinstance(store.ask(Acquire(at("knew"), 8, 30_000)), Granted)
    assert isinstance(store.ask(Acquire(at("kold"), 9, 30_000)), Queued)


def test_rotating_never_ends_another_session(store: Store) -> None:
    meta = store.start("kold")
    store.start("knew", b"other")
    before = store.slot
    rotate = Rotate(at("kold"), store.id(), meta.stamp, b"", "knew")
    assert isinstance(store.ask(rotate), InProgress)
    assert store.slot is before


def test_a_repeated_rotation_answers_the_same(store: Store) -> None:
    meta = store.start("kold")
    rotate = Rotate(at("kold"), store.id(), meta.stamp, b"", "knew")
    first = store.ask(rotate)
    store.go_on(1)
    assert store.ask(replace(rotate, since=store.ms - 2)) == first
    store.ask(Write(at("knew"), store.id(), first.meta.stamp, b"next"))
    assert store.ask(replace(rotate, since=store.ms - 2)).meta.stamp == first.meta.stamp
    store.go_on(1)
    store.delete_all()
    store.go_on(1)
    assert isinstance(store.ask(replace(rotate, since=store.ms - 4)), Unknown)


def test_all_a_slot_holds_can_be_stored(store: Store) -> None:
    store.start("kios")
    store.share(b"dark")
    store.delete_all()
    data = msgspec.msgpack.encode(store.slot)
    assert msgspec.msgpack.decode(data, type=type(store.slot)) == store.slot
