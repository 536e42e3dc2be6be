"""Rows that somebody else's transaction has locked: their neighbours go on, and nobody waits."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

import pytest

from sessiontracker.backend import operations as kinds
from sessiontracker_sql._sync.backend import ServerBackend

from .conftest import Admin

PAYLOAD = b"payload"
PLACES = [kinds.Address("checkout", "", f"k{n}") for n in range(16)]
BUSY = PLACES[5]


def one(backend: ServerBackend, operation: Any) -> Any:
    [outcome] = backend.execute([operation])
    return outcome


@pytest.fixture
def stamps(backend: ServerBackend) -> list[kinds.Stamp]:
    starts = [kinds.Start(place, n + 1, PAYLOAD, idle=60_000) for n, place in enumerate(PLACES)]
    outcomes: list[Any] = backend.execute(starts)
    return [outcome.meta.stamp for outcome in outcomes]


@pytest.fixture
def busy(stranger: Admin, prefix: str, stamps: list[kinds.Stamp]) -> Iterator[None]:
    """A transaction that is still open has the row of `BUSY` locked."""
    stranger.execute("BEGIN")
    where = "type = '\\x636865636b6f7574'::bytea AND scope = ''::bytea AND key = '\\x6b35'::bytea"
    if not stranger.is_postgresql:  # which locks whatever it looks at on its way
        where = "`type` = X'636865636b6f7574' AND `scope` = X'' AND `key` = X'6b35'"
    rows = stranger.execute(f"SELECT due FROM {prefix}keys WHERE {where} FOR UPDATE")
    assert len(rows) == 1
    yield
    stranger.execute("ROLLBACK")


def test_the_others_are_written(
    backend: ServerBackend, stamps: list[kinds.Stamp], busy: None
) -> None:
    writes = [
        kinds.Write(place, 100 + n, stamp, b"new")
        for n, (place, stamp) in enumerate(zip(PLACES, stamps, strict=True))
    ]
    outcomes = backend.execute(writes)
    for place, outcome in zip(PLACES, outcomes, strict=True):
        assert isinstance(outcome, kinds.Unavailable if place == BUSY else kinds.Saved), place


def test_reading_waits_for_nothing_and_a_slide_is_left_out(
    backend: ServerBackend, stamps: list[kinds.Stamp], busy: None
) -> None:
    sleep(0.01)
    reads = [kinds.Read(place, slide=True, touch_every=0) for place in PLACES]
    outcomes: list[Any] = backend.execute(reads)
    slid = [outcome.meta.slid > outcome.meta.started for outcome in outcomes]
    assert slid == [place != BUSY for place in PLACES]


def test_what_was_left_out_is_done_when_it_is_asked_again(
    backend: ServerBackend, stamps: list[kinds.Stamp], busy: None, stranger: Admin
) -> None:
    write = kinds.Write(BUSY, 100, stamps[5], b"new")
    assert isinstance(one(backend, write), kinds.Unavailable)
    stranger.execute("ROLLBACK")
    assert isinstance(one(backend, write), kinds.Saved)


def test_a_lease_that_ran_out_behind_a_locked_row_is_lost(
    backend: ServerBackend, stamps: list[kinds.Stamp], stranger: Admin, prefix: str
) -> None:
    granted = one(backend, kinds.Acquire(BUSY, 7, lease=300))
    stranger.execute("BEGIN")
    stranger.execute(f"SELECT due FROM {prefix}keys FOR UPDATE")
    until = monotonic() + 0.35
    write = kinds.Write(BUSY, 100, stamps[5], b"new", kinds.Hold(7, granted.token))
    outcomes = []
    while monotonic() < until:
        outcomes.append(one(backend, write))
    stranger.execute("ROLLBACK")
    assert {type(outcome) for outcome in outcomes} <= {kinds.Unavailable, kinds.Lost}
    assert one(backend, write) == kinds.Lost()
    assert one(backend, kinds.Read(BUSY)).payload == PAYLOAD


def test_a_new_key_that_an_open_transaction_has_holds_up_nobody_else(
    backend: ServerBackend, stranger: Admin, prefix: str
) -> None:
    new = kinds.Address("checkout", "", "knew")
    one(backend, kinds.Start(new, 1, PAYLOAD))
    stranger.execute(f"CREATE TABLE {prefix}copy AS SELECT * FROM {prefix}keys")
    try:
        one(backend, kinds.Delete(new, 2))
        stranger.execute(f"DELETE FROM {prefix}keys")
        stranger.execute("BEGIN")
        stranger.execute(f"INSERT INTO {prefix}keys SELECT * FROM {prefix}copy")
        outcomes = backend.execute(
            [kinds.Start(place, n + 3, PAYLOAD) for n, place in enumerate([*PLACES, new])]
        )
        assert {type(outcome) for outcome in outcomes[:-1]} == {kinds.Saved}
        assert isinstance(outcomes[-1], kinds.Unavailable)
        stranger.execute("COMMIT")
        assert isinstance(one(backend, kinds.Start(new, 90, PAYLOAD)), kinds.InProgress)
    finally:
        stranger.execute("ROLLBACK")
        stranger.execute(f"DROP TABLE {prefix}copy")


def test_reaping_leaves_what_somebody_has_locked(
    backend: ServerBackend, busy: None, stamps: list[kinds.Stamp], admin: Admin, prefix: str
) -> None:
    spare = kinds.Address("checkout", "", "kshort")
    one(backend, kinds.Start(spare, 90, PAYLOAD, idle=1))
    sleep(0.01)
    assert one(backend, kinds.Reap()) == kinds.Reaped(1)
    [[left]] = admin.execute(f"SELECT count(*) FROM {prefix}keys WHERE active_life IS NOT NULL")
    assert left == len(PLACES)
