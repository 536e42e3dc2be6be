"""Tables and statements: indexed everywhere, written for every database, created once."""

from __future__ import annotations

import multiprocessing
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import DDL, CreateTable

from sessiontracker.backend import BackendError, operations
from sessiontracker_sql import metadata, migration, rows
from sessiontracker_sql.options import Options
from sessiontracker_sql.schema import Tables
from sessiontracker_sql.sqlite import SQLiteStore
from sessiontracker_sql.statements import Statements

TEXTS = [
    name
    for name, value in vars(Statements(Tables(), sqlite.dialect())).items()
    if isinstance(value, str) and "version" not in name  # of a table that has a row a version
]


def test_the_columns_of_a_row_are_the_tables() -> None:
    names = [column.name for column in Tables().keys.columns]
    assert names == ["type", "scope", "key", *rows.COLUMNS]


def test_nothing_is_compared_as_text() -> None:
    for table in Tables().metadata.tables.values():
        for column in table.columns:
            assert column.type.python_type in (bytes, int)


@pytest.mark.parametrize("dialect", [sqlite, postgresql, mysql], ids=lambda d: d.__name__[20:])
def test_the_tables_can_be_made_everywhere(dialect: Any) -> None:
    text = str(CreateTable(Tables("p_").keys).compile(dialect=dialect.dialect()))
    assert "p_keys" in text
    assert "collate" not in text.lower()
    if dialect is mysql:
        assert "VARBINARY(1025)" in text
        assert "LONGBLOB" in text


def asked(path: Path, *statements: str) -> list[tuple[Any, ...]]:
    """What the last of ``statements`` returns."""
    rows: list[tuple[Any, ...]] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


# Indexes ---------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_every_statement_finds_its_rows_by_an_index(name: str, sql: sqlite3.Connection) -> None:
    assert_indexed(sql, getattr(Statements(Tables(), sqlite.dialect()), name))


@pytest.mark.parametrize("groups", [rows.SLIDE, rows.ACTIVE | rows.DEED, rows.DUE, rows.ALL])
def test_every_update_finds_its_row_by_an_index(groups: int, sql: sqlite3.Connection) -> None:
    assert_indexed(sql, Statements(Tables(), sqlite.dialect()).update(groups))


_A_ROW_A_VERSION = "SCALAR SUBQUERY|SCAN (TABLE )?sessiontracker_schema"


def assert_indexed(sql: sqlite3.Connection, statement: str) -> None:
    plan = sql.execute(f"EXPLAIN QUERY PLAN {statement}", [0] * statement.count("?")).fetchall()
    for *_, detail in plan:
        assert re.match(rf"SEARCH \S+ USING (COVERING )?INDEX|{_A_ROW_A_VERSION}", detail), detail
        assert "TEMP B-TREE" not in detail


def test_a_plan_without_an_index_would_be_seen(sql: sqlite3.Connection) -> None:
    with pytest.raises(AssertionError):
        assert_indexed(sql, "SELECT * FROM sessiontracker_keys WHERE active_owner = ?")


# Creating and migrating ------------------------------------------------------


def open_and_ping(path: Path, barrier: Any, results: Any) -> None:
    barrier.wait()
    store = SQLiteStore(Options(path=path))
    try:
        store.open()
        results.put(type(store.execute([operations.Ping()])[0]).__name__)
    except Exception as error:
        results.put(repr(error))
    finally:
        store.close()


def test_processes_that_open_a_new_file_at_once_make_its_tables_once(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(4), spawn.Queue()
    processes = [
        spawn.Process(target=open_and_ping, args=(path, barrier, results)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == ["Pong"] * 4
    for process in processes:
        process.join(60)
    assert asked(path, "SELECT version FROM sessiontracker_schema") == [(1,)]


class NewerTables(Tables):
    """As a later version may have them: one more column."""

    def steps(self) -> list[Any]:
        return [*super().steps(), [DDL(f"ALTER TABLE {self.keys} ADD COLUMN more INTEGER")]]


def migrate(path: Path, tables: Tables, *, create: bool = True) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        cursor = connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        migration.migrate(cursor, Statements(tables, sqlite.dialect()), create=create)
        cursor.execute("COMMIT")


def test_an_older_schema_is_brought_up_to_date_and_keeps_what_it_holds(
    path: Path, store: SQLiteStore, started: operations.Meta, sql: sqlite3.Connection
) -> None:
    migrate(path, NewerTables())
    assert sql.execute("SELECT version FROM sessiontracker_schema").fetchall() == [(1,), (2,)]
    assert sql.execute("SELECT active_version, more FROM sessiontracker_keys").fetchall() == [
        (started.version, None)
    ]


def test_an_older_schema_that_must_not_be_migrated_is_told(path: Path, store: SQLiteStore) -> None:
    with pytest.raises(BackendError, match=r"of version 1, .* writes 2: set create_tables"):
        migrate(path, NewerTables(), create=False)


def test_an_older_process_goes_on_with_a_newer_schema_that_allows_it(
    path: Path, store: SQLiteStore, started: operations.Meta, open_store: Callable[..., SQLiteStore]
) -> None:
    migrate(path, NewerTables())
    older = open_store()
    for each in (store, older):
        [outcome] = each.execute([operations.Read(operations.Address("checkout", "", "korder-42"))])
        assert outcome == operations.Found(started, b"payload")


def test_an_older_process_is_told_of_a_newer_schema_that_it_cannot_use(
    path: Path, store: SQLiteStore
) -> None:
    tables = NewerTables()
    tables.oldest = 2
    migrate(path, tables)
    with pytest.raises(BackendError, match=r"of version 2.* knows up to 1.*install"):
        SQLiteStore(Options(path=path)).open()


def test_an_older_process_that_is_at_work_is_told_as_well(
    path: Path, store: SQLiteStore, started: operations.Meta
) -> None:
    place = operations.Address("checkout", "", "korder-42")
    asked = [operations.Read(place), operations.Touch(place)]
    store.execute(asked)
    tables = NewerTables()
    tables.oldest = 2
    migrate(path, tables)
    save = operations.Write(place, 2, started.stamp, b"")
    for outcome in [*store.execute([save]), *store.execute(asked), *store.execute(asked[:1])]:
        assert isinstance(outcome, operations.Failed)
        assert "knows up to 1: install" in str(outcome.error)


def test_our_tables_live_beside_somebody_elses(path: Path) -> None:
    asked(path, "CREATE TABLE keys (id INTEGER)", "INSERT INTO keys VALUES (7)")
    store = SQLiteStore(Options(path=path, table_prefix="our_"))
    store.open()
    store.close()
    tables = asked(path, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    assert tables == [("keys",), ("our_keys",), ("our_owners",), ("our_schema",)]
    assert asked(path, "SELECT * FROM keys") == [(7,)]


def test_tables_that_must_not_be_created_are_missed(path: Path) -> None:
    asked(path, "CREATE TABLE theirs (id INTEGER)")
    with pytest.raises(BackendError, match="create_tables"):
        SQLiteStore(Options(path=path, create_tables=False)).open()
    assert asked(path, "SELECT name FROM sqlite_master") == [("theirs",)]


@pytest.mark.parametrize(
    "theirs",
    [
        ["CREATE TABLE sessiontracker_keys (id INTEGER)"],
        ["CREATE TABLE sessiontracker_schema (id INTEGER)"],
        [
            "CREATE TABLE sessiontracker_keys (id INTEGER)",
            "CREATE TABLE sessiontracker_schema (version INTEGER, oldest INTEGER)",
            "INSERT INTO sessiontracker_schema VALUES (1, 1)",
        ],
    ],
    ids=["keys", "schema", "both"],
)
def test_tables_of_our_name_that_are_not_ours_are_left_alone(path: Path, theirs: list[str]) -> None:
    asked(path, *theirs)
    before = asked(path, "SELECT sql FROM sqlite_master")
    with pytest.raises(BackendError, match="table_prefix"):
        SQLiteStore(Options(path=path)).open()
    assert asked(path, "SELECT sql FROM sqlite_master") == before


def test_tables_that_alembic_would_create_are_used(path: Path) -> None:
    url = f"sqlite:///{path}"
    engine = create_engine(url)
    metadata(url).create_all(engine)
    engine.dispose()
    store = SQLiteStore(Options(path=path, create_tables=False))
    store.open()
    started = operations.Start(operations.Address("checkout", "", "korder-42"), 1, b"payload")
    [outcome] = store.execute([started])
    assert isinstance(outcome, operations.Saved)
    store.close()
    assert asked(path, "SELECT version, oldest FROM sessiontracker_schema") == [(1, 1)]
