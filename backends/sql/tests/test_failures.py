"""What goes wrong around a file: each a clear answer, and nothing lost."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from sessiontracker.backend import BackendError, BackendUnavailableError
from sessiontracker.operations import (
    Address,
    Failed,
    Found,
    Meta,
    NoAnswer,
    Outcome,
    Ping,
    Pong,
    Read,
    Saved,
    Stale,
    Start,
    Touch,
    Unavailable,
    Write,
)
from sessiontracker_sql.known import Known
from sessiontracker_sql.options import Options
from sessiontracker_sql.sqlite import SQLiteStore

At = Callable[..., Address]
OpenStore = Callable[..., SQLiteStore]


def reason(outcome: Outcome) -> str:
    assert isinstance(outcome, Unavailable), outcome
    return outcome.reason


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user whom the permissions of files stop."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that `unprivileged` may enter."""
    folder = Path("/tmp") / f"sessiontracker-{os.getpid()}-{tmp_path.name}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)


# Opening ---------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(BackendError) as caught:
        SQLiteStore(Options(path=path, timeout=0.2)).open()
    return str(caught.value)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "sessions.db"
    message = refused(path)
    assert f"there is no folder {path.parent}: create it" in message
    assert not path.parent.exists()


def test_a_folder_where_a_file_must_be(tmp_path: Path) -> None:
    assert "is a folder: name a file in it" in refused(tmp_path)


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"our accounts of 2019, " * 500)
    assert "no SQLite database, or a damaged one" in refused(path)
    assert path.read_bytes() == b"our accounts of 2019, " * 500


def test_a_file_that_is_read_only(folder: Path) -> None:
    path = folder / "sessions.db"
    store = SQLiteStore(Options(path=path))
    store.open()
    store.close()
    path.chmod(0o444)
    with unprivileged():
        assert "read-only: make the file and its folder writable" in refused(path)


def test_a_folder_that_is_read_only(folder: Path) -> None:
    folder.chmod(0o555)
    with unprivileged():
        assert "make its folder writable" in refused(folder / "sessions.db")


def test_a_file_that_cannot_be_read(folder: Path) -> None:
    path = folder / "sessions.db"
    path.touch(mode=0o600)
    path.chmod(0o000)
    with unprivileged():
        assert "readable and writable for this user" in refused(path)


def test_a_file_that_is_locked_from_the_start(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    before = monotonic()
    message = refused(path)
    assert "locked by another transaction for more than 0.2 s" in message
    assert monotonic() - before >= 0.2
    other.close()
    store = SQLiteStore(Options(path=path))
    store.open()
    store.close()


def test_opening_can_be_tried_again(tmp_path: Path) -> None:
    store = SQLiteStore(Options(path=tmp_path / "later" / "sessions.db"))
    with pytest.raises(BackendUnavailableError):
        store.open()
    (tmp_path / "later").mkdir()
    store.open()
    assert isinstance(store.execute([Ping()])[0], Pong)
    store.close()


# In use ----------------------------------------------------------------------


def test_a_file_that_is_locked_for_longer_than_the_timeout(
    open_store: OpenStore, path: Path, at: At
) -> None:
    store = open_store(timeout=0.2)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    before = monotonic()
    outcomes = store.execute([Start(at("a"), 1, b""), Start(at("b"), 2, b"")])
    assert monotonic() - before >= 0.2
    for outcome in outcomes:
        assert "locked by another transaction for more than 0.2 s" in reason(outcome)
    other.execute("ROLLBACK")
    assert isinstance(store.execute([Start(at("a"), 3, b"")])[0], Saved)
    other.close()


def test_a_file_that_is_locked_for_less(open_store: OpenStore, path: Path, at: At) -> None:
    store = open_store(timeout=60)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tries = 0
    connected = store._database._connected

    def third_time() -> sqlite3.Cursor:
        nonlocal tries
        tries += 1
        if tries == 3:
            other.execute("COMMIT")
        return connected()

    store._database._connected = third_time  # type: ignore[method-assign]
    assert isinstance(store.execute([Start(at(), 1, b"")])[0], Saved)
    assert tries == 3
    other.close()


def test_a_database_that_may_not_grow(
    store: SQLiteStore, started: Meta, sql: sqlite3.Connection, at: At
) -> None:
    cursor = store._database._connected()
    [(pages,)] = cursor.execute("PRAGMA page_count").fetchall()
    cursor.execute(f"PRAGMA max_page_count = {pages + 3}").fetchall()
    huge, small, read = store.execute(
        [Start(at("huge"), 5, b"x" * 100_000), Touch(at()), Read(at())]
    )
    assert "the disk is full" in reason(huge)
    assert isinstance(small, Saved)  # what still fits is done
    assert isinstance(read, Found)
    cursor.execute("PRAGMA max_page_count = 1000000").fetchall()
    assert isinstance(store.execute([Start(at("huge"), 5, b"x" * 100_000)])[0], Saved)
    assert sql.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_disk_that_takes_no_more(
    store: SQLiteStore, started: Meta, path: Path, sql: sqlite3.Connection, at: At
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = Path(f"{path}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, limits[1]))
    try:
        [outcome] = store.execute([Write(at(), 2, started.stamp, b"x" * 100_000)])
        read = store.execute([Read(at())])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert isinstance(outcome, (Unavailable, NoAnswer))
    assert read == [Found(started, b"payload")]
    [saved] = store.execute([Write(at(), 2, started.stamp, b"x" * 100_000)])
    assert isinstance(saved, Saved)
    assert sql.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_file_that_was_deleted(store: SQLiteStore, started: Meta, path: Path, at: At) -> None:
    path.unlink()
    [read, write] = store.execute([Read(at()), Touch(at())])
    assert "there is no such file" in reason(read)
    assert "there is no such file" in reason(write)
    assert not path.exists()  # nobody is told that sessions are missing by a new, empty file
    store.open()
    assert isinstance(store.execute([Start(at(), 3, b"")])[0], Saved)


def test_a_file_that_was_replaced_by_a_backup(
    store: SQLiteStore, started: Meta, path: Path, sql: sqlite3.Connection, at: At, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    sql.execute("VACUUM INTO ?", (str(backup),))
    sql.close()
    assert isinstance(store.execute([Write(at(), 2, started.stamp, b"newer")])[0], Saved)
    for ending in ("-wal", "-shm"):
        Path(f"{path}{ending}").unlink()
    backup.rename(path)
    assert store.execute([Read(at())]) == [Found(started, b"payload")]
    assert isinstance(store.execute([Write(at(), 3, started.stamp, b"again")])[0], Saved)
    store.open()
    [found] = store.execute([Read(at())])
    assert isinstance(found, Found)
    assert found.payload == b"again"


def test_tables_that_were_dropped(
    store: SQLiteStore, started: Meta, sql: sqlite3.Connection, at: At
) -> None:
    sql.execute("DROP TABLE sessiontracker_keys")
    for outcome in store.execute([Read(at()), Touch(at())]):
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, BackendError)
        assert "dropped or changed since the tracker opened" in str(outcome.error)


def test_a_schema_table_that_was_emptied(
    store: SQLiteStore, started: Meta, sql: sqlite3.Connection, at: At
) -> None:
    sql.execute("DELETE FROM sessiontracker_schema")
    sql.execute("CREATE TABLE theirs (id INTEGER)")
    for outcome in store.execute([Read(at()), Touch(at())]):
        assert isinstance(outcome, Failed)
        assert "incomplete or somebody else's" in str(outcome.error)


def test_a_file_that_was_damaged(store: SQLiteStore, started: Meta, path: Path, at: At) -> None:
    store.close()
    with path.open("r+b") as file:
        file.seek(16)
        file.write(b"\xff" * 8000)
    outcomes = store.execute([Read(at()), Touch(at())])
    for outcome in outcomes:
        assert isinstance(outcome, Failed)
        assert "restore the file from a backup" in str(outcome.error)


beside = pytest.mark.parametrize(
    "beside", [[], [Ping()]], ids=["by one statement", "in a transaction"]
)


@beside
def test_an_interrupt_just_after_the_commit_leaves_nothing_false_behind(
    store: SQLiteStore, started: Meta, at: At, monkeypatch: pytest.MonkeyPatch, beside: list[Ping]
) -> None:
    def strike(known: Known, address: Address, row: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Known, "learn", strike)
        with pytest.raises(KeyboardInterrupt):
            store.execute([Write(at(), 2, started.stamp, b"new"), *beside])
    [found] = store.execute([Read(at())])
    assert isinstance(found, Found)
    assert found.payload == b"new"
    assert store.execute([Write(at(), 3, started.stamp, b"old")]) == [Stale(2)]


class Interrupted:
    """A cursor at which an interrupt strikes just after one statement, or before it."""

    def __init__(self, cursor: sqlite3.Cursor, statement: str, *, after: bool) -> None:
        self._cursor = cursor
        self._statement = statement
        self._after = after

    def __getattr__(self, name: str) -> object:
        return getattr(self._cursor, name)

    def execute(self, statement: str, *arguments: object) -> object:
        strikes = statement == self._statement
        if self._after or not strikes:
            self._cursor.execute(statement, *arguments)  # type: ignore[arg-type]
        if strikes:
            raise KeyboardInterrupt
        return self._cursor


@pytest.mark.parametrize(
    ("statement", "after"), [("BEGIN IMMEDIATE", True), ("COMMIT", False), ("COMMIT", True)]
)
def test_an_interrupt_leaves_no_transaction_open(
    store: SQLiteStore,
    started: Meta,
    at: At,
    sql: sqlite3.Connection,
    statement: str,
    after: bool,
) -> None:
    database = store._database
    cursor = database._connected()
    database._cursor = Interrupted(cursor, statement, after=after)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        store.execute([Touch(at())])
    sql.execute("BEGIN IMMEDIATE")  # others may write
    sql.execute("ROLLBACK")
    database._cursor = cursor
    [saved] = store.execute([Touch(at())])
    assert isinstance(saved, Saved)


def test_closing_in_the_middle_of_a_statement_leaves_no_lock_behind(
    store: SQLiteStore, started: Meta, sql: sqlite3.Connection
) -> None:
    cursor = store._database._connected()
    cursor.execute("BEGIN IMMEDIATE")
    cursor.execute(f"SELECT * FROM {store._statements.tables.keys.name}")
    store.close()
    sql.execute("BEGIN IMMEDIATE")
    sql.execute("ROLLBACK")


# Commits ---------------------------------------------------------------------


class Stubborn:
    """A cursor that fails where it commits: at COMMIT, and at a statement that does by itself."""

    def __init__(self, cursor: sqlite3.Cursor, alone: str, code: int, *, commits: bool) -> None:
        self._cursor = cursor
        self._committing = ("COMMIT", alone)
        self._code = code
        self._commits = commits

    def __getattr__(self, name: str) -> object:
        return getattr(self._cursor, name)

    def execute(self, statement: str, *arguments: object) -> object:
        commits = statement in self._committing
        if self._commits or not commits:
            self._cursor.execute(statement, *arguments)  # type: ignore[arg-type]
        if not commits or (self._commits and statement != "COMMIT" and not self._cursor.rowcount):
            return self._cursor  # by itself, it does nothing once its millisecond is over
        error = sqlite3.OperationalError("it is told to")
        error.sqlite_errorcode = self._code
        raise error


def make_stubborn(store: SQLiteStore, code: int, *, commits: bool = False) -> None:
    database = store._database
    cursor = database._connected()
    database._cursor = Stubborn(  # type: ignore[assignment]
        cursor, store._statements.save, code, commits=commits
    )


@beside
@pytest.mark.parametrize("commits", [True, False])
def test_a_commit_that_may_have_happened_has_no_answer(
    store: SQLiteStore, started: Meta, at: At, commits: bool, beside: list[Ping]
) -> None:
    make_stubborn(store, sqlite3.SQLITE_IOERR, commits=commits)
    write = Write(at(), 2, started.stamp, b"new")
    [outcome, *_] = store.execute([write, *beside])
    assert isinstance(outcome, NoAnswer)
    assert "not known" in outcome.reason
    [found] = store.execute([Read(at())])
    assert isinstance(found, Found)
    assert found.payload == (b"new" if commits else b"payload")
    [saved] = store.execute([write])  # its repeat is done once
    assert isinstance(saved, Saved)
    assert saved.meta.version == 2


def test_a_commit_that_has_not_happened_is_unavailable(
    store: SQLiteStore, started: Meta, at: At
) -> None:
    cursor = store._database._connected()
    make_stubborn(store, sqlite3.SQLITE_FULL)
    write = Write(at(), 2, started.stamp, b"new")
    outcomes = store.execute([write, Start(at("b"), 3, b"")]) + store.execute([write])
    assert all("the disk is full" in reason(outcome) for outcome in outcomes)
    store._database._cursor = cursor
    assert store.execute([Read(at())]) == [Found(started, b"payload")]
