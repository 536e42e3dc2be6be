"""Owners on SQLite: which rows there are, what is read, and what reaping leaves."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sessiontracker.operations import (
    FOREVER,
    Address,
    Broken,
    Counted,
    CountOwner,
    Delete,
    Ended,
    EndOwner,
    Found,
    FoundShared,
    Limit,
    LimitReached,
    Listed,
    ListOwner,
    Operation,
    Outcome,
    Read,
    ReadShared,
    Reap,
    Saved,
    SavedShared,
    Start,
    Touch,
    Write,
    WriteShared,
)
from sessiontracker_sql.sqlite import SQLiteStore
from tests.clock import Clock

OWNER = Address("login", "s" * 22, "")
DAY = 86_400_000


def at(key: str) -> Address:
    return replace(OWNER, key=key)


def ask(store: SQLiteStore, operation: Any) -> Any:
    (outcome,) = store.execute([operation])
    return outcome


def start(store: SQLiteStore, id: int, key: str, **more: Any) -> Outcome:
    outcome: Outcome = ask(store, Start(at(key), id, b"payload", "alice", **more))
    return outcome


def rows(path: Path) -> tuple[int, int]:
    """How many keys' rows and owners' rows there are."""
    with closing(sqlite3.connect(path)) as database:
        return tuple(  # type: ignore[return-value]
            database.execute(f"SELECT count(*) FROM sessiontracker_{name}").fetchone()[0]
            for name in ("keys", "owners")
        )


def statements(store: SQLiteStore, operation: Operation) -> list[str]:
    """What the database is told to do ``operation``."""
    told: list[str] = []
    cursor: Any = store._database._cursor
    connection = cursor.connection
    connection.set_trace_callback(told.append)
    try:
        store.execute([operation])
    finally:
        connection.set_trace_callback(None)
    return told


def test_what_one_connection_does_another_sees(
    open_store: Callable[..., SQLiteStore], clock: Clock
) -> None:
    one, other = open_store(), open_store()
    start(one, 1, "ka", limit=Limit(2))
    start(other, 2, "kb", limit=Limit(2))
    assert start(one, 3, "kc", limit=Limit(2)) == LimitReached(2)
    written = ask(other, WriteShared(OWNER, 4, 0, 0, b"dark", DAY))
    assert isinstance(written, SavedShared)
    found = ask(one, Read(at("ka")))
    assert (found.payload, found.shared.payload) == (b"payload", b"dark")
    assert ask(other, EndOwner(OWNER, 5)) == Ended(2)
    assert ask(one, CountOwner(OWNER)) == Counted(0)
    assert ask(one, replace(EndOwner(OWNER, 5), since=clock.now // 1000 - 1)) == Ended(2)


@pytest.mark.parametrize(
    "operation",
    [ListOwner(OWNER), Start(at("knew"), 99, b"", limit=Limit(3))],
    ids=["list", "start"],
)
def test_what_is_only_remembered_is_not_read(
    store: SQLiteStore, path: Path, operation: Operation
) -> None:
    for number in range(40):
        start(store, number + 1, f"k{number}")
        if number > 1:
            ask(store, Delete(at(f"k{number}"), 100 + number))
    store._known.clear()
    with closing(sqlite3.connect(path)) as database:
        read = [
            len(database.execute(text).fetchall())
            for text in statements(store, operation)
            if text.startswith("SELECT") and "_keys" in text
        ]
    assert max(read) <= 3  # two sessions, and what came meanwhile


def test_one_session_is_read_and_written_without_the_others(store: SQLiteStore) -> None:
    for number in range(40):
        start(store, number + 1, f"k{number}")
    meta = ask(store, Read(at("k7"))).meta
    for operation in (
        Read(at("k7")),
        Touch(at("k7")),
        Write(at("k7"), 100, meta.stamp, b"written"),
    ):
        store._known.clear()
        told = [text for text in statements(store, operation) if "keys" in text]
        selects = [text for text in told if text.startswith("SELECT")]
        assert len(selects) == 1, selects
        assert selects[0].count(" AND ") == 2  # type, scope and key


def test_a_log_out_is_one_transaction(store: SQLiteStore) -> None:
    for number in range(40):
        start(store, number + 1, f"k{number}")
    told = statements(store, EndOwner(OWNER, 100))
    assert sum(text.startswith("BEGIN") for text in told) == 1
    assert sum(text == "COMMIT" for text in told) == 1


def test_an_owner_without_anything_to_keep_has_no_row(store: SQLiteStore, path: Path) -> None:
    start(store, 1, "ka")
    assert rows(path) == (1, 0)
    ask(store, WriteShared(OWNER, 2, 0, 0, b"dark", DAY))
    assert rows(path) == (1, 1)


def test_after_all_has_passed_reaping_leaves_no_row(
    store: SQLiteStore, path: Path, clock: Clock
) -> None:
    for number in range(5):
        start(store, number + 1, f"k{number}", idle=60_000)
    start(store, 10, "klast", idle=10 * DAY)
    ask(store, WriteShared(OWNER, 11, 0, 0, b"dark", 1_000))
    clock.move(70)
    ask(store, Reap(1_000))
    assert rows(path) == (1, 1)
    assert ask(store, ReadShared(OWNER)).shared is not None
    for _ in range(12):  # the owner is looked at again once a day
        clock.move(DAY / 1000)
        ask(store, Reap(1_000))
    assert rows(path) == (0, 0)


def test_what_was_put_off_goes_once_its_sessions_were_ended(
    store: SQLiteStore, path: Path, clock: Clock
) -> None:
    start(store, 1, "ka")
    ask(store, WriteShared(OWNER, 2, 0, 0, b"dark", 0))
    clock.move(5)
    ask(store, Reap(1_000))
    assert rows(path) == (1, 1)
    ask(store, EndOwner(OWNER, 3))
    clock.move(2 * DAY / 1000)
    ask(store, Reap(1_000))
    assert rows(path) == (0, 0)


def test_what_is_shared_for_ever_stays(store: SQLiteStore, path: Path, clock: Clock) -> None:
    ask(store, WriteShared(OWNER, 1, 0, 0, b"dark", FOREVER))
    clock.move(DAY)
    ask(store, Reap(1_000))
    assert ask(store, ReadShared(OWNER)).shared.payload == b"dark"


def test_names_that_were_made_up_leave_no_row(store: SQLiteStore, path: Path) -> None:
    for number in range(200):
        ask(store, Read(replace(at(f"d{number}"), scope=f"{number:022}"), slide=True))
        ask(store, EndOwner(replace(OWNER, scope=f"{number:022}"), number + 1))
    assert rows(path) == (0, 0)


def test_a_row_that_is_none_of_ours_stops_neither_list_nor_log_out(
    store: SQLiteStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start(store, 1, "ka")
    start(store, 2, "kb")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(
            "UPDATE sessiontracker_keys SET active_version = 'x' WHERE key = CAST('ka' AS BLOB)"
        )
    with caplog.at_level(logging.WARNING, "sessiontracker"):
        listed = ask(store, ListOwner(OWNER))
    assert isinstance(listed, Listed)
    assert [item.address.key for item in listed.items] == ["kb"]
    assert "passed over" in caplog.text
    assert isinstance(ask(store, Read(at("ka"))), Broken)
    assert ask(store, EndOwner(OWNER, 3)) == Ended(1)


def test_an_owners_row_that_is_none_of_ours_is_told(store: SQLiteStore, path: Path) -> None:
    start(store, 1, "ka")
    ask(store, WriteShared(OWNER, 2, 0, 0, b"dark", DAY))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE sessiontracker_owners SET shared_write = NULL")
    for operation in (Read(at("ka")), ReadShared(OWNER), ListOwner(OWNER)):
        assert isinstance(ask(store, operation), Broken)


def test_several_steps_of_one_owner_in_one_batch_build_upon_each_other(
    store: SQLiteStore,
) -> None:
    outcomes = store.execute(
        [
            Start(at("ka"), 1, b"a", limit=Limit(1)),
            Start(at("kb"), 2, b"b", limit=Limit(1)),
            WriteShared(OWNER, 3, 0, 0, b"dark", DAY),
            Read(at("ka")),
            EndOwner(OWNER, 4),
            Start(at("kb"), 5, b"b", limit=Limit(1)),
            ListOwner(OWNER),
            ReadShared(OWNER),
        ]
    )
    kinds = [Saved, LimitReached, SavedShared, Found, Ended, Saved, Listed, FoundShared]
    assert [type(outcome) for outcome in outcomes] == kinds
    listed: Any = outcomes[6]
    assert [(item.address.key, item.shared.payload) for item in listed.items] == [("kb", b"dark")]
