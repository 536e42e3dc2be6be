"""The machine on an owner's slot: what is shared, and keys that change, by example."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from sessiontracker.operations import (
    Acquire,
    Finish,
    Found,
    Granted,
    InProgress,
    Limit,
    Locked,
    Lost,
    Missing,
    Queued,
    Release,
    Released,
    Rotate,
    Saved,
    Stale,
    Unknown,
    Write,
    WriteShared,
)
from sessiontracker.state import REMEMBERED, due, is_empty, sweep
from tests.one_owner import DAY, OWNER, Store, at


@pytest.fixture
def store() -> Store:
    return Store()


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
