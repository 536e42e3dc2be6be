"""The life of a session: started, read, written, finished, resumed, deleted."""

from __future__ import annotations

from msgspec.structs import replace

from ..contract import new_id
from ..operations import (
    FOREVER,
    Address,
    Delete,
    Deleted,
    Finish,
    Found,
    InProgress,
    IsActive,
    IsFinished,
    Missing,
    Ping,
    Pong,
    Read,
    Resume,
    Saved,
    Start,
    Touch,
    Write,
)
from .harness import Store, new_address


def test_the_store_answers(store: Store) -> None:
    assert store.expect(Ping(), Pong).now > 0


def test_nothing_is_there_before_the_start(store: Store, address: Address) -> None:
    store.expect(Read(address), Missing)
    store.expect(Read(address, finished=True), Missing)
    store.expect(Touch(address), Missing)
    store.expect(Finish(address, new_id(), FOREVER), Missing)
    store.expect(Resume(address, new_id()), Missing)
    assert not store.expect(Delete(address, new_id()), Deleted).existed
    store.expect(Read(address), Missing)


def test_a_started_session_is_read_as_it_was_given(store: Store, address: Address) -> None:
    before = store.now()
    start = Start(address, new_id(), b"one", owner="alice", idle=7_200_000, absolute=86_400_000)
    meta = store.expect(start, Saved).meta
    assert before <= meta.started <= store.now()
    assert meta.started == meta.updated == meta.slid
    assert (meta.life, meta.version, meta.write) == (start.id, 1, start.id)
    assert (meta.owner, meta.idle, meta.finished) == ("alice", 7_200_000, 0)
    assert meta.ends == meta.started + 86_400_000
    assert meta.expires == meta.started + 7_200_000
    assert store.expect(Read(address), Found) == Found(meta, b"one")
    store.expect(Read(address, finished=True), IsActive)


def test_without_timeouts_a_session_is_kept_for_ever(store: Store, address: Address) -> None:
    meta = store.expect(Start(address, new_id(), b"one"), Saved).meta
    assert (meta.idle, meta.ends, meta.expires) == (0, FOREVER, FOREVER)


def test_the_latest_point_in_time_survives(store: Store, address: Address) -> None:
    start = Start(address, new_id(), b"one", idle=FOREVER - 1, absolute=FOREVER - 1)
    meta = store.expect(start, Saved).meta
    assert meta.ends == FOREVER
    assert store.expect(Read(address), Found).meta == meta


def test_a_second_start_gets_the_session_in_progress(store: Store, address: Address) -> None:
    meta = store.expect(Start(address, new_id(), b"one"), Saved).meta
    found = store.expect(Start(address, new_id(), b"two"), InProgress).found
    assert found == Found(meta, b"one")
    assert store.expect(Read(address), Found) == Found(meta, b"one")


def test_get_or_start_starts_once_and_reads_after_that(store: Store, address: Address) -> None:
    meta = store.expect(Start(address, new_id(), b"one", read=True), Saved).meta
    found = store.expect(Start(address, new_id(), b"two", read=True), Found)
    assert found == Found(meta, b"one")


def test_a_write_changes_payload_version_and_write(store: Store, address: Address) -> None:
    first = store.expect(Start(address, new_id(), b"one", owner="alice"), Saved).meta
    write = Write(address, new_id(), first.stamp, b"two")
    second = store.expect(write, Saved).meta
    assert (second.life, second.version, second.write) == (first.life, 2, write.id)
    assert (second.started, second.owner) == (first.started, "alice")
    assert second.updated >= first.updated
    assert store.expect(Read(address), Found) == Found(second, b"two")


def test_finishing_by_key_moves_the_session(store: Store, address: Address) -> None:
    first = store.expect(Start(address, new_id(), b"one"), Saved).meta
    finish = Finish(address, new_id(), FOREVER)
    found = store.expect(finish, Found)
    assert found.payload == b"one"
    assert (found.meta.life, found.meta.version, found.meta.write) == (first.life, 2, finish.id)
    assert found.meta.finished == found.meta.updated >= first.updated
    assert found.meta.expires == FOREVER
    assert store.expect(Read(address, finished=True), Found) == found
    store.expect(Read(address), IsFinished)
    store.expect(Touch(address), IsFinished)
    store.expect(Write(address, new_id(), found.meta.stamp, b"two"), IsFinished)
    store.expect(Finish(address, new_id(), FOREVER), IsFinished)


def test_finishing_with_the_session_saves_it(store: Store, address: Address) -> None:
    meta = store.expect(Start(address, new_id(), b"one"), Saved).meta
    finish = Finish(address, new_id(), FOREVER, stamp=meta.stamp, payload=b"two")
    meta = store.expect(finish, Saved).meta
    assert meta.version == 2
    assert store.expect(Read(address, finished=True), Found) == Found(meta, b"two")


def test_finishing_without_retention_leaves_nothing(store: Store, address: Address) -> None:
    store.expect(Start(address, new_id(), b"one"), Saved)
    assert store.expect(Finish(address, new_id(), 0), Found).payload == b"one"
    store.expect(Read(address), Missing)
    store.expect(Read(address, finished=True), Missing)


def test_a_start_beside_a_finished_session(store: Store, address: Address) -> None:
    store.expect(Start(address, new_id(), b"old"), Saved)
    old = store.expect(Finish(address, new_id(), FOREVER), Found)
    meta = store.expect(Start(address, new_id(), b"new"), Saved).meta
    assert meta.version == 1
    assert store.expect(Read(address), Found) == Found(meta, b"new")
    store.expect(Read(address, finished=True), Found)
    assert store.expect(Read(address, finished=True), Found) == old


def test_finishing_again_replaces_the_older_finished_one(store: Store, address: Address) -> None:
    store.expect(Start(address, new_id(), b"old"), Saved)
    store.expect(Finish(address, new_id(), FOREVER), Found)
    store.expect(Start(address, new_id(), b"new"), Saved)
    new = store.expect(Finish(address, new_id(), FOREVER), Found)
    assert new.payload == b"new"
    assert store.expect(Read(address, finished=True), Found) == new


def test_a_resumed_session_goes_on_where_it_was(store: Store, address: Address) -> None:
    first = store.expect(Start(address, new_id(), b"one"), Saved).meta
    store.expect(Finish(address, new_id(), FOREVER), Found)
    resume = Resume(address, new_id(), first.life)
    found = store.expect(resume, Found)
    assert found.payload == b"one"
    assert (found.meta.life, found.meta.version, found.meta.write) == (first.life, 3, resume.id)
    assert (found.meta.finished, found.meta.started) == (0, first.started)
    assert store.expect(Read(address), Found) == found
    store.expect(Read(address, finished=True), IsActive)
    store.expect(Resume(address, new_id()), IsActive)


def test_resume_never_overwrites_an_active_session(store: Store, address: Address) -> None:
    store.expect(Start(address, new_id(), b"old"), Saved)
    old = store.expect(Finish(address, new_id(), FOREVER), Found)
    meta = store.expect(Start(address, new_id(), b"new"), Saved).meta
    store.expect(Resume(address, new_id()), IsActive)
    store.expect(Resume(address, new_id(), old.meta.life), IsActive)
    assert store.expect(Read(address), Found) == Found(meta, b"new")
    assert store.expect(Read(address, finished=True), Found) == old


def test_resume_of_another_life_finds_nothing(store: Store, address: Address) -> None:
    store.expect(Start(address, new_id(), b"one"), Saved)
    old = store.expect(Finish(address, new_id(), FOREVER), Found)
    store.expect(Resume(address, new_id(), new_id()), Missing)
    assert store.expect(Read(address, finished=True), Found) == old


def test_deleting_removes_active_and_finished(store: Store, address: Address) -> None:
    store.expect(Start(address, new_id(), b"old"), Saved)
    store.expect(Finish(address, new_id(), FOREVER), Found)
    store.expect(Start(address, new_id(), b"new"), Saved)
    assert store.expect(Delete(address, new_id()), Deleted).existed
    store.expect(Read(address), Missing)
    store.expect(Read(address, finished=True), Missing)
    assert not store.expect(Delete(address, new_id()), Deleted).existed


def test_deleting_by_life_leaves_another_alone(store: Store, address: Address) -> None:
    meta = store.expect(Start(address, new_id(), b"one"), Saved).meta
    assert not store.expect(Delete(address, new_id(), new_id()), Deleted).existed
    store.expect(Read(address), Found)
    assert store.expect(Delete(address, new_id(), meta.life), Deleted).existed
    store.expect(Read(address), Missing)


def test_deleting_as_a_writer_leaves_the_finished_one(store: Store, address: Address) -> None:
    store.expect(Start(address, new_id(), b"old"), Saved)
    old = store.expect(Finish(address, new_id(), FOREVER), Found)
    meta = store.expect(Start(address, new_id(), b"new"), Saved).meta
    assert store.expect(Delete(address, new_id(), stamp=meta.stamp), Deleted).existed
    store.expect(Read(address), IsFinished)
    assert store.expect(Read(address, finished=True), Found) == old


def test_touch_slides_and_nothing_else(store: Store, address: Address) -> None:
    meta = store.expect(Start(address, new_id(), b"one", idle=1_000_000), Saved).meta
    touched = store.expect(Touch(address, meta.life), Saved).meta
    assert touched.slid >= meta.slid
    assert replace(touched, slid=meta.slid, expires=meta.expires) == meta
    assert store.expect(Read(address), Found) == Found(touched, b"one")
    store.expect(Touch(address, new_id()), Missing)


def test_a_session_moves_with_its_life_and_timeouts(store: Store, address: Address) -> None:
    start = Start(address, new_id(), b"one", idle=1_000_000, absolute=9_000_000)
    old = store.expect(start, Saved).meta
    there = new_address()
    move = Start(there, new_id(), b"two", owner="alice", adopt=old)
    new = store.expect(move, Saved).meta
    assert (new.life, new.version, new.write) == (old.life, 2, move.id)
    assert new.owner == "alice"
    assert (new.started, new.slid, new.idle) == (old.started, old.slid, old.idle)
    assert (new.ends, new.expires) == (old.ends, old.expires)
    assert store.expect(Read(there), Found) == Found(new, b"two")


def test_a_deleted_key_can_be_started_anew(store: Store, address: Address) -> None:
    store.expect(Start(address, new_id(), b"one"), Saved)
    store.expect(Delete(address, new_id()), Deleted)
    again = Start(address, new_id(), b"two")
    meta = store.expect(again, Saved).meta
    assert (meta.life, meta.version) == (again.id, 1)
    assert store.expect(Read(address), Found) == Found(meta, b"two")
