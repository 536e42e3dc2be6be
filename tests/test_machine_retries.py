"""The machine, promise by promise: what is sent again, in plain examples."""

from __future__ import annotations

import msgspec
import pytest

from sessiontracker.operations import (
    Delete,
    Deleted,
    Finish,
    InProgress,
    IsFinished,
    Missing,
    Operation,
    Release,
    Released,
    Resume,
    Saved,
    Stale,
    Start,
    Unknown,
    Write,
)
from sessiontracker.state import sweep
from tests.one_key import DAY, HERE, Store, again, found, granted, saved


@pytest.fixture
def store() -> Store:
    return Store()


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
