"""The machine, promise by promise: sessions, in plain examples."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import msgspec
import pytest

from sessiontracker.operations import (
    Address,
    Delete,
    Deleted,
    Finish,
    Hold,
    InProgress,
    IsActive,
    IsFinished,
    Locked,
    Lost,
    Missing,
    Operation,
    Outcome,
    Release,
    Renew,
    Resume,
    Saved,
    Stale,
    Stamp,
    Start,
    Touch,
    Write,
)
from tests.one_key import DAY, HERE, Store, found, saved


@pytest.fixture
def store() -> Store:
    return Store()


# Every operation is one step ---------------------------------------------------


def test_a_step_changes_nothing_that_it_was_given(store: Store) -> None:
    before, encoded = store.slot, msgspec.msgpack.encode(store.slot)
    store.start()
    assert store.slot is not before
    assert msgspec.msgpack.encode(before) == encoded


def test_what_a_slot_holds_cannot_be_changed_in_place(store: Store) -> None:
    store.start()
    store.lock(1)
    store.look(2)
    key = store.slot.keys[HERE.key]
    assert key.active is not None
    assert key.lock is not None
    for value in (store.slot, key, key.active, key.active.meta, key.deed, key.lock, key.lock.lease):
        name = msgspec.structs.fields(type(value))[0].name  # type: ignore[arg-type, type-var]
        with pytest.raises(AttributeError):
            setattr(value, name, None)


def test_the_very_slot_comes_back_from_what_changed_nothing(store: Store) -> None:
    meta = store.start(idle=60_000)
    store.lock(1)
    before = store.slot
    store.read(slide=True)
    store.read(finished=True)
    store.ask(Write(HERE, store.id(), meta.stamp, b""))
    store.ask(Finish(HERE, store.id(), 0))
    store.ask(Resume(HERE, store.id()))
    store.ask(Renew(HERE, 2, 1, 30_000))
    store.ask(Release(HERE, 2))
    store.look(2, queue=False)
    assert store.slot is before


def test_the_keys_of_a_slot_do_not_touch_each_other(store: Store) -> None:
    store.start()
    key = store.slot.keys[HERE.key]
    store.ask(Start(Address("checkout", "", "kother"), 9, b"other"))
    assert store.slot.keys[HERE.key] is key


# No lost update ------------------------------------------------------------------


def test_every_change_counts_the_version_up_by_one(store: Store) -> None:
    meta = store.start()
    assert meta.version == 1
    meta = store.write(meta.stamp)
    assert meta.version == 2
    assert store.finish().version == 3
    assert store.resume().version == 4


def test_of_two_writers_the_second_is_stale(store: Store) -> None:
    stamp = store.start().stamp
    store.write(stamp, b"first")
    assert store.ask(Write(HERE, store.id(), stamp, b"second")) == Stale(2)
    assert found(store.read()).payload == b"first"


def test_a_writer_of_a_former_life_is_refused_at_the_same_version(store: Store) -> None:
    stamp = store.start().stamp
    store.delete()
    store.start()
    assert store.ask(Write(HERE, store.id(), stamp, b"late")) == Stale(1, same_life=False)


def test_the_same_version_of_another_write_is_refused(store: Store) -> None:
    stamp = store.start().stamp
    store.write(stamp)
    after_a_failover = Stamp(stamp.life, 2, 4711)
    assert store.ask(Write(HERE, store.id(), after_a_failover, b"late")) == Stale(2)


def test_a_write_never_creates_and_never_revives(store: Store) -> None:
    stamp = Stamp(1, 1, 1)
    assert store.ask(Write(HERE, store.id(), stamp, b"")) == Missing()
    stamp = store.start().stamp
    store.finish()
    assert store.ask(Write(HERE, store.id(), stamp, b"")) == IsFinished()
    store.delete()
    assert store.ask(Write(HERE, store.id(), stamp, b"")) == Missing()
    assert store.read() == Missing()


# Active and finished are separate places ------------------------------------------


def test_a_session_is_active_then_finished_then_active_again(store: Store) -> None:
    store.start(b"data")
    assert store.read(finished=True) == IsActive()
    store.finish()
    assert store.read() == IsFinished()
    assert found(store.read(finished=True)).payload == b"data"
    store.resume()
    assert found(store.read()).meta.finished == 0
    assert store.ask(Finish(HERE, store.id(), 0)) is not None
    assert store.read() == store.read(finished=True) == Missing()


def test_start_beside_a_finished_one_and_never_over_an_active_one(store: Store) -> None:
    store.start(b"old")
    store.finish()
    store.start(b"new")
    assert found(store.read(finished=True)).payload == b"old"
    refused = store.ask(Start(HERE, store.id(), b"third"))
    assert isinstance(refused, InProgress)
    assert refused.found.payload == b"new"
    assert found(store.ask(Start(HERE, store.id(), b"third", read=True))).payload == b"new"


def test_resume_never_overwrites_an_active_one(store: Store) -> None:
    store.start(b"old")
    store.finish()
    store.start(b"new")
    assert store.ask(Resume(HERE, store.id())) == IsActive()
    assert found(store.read()).payload == b"new"


def test_finishing_again_replaces_the_older_finished_one(store: Store) -> None:
    store.start(b"old")
    store.finish()
    store.start(b"new")
    store.finish()
    assert found(store.read(finished=True)).payload == b"new"


def test_finish_with_a_session_saves_it_and_checks_it(store: Store) -> None:
    stamp = store.start(b"old").stamp
    store.write(stamp)
    finish = Finish(HERE, store.id(), DAY, stamp=stamp, payload=b"last")
    assert store.ask(finish) == Stale(2)
    now = found(store.read()).meta.stamp
    saved(store.ask(Finish(HERE, store.id(), DAY, stamp=now, payload=b"last")))
    assert found(store.read(finished=True)).payload == b"last"


def test_delete_takes_both_and_says_whether_there_was_one(store: Store) -> None:
    assert store.delete() == Deleted(False)
    store.start()
    store.finish()
    store.start()
    assert store.delete() == Deleted(True)
    assert store.read() == store.read(finished=True) == Missing()


def test_a_life_in_place_of_whatever_is_there(store: Store) -> None:
    life = store.start().life
    store.finish()
    assert store.ask(Resume(HERE, store.id(), life=life + 1)) == Missing()
    assert store.ask(Delete(HERE, store.id(), life=life + 1)) == Deleted(False)
    found(store.ask(Resume(HERE, store.id(), life=life)))
    assert store.ask(Touch(HERE, life=life + 1)) == Missing()
    assert saved(store.ask(Touch(HERE, life=life))).life == life


def test_one_that_comes_from_another_slot_keeps_its_life_and_its_timeouts(store: Store) -> None:
    meta = store.start(idle=60_000, absolute=DAY)
    there = Store()
    there.go_on(10_000)
    moved = there.start(adopt=meta, owner="alice", payload=b"moved")
    assert moved.life == meta.life
    assert moved.version == 2
    assert moved.owner == "alice"
    assert (moved.slid, moved.expires, moved.ends) == (meta.slid, meta.expires, meta.ends)
    saved(store.ask(Delete(HERE, store.id(), stamp=meta.stamp)) and Saved(moved))
    assert store.read() == Missing()


# The first that applies: lock lost, not found, finished, locked, stale -----------------


Refused = Callable[[Stamp, Hold | None], Operation]
WRITERS: dict[str, Refused] = {
    "write": lambda stamp, lock: Write(HERE, 77, stamp, b"", lock=lock),
    "finish": lambda stamp, lock: Finish(HERE, 77, DAY, stamp=stamp, payload=b"", lock=lock),
    "delete": lambda stamp, lock: Delete(HERE, 77, stamp=stamp, lock=lock),
}


@pytest.mark.parametrize("operation", WRITERS)
@pytest.mark.parametrize(
    "lost,absent,locked,stale",
    list(product([False, True], [None, Missing, IsFinished], [False, True], [False, True])),
)
def test_the_first_refusal_that_applies(
    store: Store,
    operation: str,
    lost: bool,
    absent: type[Outcome] | None,
    locked: bool,
    stale: bool,
) -> None:
    stamp = store.start().stamp
    if stale:
        store.write(stamp)
    if absent is IsFinished:
        store.finish()
    elif absent is Missing:
        store.delete()
    if locked:
        store.lock(1)
    outcome = store.ask(WRITERS[operation](stamp, Hold(2, 2) if lost else None))
    expected = (
        Lost
        if lost
        else absent
        if absent is not None
        else Locked
        if locked
        else Stale
        if stale
        else Deleted
        if operation == "delete"
        else Saved
    )
    assert type(outcome) is expected


def test_a_start_says_in_progress_before_locked_and_lost_before_both(store: Store) -> None:
    store.start()
    store.lock(1)
    assert isinstance(store.ask(Start(HERE, store.id(), b"")), InProgress)
    assert store.ask(Start(HERE, store.id(), b"", lock=Hold(2, 2))) == Lost()


def test_a_resume_says_active_or_missing_before_locked(store: Store) -> None:
    store.lock(1)
    assert store.ask(Resume(HERE, store.id())) == Missing()
    assert store.ask(Resume(HERE, store.id(), lock=Hold(2, 2))) == Lost()
