"""Sessions saved in one round trip: as the machine has it, or else not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import sleep
from typing import Any

import pytest

from sessiontracker.backend import operations as kinds
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.talk import Query

from .conftest import Admin

PAYLOAD = b"payload"


@pytest.fixture
def started(asked: list[Query], backend: ServerBackend, address: kinds.Address) -> kinds.Meta:
    [saved] = backend.execute([kinds.Start(address, 1, PAYLOAD, idle=60_000)])
    assert isinstance(saved, kinds.Saved)
    asked.clear()
    return saved.meta


def test_an_update_is_one_round_trip(
    asked: list[Query], started: kinds.Meta, backend: ServerBackend, address: kinds.Address
) -> None:
    sleep(0.005)
    [saved] = backend.execute([kinds.Write(address, 2, started.stamp, b"new")])
    assert isinstance(saved, kinds.Saved)
    assert len(asked) == 1
    meta = saved.meta
    assert (meta.life, meta.version, meta.write) == (1, 2, 2)
    assert meta.started == started.started < meta.updated == meta.slid
    assert meta.expires == meta.slid + 60_000
    [found] = backend.execute([kinds.Read(address)])
    assert found == kinds.Found(meta, b"new")


def test_a_row_that_cannot_be_read_stays_as_it_is_and_its_neighbours_are_saved(
    started: kinds.Meta, backend: ServerBackend, address: kinds.Address, admin: Admin
) -> None:
    beside = kinds.Address("checkout", "", "kbeside")
    [other] = backend.execute([kinds.Start(beside, 3, PAYLOAD)])
    assert isinstance(other, kinds.Saved)
    odd = "'\\xff'" if admin.is_postgresql else "X'ff'"
    spoilt = f"{admin.prefix}keys WHERE active_owner = {odd}"
    admin.execute(f"UPDATE {admin.prefix}keys SET active_owner = {odd} WHERE active_life = 1")
    before = admin.execute(f"SELECT * FROM {spoilt}")
    for writes in ([], [kinds.Write(beside, 4, other.meta.stamp, b"new")]):
        broken, *saved = backend.execute([kinds.Write(address, 2, started.stamp, b"new"), *writes])
        assert isinstance(broken, kinds.Broken)
        assert [type(each) for each in saved] == [kinds.Saved] * len(writes)
        assert admin.execute(f"SELECT * FROM {spoilt}") == before


def test_a_large_one_is_as_well(
    asked: list[Query], started: kinds.Meta, backend: ServerBackend, address: kinds.Address
) -> None:
    payload = os.urandom(300_000)
    [saved] = backend.execute([kinds.Write(address, 2, started.stamp, payload)])
    assert isinstance(saved, kinds.Saved)
    assert len(asked) == 1
    assert backend.execute([kinds.Read(address)]) == [kinds.Found(saved.meta, payload)]


def test_a_batch_of_updates_is_one_round_trip_as_well(
    asked: list[Query], started: kinds.Meta, backend: ServerBackend
) -> None:
    places = [kinds.Address("checkout", "", f"k{n}") for n in range(64)]
    starts = [kinds.Start(place, n + 10, PAYLOAD) for n, place in enumerate(places)]
    outcomes: list[Any] = backend.execute(starts)
    asked.clear()
    outcomes = backend.execute(
        [
            kinds.Write(place, 100 + n, outcome.meta.stamp, b"new")
            for n, (place, outcome) in enumerate(zip(places, outcomes, strict=True))
        ]
    )
    assert {type(outcome) for outcome in outcomes} == {kinds.Saved}
    assert len(asked) == 1
    asked.clear()
    backend.execute([kinds.Read(place) for place in places])
    assert len(asked) == 1


def test_what_is_saved_at_once_is_kept_to_the_byte(backend: ServerBackend) -> None:
    payloads = {
        "k": b"",
        "k ": b" ",
        "K": b"\0" * 70_000,
        "k\0": b"'\\\xff;--%s {0} $1",
        "kÄ": b"trailing  ",
        "kä": os.urandom(300_000),
        "klargest": os.urandom(32_768),
        "klarger": os.urandom(32_769),
    }
    places = [kinds.Address("checkout", "", key) for key in payloads]
    started: list[Any] = backend.execute(
        [kinds.Start(place, n + 10, PAYLOAD) for n, place in enumerate(places)]
    )
    writes = [
        kinds.Write(place, n + 100, outcome.meta.stamp, payload)
        for n, (place, outcome, payload) in enumerate(
            zip(places, started, payloads.values(), strict=True)
        )
    ]
    assert {type(outcome) for outcome in backend.execute(writes)} == {kinds.Saved}
    found: list[Any] = backend.execute([kinds.Read(place) for place in places])
    assert [each.payload for each in found] == list(payloads.values())


Change = Callable[[kinds.Address, kinds.Stamp], list[kinds.Operation]]


@pytest.mark.parametrize(
    ("meanwhile", "wanted"),
    [
        (lambda at, stamp: [kinds.Write(at, 5, stamp, b"x")], kinds.Stale(2)),
        (lambda at, stamp: [kinds.Finish(at, 5, retention=60_000)], kinds.IsFinished()),
        (lambda at, stamp: [kinds.Delete(at, 5)], kinds.Missing()),
        (
            lambda at, stamp: [kinds.Delete(at, 5), kinds.Start(at, 6, b"x")],
            kinds.Stale(1, same_life=False),
        ),
        (lambda at, stamp: [kinds.Acquire(at, 7, 60_000, "somebody")], kinds.Locked),
    ],
    ids=["written", "finished", "deleted", "another", "locked"],
)
def test_what_somebody_did_meanwhile_is_told(
    started: kinds.Meta, backend: ServerBackend, address: kinds.Address, meanwhile: Change,
    wanted: Any,
) -> None:  # fmt: skip
    for operation in meanwhile(address, started.stamp):
        backend.execute([operation])
    before = backend.execute([kinds.Read(address), kinds.Read(address, finished=True)])
    [outcome] = backend.execute([kinds.Write(address, 2, started.stamp, b"ours")])
    assert outcome == wanted or type(outcome) is wanted
    assert backend.execute([kinds.Read(address), kinds.Read(address, finished=True)]) == before


def test_a_lock_that_was_let_go_leaves_the_session_to_be_saved(
    started: kinds.Meta, backend: ServerBackend, address: kinds.Address
) -> None:
    backend.execute([kinds.Acquire(address, 7, 60_000), kinds.Release(address, 7)])
    [outcome] = backend.execute([kinds.Write(address, 2, started.stamp, b"ours")])
    assert isinstance(outcome, kinds.Saved)


def test_an_expired_session_is_not_revived(backend: ServerBackend, address: kinds.Address) -> None:
    [saved] = backend.execute([kinds.Start(address, 1, PAYLOAD, idle=30)])
    assert isinstance(saved, kinds.Saved)
    sleep(0.04)
    [outcome] = backend.execute([kinds.Write(address, 2, saved.meta.stamp, b"ours")])
    assert outcome == kinds.Missing()


def test_the_absolute_end_stays(backend: ServerBackend, address: kinds.Address) -> None:
    [saved] = backend.execute([kinds.Start(address, 1, PAYLOAD, idle=60_000, absolute=61_000)])
    assert isinstance(saved, kinds.Saved)
    sleep(1.1)
    [outcome] = backend.execute([kinds.Write(address, 2, saved.meta.stamp, b"ours")])
    assert isinstance(outcome, kinds.Saved)
    assert outcome.meta.expires == saved.meta.ends


def test_a_repeat_is_told_from_a_second_write(
    started: kinds.Meta, backend: ServerBackend, address: kinds.Address
) -> None:
    write = kinds.Write(address, 2, started.stamp, b"ours")
    [first] = backend.execute([write])
    [again] = backend.execute([write])
    assert first == again
