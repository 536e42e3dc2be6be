"""Two writers: whoever has read what is no longer there may not change what is."""

from __future__ import annotations

from functools import partial

import pytest
from msgspec.structs import replace

from ..contract import new_id
from ..operations import (
    FOREVER,
    Address,
    Delete,
    Deleted,
    Finish,
    Found,
    IsFinished,
    Meta,
    Missing,
    Read,
    Resume,
    Saved,
    Stale,
    Stamp,
    Start,
    Write,
)
from .harness import Store, at_once


def _writes(address: Address, stamp: Stamp) -> list[Write | Finish | Delete]:
    """Every way to change a session as it was read at ``stamp``."""
    return [
        Write(address, new_id(), stamp, b"mine"),
        Finish(address, new_id(), FOREVER, stamp=stamp, payload=b"mine"),
        Finish(address, new_id(), FOREVER, stamp=stamp),
        Delete(address, new_id(), stamp=stamp),
    ]


def _started(store: Store, address: Address) -> Meta:
    return store.expect(Start(address, new_id(), b"one"), Saved).meta


def test_the_second_writer_is_refused(store: Store, address: Address) -> None:
    meta = _started(store, address)
    first = store.expect(Write(address, new_id(), meta.stamp, b"first"), Saved).meta
    for write in _writes(address, meta.stamp):
        assert store.expect(write, Stale) == Stale(actual=2, same_life=True)
    assert store.expect(Read(address), Found) == Found(first, b"first")


def test_a_version_from_the_future_is_refused(store: Store, address: Address) -> None:
    meta = _started(store, address)
    for write in _writes(address, replace(meta.stamp, version=7)):
        assert store.expect(write, Stale) == Stale(actual=1, same_life=True)
    assert store.expect(Read(address), Found) == Found(meta, b"one")


def test_a_writer_from_a_former_life_is_refused(store: Store, address: Address) -> None:
    old = _started(store, address)
    store.expect(Delete(address, new_id()), Deleted)
    new = _started(store, address)
    assert old.version == new.version
    for write in _writes(address, old.stamp):
        assert store.expect(write, Stale) == Stale(actual=1, same_life=False)
    # The life alone tells them apart, too: version and write are those of the new one.
    for write in _writes(address, replace(new.stamp, life=old.life)):
        assert store.expect(write, Stale) == Stale(actual=1, same_life=False)
    assert store.expect(Read(address), Found) == Found(new, b"one")


def test_a_version_that_came_again_is_told_by_its_write(store: Store, address: Address) -> None:
    first = _started(store, address)
    second = store.expect(Write(address, new_id(), first.stamp, b"two"), Saved).meta
    # As after a failover that lost another second version.
    for write in _writes(address, replace(second.stamp, write=new_id())):
        assert store.expect(write, Stale) == Stale(actual=2, same_life=True)
    assert store.expect(Read(address), Found) == Found(second, b"two")


def test_a_write_never_creates(store: Store, address: Address) -> None:
    for write in _writes(address, Stamp(new_id(), 1, new_id())):
        store.expect(write, Missing)
    store.expect(Read(address), Missing)
    store.expect(Read(address, finished=True), Missing)


def test_a_write_never_revives_a_finished_session(store: Store, address: Address) -> None:
    meta = _started(store, address)
    done = store.expect(Finish(address, new_id(), FOREVER), Found)
    for stamp in (meta.stamp, done.meta.stamp):
        for write in _writes(address, stamp):
            store.expect(write, IsFinished)
    assert store.expect(Read(address, finished=True), Found) == done


def test_a_write_never_revives_a_deleted_session(store: Store, address: Address) -> None:
    meta = _started(store, address)
    store.expect(Delete(address, new_id()), Deleted)
    for write in _writes(address, meta.stamp):
        store.expect(write, Missing)
    store.expect(Read(address), Missing)


def test_a_writer_from_before_finish_and_resume_is_refused(store: Store, address: Address) -> None:
    meta = _started(store, address)
    store.expect(Finish(address, new_id(), FOREVER), Found)
    resumed = store.expect(Resume(address, new_id()), Found)
    for write in _writes(address, meta.stamp):
        assert store.expect(write, Stale) == Stale(actual=3, same_life=True)
    assert store.expect(Read(address), Found) == resumed


def test_versions_count_every_change(store: Store, address: Address) -> None:
    meta = _started(store, address)
    for version in range(2, 12):
        payload = b"%d" % version
        meta = store.expect(Write(address, new_id(), meta.stamp, payload), Saved).meta
        assert meta.version == version
    assert store.expect(Read(address), Found) == Found(meta, b"11")


@pytest.mark.parametrize("writers", [2, 12])
def test_of_writers_at_one_moment_one_wins(store: Store, address: Address, writers: int) -> None:
    meta = _started(store, address)
    writes = [Write(address, new_id(), meta.stamp, b"%d" % n) for n in range(writers)]
    outcomes = at_once(*(partial(store.ask, write) for write in writes))
    saved = [n for n, outcome in enumerate(outcomes) if type(outcome) is Saved]
    assert len(saved) == 1, f"{len(saved)} of {writers} writers of one version were let in"
    assert all(type(o) is Stale for n, o in enumerate(outcomes) if n != saved[0])
    found = store.expect(Read(address), Found)
    assert found.payload == b"%d" % saved[0]
    assert (found.meta.version, found.meta.write) == (2, writes[saved[0]].id)


def test_of_starts_at_one_moment_one_wins(store: Store, address: Address) -> None:
    starts = [Start(address, new_id(), b"%d" % n) for n in range(12)]
    outcomes = at_once(*(partial(store.ask, start) for start in starts))
    winners = [n for n, outcome in enumerate(outcomes) if type(outcome) is Saved]
    assert len(winners) == 1, f"{len(winners)} starts of one key were let in"
    assert store.expect(Read(address), Found).payload == b"%d" % winners[0]
