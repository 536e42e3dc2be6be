"""SQLite: a step within a caller's transaction, as within one of our own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast
from weakref import WeakSet

from sqlalchemy import Connection, CursorResult, Pool

from sessiontracker.backend import operations

from .batch import Batch
from .known import Known
from .migration import check
from .statements import Statements
from .transactions import check_dialect, refuse_autocommit, together

__all__ = ["SQLiteSteps"]


class SQLiteSteps:
    """`Steps`, on the file at ``path``."""

    def __init__(self, path: Path, statements: Statements, clock: Callable[[], int]) -> None:
        self.where = str(path)
        self.right: WeakSet[Pool] = WeakSet()
        self._path = path
        self._statements = statements
        self._clock = clock

    def own(self) -> object:
        """What `identify` finds at the other end of a connection to the right file."""
        return self._path.resolve()

    def identify(self, connection: Connection) -> object:
        check_dialect(self, connection, "sqlite")
        for _, name, file in connection.exec_driver_sql("PRAGMA database_list"):
            if name == "main" and file:
                return Path(file).resolve()
        return None

    def execute(
        self, connection: Connection, operation: operations.Operation
    ) -> operations.Outcome:
        statements = self._statements
        # There is but one lock, for who writes: it is taken before anything is read.
        connection.exec_driver_sql(statements.rewrite_version)
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:
            raise refuse_autocommit(self)
        cursor = cast("sqlite3.Cursor", _Cursor(connection))
        check(cursor, statements)
        batch = Batch(cursor, statements, Known())  # nobody else may know yet what it reads
        outcome = batch.step(operation, self._clock())
        with together(connection) if operation.address.scope else nullcontext():
            batch.write()
        return outcome


class _Cursor:
    """A connection, as the driver's cursor."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, text: str, values: Sequence[Any] = ()) -> CursorResult[Any]:
        return self._connection.exec_driver_sql(text, tuple(values))

    def executemany(self, text: str, rows: Sequence[Sequence[Any]]) -> None:
        self._connection.exec_driver_sql(text, [tuple(row) for row in rows])
