"""Time, on the store's clock: idle and absolute ends, retention, and what slides them."""

from __future__ import annotations

from ..contract import new_id
from ..operations import (
    FOREVER,
    Address,
    Delete,
    Finish,
    Found,
    IsFinished,
    Meta,
    Missing,
    Operation,
    Read,
    Resume,
    Saved,
    Stamp,
    Start,
    Touch,
    Write,
)
from .harness import Store


def start(store: Store, address: Address, idle: float = 0, absolute: float = 0) -> Meta:
    """A session with these timeouts, in ticks."""
    operation = Start(
        address,
        new_id(),
        b"one",
        idle=int(idle * store.tick),
        absolute=int(absolute * store.tick),
    )
    return store.expect(operation, Saved).meta


def _all(address: Address, stamp: Stamp) -> list[Operation]:
    """Every operation that needs an active session."""
    return [
        Read(address),
        Read(address, slide=True, touch_every=0),
        Touch(address),
        Touch(address, stamp.life),
        Write(address, new_id(), stamp, b"late"),
        Finish(address, new_id(), FOREVER),
        Finish(address, new_id(), FOREVER, stamp=stamp, payload=b"late"),
        Delete(address, new_id(), stamp=stamp),
    ]


def test_an_idle_session_expires(store: Store, address: Address) -> None:
    meta = start(store, address, idle=3)
    store.elapse(2)
    store.expect(Read(address), Found)
    store.elapse(1)
    for operation in _all(address, meta.stamp):
        store.expect(operation, Missing)


def test_what_expired_does_not_come_back(store: Store, address: Address) -> None:
    meta = start(store, address, idle=1)
    store.elapse(1)
    for operation in _all(address, meta.stamp):
        store.expect(operation, Missing)
    store.expect(Resume(address, new_id(), meta.life), Missing)
    store.expect(Read(address), Missing)
    assert start(store, address, idle=100).version == 1


def test_a_start_over_an_expired_one_is_a_new_life(store: Store, address: Address) -> None:
    old = start(store, address, idle=1)
    store.elapse(1)
    new = start(store, address, idle=1_000)
    assert new.life != old.life
    assert store.expect(Read(address), Found).meta == new


def test_the_absolute_end_comes_however_busy(store: Store, address: Address) -> None:
    meta = start(store, address, idle=3, absolute=4)
    assert meta.ends == meta.started + 4 * store.tick
    store.elapse(2)
    meta = store.expect(Touch(address), Saved).meta
    assert meta.expires == meta.ends
    store.elapse(1)
    meta = store.expect(Write(address, new_id(), meta.stamp, b"two"), Saved).meta
    assert meta.expires == meta.ends == meta.started + 4 * store.tick
    store.elapse(1)
    for operation in _all(address, meta.stamp):
        store.expect(operation, Missing)


def test_an_absolute_end_without_an_idle_timeout(store: Store, address: Address) -> None:
    start(store, address, absolute=2)
    store.elapse(1)
    meta = store.expect(Touch(address), Saved).meta
    assert meta.expires == meta.ends == meta.started + 2 * store.tick
    store.elapse(1)
    store.expect(Read(address), Missing)


def test_touch_slides(store: Store, address: Address) -> None:
    start(store, address, idle=3)
    for _ in range(2):
        store.elapse(2)
        meta = store.expect(Touch(address), Saved).meta
        assert meta.expires == meta.slid + 3 * store.tick
    store.elapse(3)
    store.expect(Read(address), Missing)


def test_a_write_slides(store: Store, address: Address) -> None:
    meta = start(store, address, idle=3)
    for _ in range(2):
        store.elapse(2)
        meta = store.expect(Write(address, new_id(), meta.stamp, b"two"), Saved).meta
        assert meta.slid == meta.updated
        assert meta.expires == meta.slid + 3 * store.tick
    store.elapse(3)
    store.expect(Read(address), Missing)


def test_a_sliding_read_slides(store: Store, address: Address) -> None:
    start(store, address, idle=3)
    for _ in range(2):
        store.elapse(2)
        found = store.expect(Read(address, slide=True), Found)
        assert found.meta.expires == found.meta.slid + 3 * store.tick
        assert store.expect(Read(address), Found) == found
    store.elapse(3)
    store.expect(Read(address), Missing)


def test_a_plain_read_does_not_slide(store: Store, address: Address) -> None:
    meta = start(store, address, idle=3)
    for _ in range(2):
        store.elapse(1)
        assert store.expect(Read(address, touch_every=0), Found).meta == meta
    store.elapse(1)
    store.expect(Read(address), Missing)


def test_a_busy_session_is_not_slid_by_every_read(store: Store, address: Address) -> None:
    meta = start(store, address, idle=60)  # so reading slides it every 3 ticks at most
    store.elapse(1)
    assert store.expect(Read(address, slide=True), Found).meta == meta
    again = Start(address, new_id(), b"two", read=True)
    assert store.expect(again, Found).meta == meta
    store.elapse(3)
    assert store.expect(Read(address, slide=True), Found).meta.slid >= meta.slid + 4 * store.tick


def test_touch_every_makes_reads_slide_more_often(store: Store, address: Address) -> None:
    first = start(store, address, idle=60)
    store.elapse(1)
    often = Read(address, slide=True, touch_every=store.tick // 2)
    second = store.expect(often, Found).meta
    assert second.slid >= first.slid + store.tick
    assert store.expect(Read(address, slide=True, touch_every=store.tick), Found).meta == second
    store.elapse(0.5)
    third = store.expect(Read(address, slide=True, touch_every=0), Found).meta
    assert third.slid > second.slid


def test_touch_every_does_not_make_reads_slide_less_often(store: Store, address: Address) -> None:
    meta = start(store, address, idle=20)
    store.elapse(2)
    rarely = Read(address, slide=True, touch_every=1_000 * store.tick)
    assert store.expect(rarely, Found).meta.slid >= meta.slid + 2 * store.tick


def test_get_or_start_slides_as_reading_does(store: Store, address: Address) -> None:
    meta = start(store, address, idle=20)
    store.elapse(2)
    again = Start(address, new_id(), b"two", read=True)
    slid = store.expect(again, Found).meta
    assert slid.slid >= meta.slid + 2 * store.tick
    assert store.expect(Read(address), Found).meta == slid


def test_a_refused_write_does_not_slide(store: Store, address: Address) -> None:
    first = start(store, address, idle=100)
    meta = store.expect(Write(address, new_id(), first.stamp, b"two"), Saved).meta
    store.elapse(1)
    store.ask(Write(address, new_id(), first.stamp, b"late"))
    store.ask(Start(address, new_id(), b"other"))
    assert store.expect(Read(address), Found).meta == meta


def test_a_finished_session_goes_after_its_retention(store: Store, address: Address) -> None:
    start(store, address, idle=1)
    found = store.expect(Finish(address, new_id(), 4 * store.tick), Found)
    assert found.meta.expires == found.meta.finished + 4 * store.tick
    store.elapse(3)  # longer than it would have lived as an active one
    assert store.expect(Read(address, finished=True), Found) == found
    store.expect(Read(address), IsFinished)
    store.elapse(1)
    store.expect(Read(address, finished=True), Missing)
    store.expect(Read(address), Missing)
    store.expect(Resume(address, new_id()), Missing)


def test_the_finished_and_the_active_one_each_have_their_own_end(
    store: Store, address: Address
) -> None:
    start(store, address)
    store.expect(Finish(address, new_id(), 2 * store.tick), Found)
    start(store, address, idle=4)
    store.elapse(2)
    store.expect(Read(address), Found)
    store.elapse(2)
    store.expect(Read(address), Missing)
    store.expect(Read(address, finished=True), Missing)


def test_resume_slides_and_moves_the_absolute_end(store: Store, address: Address) -> None:
    meta = start(store, address, idle=3, absolute=6)
    store.elapse(2)
    done = store.expect(Finish(address, new_id(), FOREVER), Found).meta
    store.elapse(7)  # past what would have been its end
    resumed = store.expect(Resume(address, new_id()), Found).meta
    assert resumed.slid == resumed.updated >= done.finished + 7 * store.tick
    assert resumed.ends == meta.ends + resumed.updated - done.finished
    assert resumed.expires == resumed.slid + 3 * store.tick
    store.elapse(2)
    meta = store.expect(Touch(address), Saved).meta
    assert meta.expires == meta.ends
    store.elapse(2)
    store.expect(Read(address), Missing)


def test_fourteen_days_are_fourteen_days(store: Store, address: Address) -> None:
    fortnight = 14 * 86_400_000
    operation = Start(address, new_id(), b"one", idle=fortnight, absolute=400 * 86_400_000)
    meta = store.expect(operation, Saved).meta
    assert meta.expires == meta.started + fortnight
    assert meta.ends == meta.started + 400 * 86_400_000
    assert store.expect(Read(address), Found).meta == meta


def test_to_the_millisecond(store: Store, address: Address) -> None:
    meta = start(store, address, idle=1.234)
    assert meta.expires - meta.slid == int(1.234 * store.tick)
    if store.clock is not None:
        store.clock.now = (meta.expires - 1) * 1000 + 999
        store.expect(Read(address), Found)
        store.clock.now += 1
        store.expect(Read(address), Missing)
