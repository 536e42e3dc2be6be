"""The machine on an owner's slot: log-outs everywhere, by example."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sessiontracker.operations import (
    FOREVER,
    Acquire,
    Delete,
    Ended,
    EndOwner,
    Finish,
    Found,
    Granted,
    Locked,
    Missing,
    Queued,
    Release,
    Released,
    Saved,
    Start,
    Unknown,
    Write,
)
from sessiontracker.state import REMEMBERED, due, is_empty, sweep
from tests.one_owner import DAY, OWNER, Store, at


@pytest.fixture
def store() -> Store:
    return Store()


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


def test_what_a_key_without_a_session_remembers_is_left_to_who_sweeps(store: Store) -> None:
    """Or a log-out would have to read them all."""
    store.lock("kold", 7)
    store.ask(Release(at("kold"), 7))
    store.go_on(100 * REMEMBERED)
    store.start("kios")
    assert store.delete_all() == Ended(1)
    assert "kold" in store.slot.keys


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
