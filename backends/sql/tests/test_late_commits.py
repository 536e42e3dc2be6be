"""What expires in a file while somebody, who was in time, is about to commit that it does not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import create_engine

from sessiontracker.keys import new_scope
from sessiontracker.operations import (
    Address,
    Counted,
    CountOwner,
    Found,
    Missing,
    Read,
    Saved,
    Start,
    Touch,
    Unavailable,
)
from sessiontracker_sql.lapsing import LATEST
from sessiontracker_sql.sqlite import SQLiteStore
from tests.clock import Clock

from .conftest import OpenStore

IDLE = 60_000  # ms


@pytest.fixture
def store(open_store: OpenStore) -> SQLiteStore:
    return open_store(timeout=0.05)


@pytest.fixture(params=["plain", "owned"])
def place(request: pytest.FixtureRequest, store: SQLiteStore) -> Address:
    place = Address("checkout", "" if request.param == "plain" else new_scope(), "korder-42")
    assert isinstance(one(store, Start(place, 1, b"payload", idle=IDLE)), Saved)
    return place


@pytest.fixture
def committing(store: SQLiteStore, path: Path) -> Iterator[Any]:
    """Does a step in a transaction that is committed in the end."""
    engine = create_engine(f"sqlite:///{path}")

    @contextmanager
    def late(step: Any) -> Iterator[None]:
        with engine.begin() as connection:
            outcome = store.in_transactions().execute(connection, step)
            assert isinstance(outcome, Saved), outcome
            yield

    yield late
    engine.dispose()


def one(store: SQLiteStore, operation: Any) -> Any:
    [outcome] = store.execute([operation])
    return outcome


def test_a_session_is_not_said_to_be_missing_before_its_slide_is_committed(
    store: SQLiteStore, place: Address, clock: Clock, committing: Any
) -> None:
    clock.move((IDLE - 1) / 1000)
    with committing(Touch(place)):
        clock.move(0.001)
        assert isinstance(one(store, Read(place)), Unavailable)
    assert isinstance(one(store, Read(place)), Found)


def test_nor_is_one_of_an_owners(store: SQLiteStore, clock: Clock, committing: Any) -> None:
    owner = Address("login", new_scope(), "")
    one(store, Start(replace(owner, key="ka"), 1, b"payload", idle=IDLE))
    clock.move((IDLE - 1) / 1000)
    with committing(Touch(replace(owner, key="ka"))):
        clock.move(0.001)
        assert isinstance(one(store, CountOwner(owner)), Unavailable)
    assert one(store, CountOwner(owner)) == Counted(1)


def test_only_who_reads_what_has_just_gone_waits_for_who_writes(
    store: SQLiteStore, place: Address, clock: Clock, sql: sqlite3.Connection
) -> None:
    sql.execute("BEGIN IMMEDIATE")
    clock.move((IDLE - 1) / 1000)
    assert isinstance(one(store, Read(place)), Found)
    clock.move(LATEST / 1000)
    assert isinstance(one(store, Read(place)), Unavailable)
    clock.move(0.001)
    assert one(store, Read(place)) == Missing()
