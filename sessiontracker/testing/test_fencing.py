"""Sessions here, their locks elsewhere: the storage refuses every token but the highest seen."""

from __future__ import annotations

from ..contract import new_id
from ..operations import (
    FOREVER,
    Address,
    Delete,
    Deleted,
    Finish,
    Found,
    Hold,
    Lost,
    Meta,
    Missing,
    Operation,
    Read,
    Resume,
    Saved,
    Stale,
    Stamp,
    Start,
    Write,
)
from .harness import Store

TOKEN = 1_700_000_000_000_000


def elsewhere(token: int = TOKEN, keep: int = 3_600_000) -> Hold:
    return Hold(new_id(), token, elsewhere=True, keep=keep)


def _started(store: Store, address: Address) -> Meta:
    return store.expect(Start(address, new_id(), b"one"), Saved).meta


def _refused(address: Address, stamp: Stamp, lower: Hold) -> list[Operation]:
    return [
        Read(address, lock=lower),
        Write(address, new_id(), stamp, b"late", lock=lower),
        Finish(address, new_id(), FOREVER, lock=lower),
        Finish(address, new_id(), FOREVER, stamp=stamp, payload=b"late", lock=lower),
        Delete(address, new_id(), stamp=stamp, lock=lower),
    ]


def test_reading_registers_the_token(store: Store, address: Address) -> None:
    meta = _started(store, address)
    store.expect(Read(address, lock=elsewhere(TOKEN)), Found)
    store.expect(Read(address, lock=elsewhere(TOKEN + 1)), Found)
    for late in _refused(address, meta.stamp, elsewhere(TOKEN)):
        store.expect(late, Lost)
    assert store.expect(Read(address), Found) == Found(meta, b"one")


def test_a_write_registers_the_token(store: Store, address: Address) -> None:
    meta = _started(store, address)
    write = Write(address, new_id(), meta.stamp, b"two", lock=elsewhere(TOKEN + 1))
    meta = store.expect(write, Saved).meta
    for late in _refused(address, meta.stamp, elsewhere(TOKEN)):
        store.expect(late, Lost)
    assert store.expect(Read(address), Found) == Found(meta, b"two")


def test_a_start_registers_the_token(store: Store, address: Address) -> None:
    start = Start(address, new_id(), b"one", lock=elsewhere(TOKEN + 1))
    meta = store.expect(start, Saved).meta
    for late in _refused(address, meta.stamp, elsewhere(TOKEN)):
        store.expect(late, Lost)


def test_the_token_outlives_the_session(store: Store, address: Address) -> None:
    _started(store, address)
    store.expect(Read(address, lock=elsewhere(TOKEN + 1)), Found)
    store.expect(Delete(address, new_id()), Deleted)
    store.expect(Start(address, new_id(), b"late", lock=elsewhere(TOKEN)), Lost)
    meta = _started(store, address)
    for late in _refused(address, meta.stamp, elsewhere(TOKEN)):
        store.expect(late, Lost)
    store.expect(Finish(address, new_id(), FOREVER), Found)
    store.expect(Resume(address, new_id(), lock=elsewhere(TOKEN)), Lost)
    store.expect(Resume(address, new_id(), lock=elsewhere(TOKEN + 1)), Found)


def test_the_same_token_goes_on(store: Store, address: Address) -> None:
    holding = elsewhere()
    meta = store.expect(Start(address, new_id(), b"one", lock=holding), Saved).meta
    store.expect(Read(address, lock=holding), Found)
    write = Write(address, new_id(), meta.stamp, b"two", lock=holding)
    meta = store.expect(write, Saved).meta
    finish = Finish(address, new_id(), FOREVER, stamp=meta.stamp, payload=b"three", lock=holding)
    store.expect(finish, Saved)
    store.expect(Resume(address, new_id(), lock=holding), Found)


def test_reading_what_is_not_there_registers_nothing(store: Store, address: Address) -> None:
    store.expect(Read(address, lock=elsewhere(TOKEN + 1)), Missing)
    store.expect(Start(address, new_id(), b"one", lock=elsewhere(TOKEN)), Saved)


def test_a_writer_without_the_lock_is_decided_by_its_version(
    store: Store, address: Address
) -> None:
    first = _started(store, address)
    store.expect(Read(address, lock=elsewhere()), Found)
    second = store.expect(Write(address, new_id(), first.stamp, b"two"), Saved).meta
    late = Write(address, new_id(), first.stamp, b"late", lock=elsewhere(TOKEN + 1))
    assert store.expect(late, Stale) == Stale(2)
    assert store.expect(Read(address), Found) == Found(second, b"two")


def test_a_token_is_exact(store: Store, address: Address) -> None:
    # Beyond what a float holds exactly, neighbours are still told apart.
    high = 2**62 + 1
    meta = _started(store, address)
    store.expect(Read(address, lock=elsewhere(high)), Found)
    store.expect(Write(address, new_id(), meta.stamp, b"late", lock=elsewhere(high - 1)), Lost)
    store.expect(Write(address, new_id(), meta.stamp, b"two", lock=elsewhere(high)), Saved)
