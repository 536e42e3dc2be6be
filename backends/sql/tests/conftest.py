"""Stores on real files, with a clock that the tests move."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sessiontracker.backend import operations
from sessiontracker_sql.options import Options
from sessiontracker_sql.sqlite import SQLiteStore
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


OpenStore = Callable[..., SQLiteStore]


@pytest.fixture
def open_store(path: Path, clock: Clock) -> Iterator[OpenStore]:
    """Opens one more connection to the file."""
    stores: list[SQLiteStore] = []

    def open_one(**options: Any) -> SQLiteStore:
        store = SQLiteStore(Options(**{"path": path, "clock": clock, **options}))
        store.open()
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> SQLiteStore:
    return open_store()


@pytest.fixture
def sql(path: Path, store: SQLiteStore) -> Iterator[sqlite3.Connection]:
    """The administrator's own connection to the file."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    yield connection
    connection.close()


def address(key: str = "order-42", type: str = "checkout") -> operations.Address:
    return operations.Address(type, "", f"k{key}")


@pytest.fixture
def started(store: SQLiteStore) -> operations.Meta:
    """An active session at the default address."""
    start = operations.Start(address(), 1, b"payload", idle=60_000, absolute=600_000)
    [outcome] = store.execute([start])
    assert isinstance(outcome, operations.Saved)
    return outcome.meta


@pytest.fixture
def at() -> Callable[..., operations.Address]:
    """The address of a key."""
    return address
