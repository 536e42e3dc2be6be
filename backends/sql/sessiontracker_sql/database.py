"""The file as this process has it open: one connection, and transactions on it."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar

from .failures import InDoubtError, is_busy, is_in_doubt, is_lasting, is_undone

__all__ = ["Database"]

T = TypeVar("T")
Work = Callable[[sqlite3.Cursor], T]

_CACHE_KIB = 16_384
_FIRST_PAUSE, _LONGEST_PAUSE = 0.000_1, 0.005  # s


class Database:
    """A SQLite file. ``timeout`` (s) is how long others may keep it busy."""

    def __init__(self, path: Path, *, synchronous: str, timeout: float) -> None:
        self.path = path
        self._text = str(path)  # which is quicker to look up
        self.timeout = timeout
        self._synchronous = synchronous
        self.mutex = threading.RLock()  # held by whoever uses the connection
        self._cursor: sqlite3.Cursor | None = None
        self._identity: tuple[int, int] | None = None
        self._looked = 0
        self._connections = 0
        with _forking:
            _databases.add(self)

    def open(self, *, create: bool) -> None:
        """Connect. Raises: sqlite3.Error."""
        self._persist(lambda: self._connect("rwc" if create else "rw"))

    def close(self) -> None:
        """Disconnect. What was committed is in the file."""
        with self.mutex:
            cursor, self._cursor = self._cursor, None
            if cursor is not None:
                connection = cursor.connection
                cursor.close()  # a statement under way would keep the file open, and locked
                connection.close()

    def write(self, work: Work[T], timeout: float | None = None) -> T:
        """What ``work`` returns, in one transaction that holds the write lock from the start.

        ``work`` begins anew whenever others were in the way. Raises: sqlite3.Error: nothing
        was done; InDoubtError.
        """
        return self._persist(lambda: self._transact("BEGIN IMMEDIATE", work), timeout)

    def write_at_once(self, text: str, values: Sequence[Any], ms: int) -> bool:
        """Whether ``text``, one statement that commits by itself, changed a row; if not, perhaps
        because others were in the way.

        ``ms`` is the system's clock: once in a millisecond is often enough to look which file
        is there. Raises: InDoubtError.
        """
        with self.mutex:
            cursor = self._cursor
            try:
                if cursor is None or self._looked != ms:
                    cursor = self._connected()
                    self._looked = ms
            except sqlite3.Error:
                return False
            try:
                return cursor.execute(text, values).rowcount > 0
            except sqlite3.Error as error:
                if is_undone(error):
                    return False
                self.close()
                raise InDoubtError(str(error)) from error

    def read(self, work: Work[T]) -> T:
        """What ``work`` returns, which reads one snapshot and writes nothing."""
        return self._persist(lambda: self._transact("BEGIN", work))

    def read_once(self, work: Work[T]) -> T:
        """As `read`, for one statement, which needs no transaction."""
        return self._persist(lambda: self._transact("", work))

    def state(self, cursor: sqlite3.Cursor) -> tuple[int, int]:
        """What ``cursor`` sees: another whenever another connection has written, or this one is
        another."""
        return self._connections, cursor.execute("PRAGMA data_version").fetchone()[0]

    # One attempt ----------------------------------------------------------------

    def _persist(self, attempt: Callable[[], T], timeout: float | None = None) -> T:
        """What ``attempt`` returns, made again while others keep the file busy.

        SQLite's own waiting begins with a millisecond, longer than most transactions last.
        """
        deadline = monotonic() + (self.timeout if timeout is None else timeout)
        pause = _FIRST_PAUSE
        while True:
            try:
                return attempt()
            except sqlite3.Error as error:
                if is_lasting(error):
                    self.close()
                if not is_busy(error) or monotonic() >= deadline:
                    raise
            sleep(random.uniform(pause / 2, pause))
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _transact(self, begin: str, work: Work[T]) -> T:
        with self.mutex:
            cursor = self._connected()
            if not begin:
                return work(cursor)
            try:
                cursor.execute(begin)
                result = work(cursor)
                self._commit(cursor, in_doubt=begin == "BEGIN IMMEDIATE")
            except BaseException:  # an interrupt, too, between whichever two steps it strikes
                self._roll_back()
                raise
            return result

    def _commit(self, cursor: sqlite3.Cursor, *, in_doubt: bool) -> None:
        """Commit; ``in_doubt``: one that fails may have been carried out all the same."""
        try:
            cursor.execute("COMMIT")
        except sqlite3.Error as error:
            if in_doubt and is_in_doubt(error):
                self._roll_back()
                self.close()
                raise InDoubtError(str(error)) from error
            raise

    def _roll_back(self) -> None:
        cursor = self._cursor
        if cursor is not None and cursor.connection.in_transaction:
            try:
                cursor.execute("ROLLBACK")
            except sqlite3.Error:
                self.close()  # which rolls back, too

    def _connected(self) -> sqlite3.Cursor:
        """The connection to the file that is at ``path`` now, which it may not have been before."""
        if self._cursor is not None and self._identity != _identity(self._text):
            self.close()
        if self._cursor is None:
            self._connect("rw")
        assert self._cursor is not None
        return self._cursor

    def _connect(self, mode: str) -> None:
        with self.mutex:
            self.close()
            connection = sqlite3.connect(
                f"{self.path.as_uri()}?mode={mode}",
                uri=True,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                cursor = connection.cursor()
                cursor.execute("PRAGMA journal_mode = WAL").fetchone()
                cursor.execute(f"PRAGMA synchronous = {self._synchronous}")
                cursor.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            except BaseException:
                connection.close()
                raise
            self._cursor = cursor
            self._connections += 1
            self._identity = _identity(self._text)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - a third of what Path.stat takes
    except OSError:
        return None
    return status.st_dev, status.st_ino


# Forks -----------------------------------------------------------------------
#
# SQLite keeps account of a file's locks by process: a child that has inherited an open
# connection corrupts the file even with one of its own. So none is open while a process
# forks; both sides connect anew when they next need to.

_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_held: list[Database] = []
_forking = threading.Lock()  # one fork at a time, and no new database in the middle of it


def _before_fork() -> None:
    _forking.acquire()
    for database in list(_databases):
        database.mutex.acquire()
        _held.append(database)
        database.close()


def _after_fork() -> None:
    while _held:
        _held.pop().mutex.release()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
