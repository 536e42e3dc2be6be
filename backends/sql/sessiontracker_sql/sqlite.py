"""SQLite: the machine itself, in one transaction a batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy.dialects import sqlite

from sessiontracker.backend import Asked, BackendError, operations

from .batch import Batch
from .database import Database
from .failures import InDoubtError, is_own, outcome_of, raised
from .known import Known
from .migration import check, migrate
from .options import Options
from .saving import is_simple
from .schema import Tables
from .sqlite_saving import SQLiteSaving
from .sqlite_steps import SQLiteSteps
from .statements import Statements
from .whole import page, reap, reap_owners
from .writes import Writes, place_of

__all__ = ["SQLiteStore"]

_FAILURES = (sqlite3.Error, OverflowError, ValueError, InDoubtError, BackendError)
_REAPED_AT_ONCE = 250  # rows in one transaction, so that others get in between
_REAPED_BESIDE = 1_000  # rows of which no session goes: put off, or long empty


class SQLiteStore:
    """A `BlockingStore` on one file, which other processes may use at the same time."""

    look_every = 1.0
    poll_every = 0.003
    batch = 256

    def __init__(self, options: Options) -> None:
        self._now = options.clock
        self._create = options.create_tables
        self._opening = options.opening
        self._statements = Statements(Tables(options.table_prefix), sqlite.dialect())
        self._database = Database(
            options.path, synchronous=options.synchronous, timeout=options.timeout
        )
        self._known = Known()
        self._saving = SQLiteSaving(self._database, self._statements, self._known, options.clock)
        self._tables: int | None = None
        self._looked: tuple[int, int] | None = None
        self._claims: list[int] = []

    def open(self) -> None:
        database = self._database
        try:
            database.open(create=self._create)
            database.write(
                lambda cursor: migrate(cursor, self._statements, create=self._create),
                self._opening,
            )
        except (sqlite3.Error, InDoubtError) as error:
            database.close()
            raise raised(error, database.path, database.timeout) from error
        except BackendError as error:
            database.close()
            raise BackendError(f"{database.path}: {error}") from None

    def close(self) -> None:
        self._database.close()

    def claims(self) -> Sequence[int]:
        return self._claims

    def in_transactions(self) -> SQLiteSteps:
        """What is done in transactions that others have open on the file."""
        return SQLiteSteps(self._database.path, self._statements, self._now)

    # Batches ---------------------------------------------------------------------

    def execute(self, asked: Sequence[Asked]) -> list[operations.Outcome]:
        self._claims = []
        if len(asked) == 1 and is_simple(asked[0]):
            outcome = self._save(asked[0])
            if outcome is not None:
                return [outcome]
        steps = [operation for operation in asked if isinstance(operation, operations.Operation)]
        outcomes = self._steps(steps) if steps else []
        if len(steps) == len(asked):
            return outcomes
        following = iter(outcomes)
        return [
            next(following)
            if isinstance(operation, operations.Operation)
            else self._whole(operation)
            for operation in asked
        ]

    def _save(self, write: operations.Write) -> operations.Outcome | None:
        try:
            return self._saving.save(write)
        except _FAILURES as error:
            return self._outcome(error)

    def _steps(self, steps: Sequence[operations.Operation]) -> list[operations.Outcome]:
        try:
            if all(map(_may_only_read, steps)):
                return self._read(steps)
            return self._write(steps)
        except _FAILURES as error:
            if len(steps) > 1 and is_own(error):
                return [self._steps([step])[0] for step in steps]
            return [self._outcome(error)] * len(steps)

    def _write(self, steps: Sequence[operations.Operation]) -> list[operations.Outcome]:
        def work(
            cursor: sqlite3.Cursor,
        ) -> tuple[list[operations.Outcome], list[int], Writes]:
            now = self._now()  # with the write lock held: later than all that was written before
            batch = self._batch(cursor)
            outcomes = [batch.step(step, now) for step in steps]
            return outcomes, batch.claims, batch.write()

        try:
            outcomes, claims, writes = self._database.write(work)
            writes.teach(self._known)
        except BaseException:  # an interrupt, too: it may strike just after the commit
            self._known.clear()
            raise
        self._claims += claims
        return outcomes

    def _batch(self, cursor: sqlite3.Cursor) -> Batch:
        state = self._database.state(cursor)
        if not self._known.is_at(state):
            self._check_tables(cursor)
            self._known.begin(state)
        return Batch(cursor, self._statements, self._known)

    def _check_tables(self, cursor: sqlite3.Cursor) -> None:
        """Whether another process has migrated them since, to what this one does not know."""
        tables = cursor.execute("PRAGMA schema_version").fetchone()[0]
        if tables != self._tables:
            check(cursor, self._statements)
            self._tables = tables

    def _read(self, steps: Sequence[operations.Operation]) -> list[operations.Outcome]:
        """What changes nothing, from a snapshot; what does, such as a slide that is due, again
        in a transaction that writes, and so what lapsed only just now: nobody else does then."""

        def work(cursor: sqlite3.Cursor) -> tuple[list[operations.Outcome], list[int]]:
            # Before the snapshot: one that is older than the clock may show as expired what
            # somebody has prolonged since.
            now = self._now()
            batch = self._batch(cursor)
            outcomes = [batch.step(step, now) for step in steps]
            again = [i for i, step in enumerate(steps) if batch.is_for_a_writer(step.address)]
            return outcomes, again

        # An owned session is read in several statements.
        once = len(steps) == 1 and not steps[0].address.scope
        outcomes, again = (self._database.read_once if once else self._database.read)(work)
        if again:
            written = self._write([steps[i] for i in again])
            for i, outcome in zip(again, written, strict=True):
                outcomes[i] = outcome
        return outcomes

    # The store as a whole --------------------------------------------------------

    def _whole(self, operation: Asked) -> operations.Outcome:
        try:
            if isinstance(operation, operations.Scan):
                return self._page(operation)
            if isinstance(operation, operations.Reap):
                return self._reap(operation.limit)
            self._database.read_once(
                lambda cursor: cursor.execute(self._statements.version).fetchone()
            )
            return operations.Pong(self._now())
        except _FAILURES as error:
            return self._outcome(error)

    def _page(self, scan: operations.Scan) -> operations.Outcome:
        now = self._now()
        return self._database.read(lambda cursor: page(cursor, self._statements, scan, now))

    def _reap(self, limit: int) -> operations.Outcome:
        gone = 0
        left = limit + _REAPED_BESIDE
        more = True
        self._known.clear()  # of what goes past it
        while more and gone < limit and left > 0:
            rows = min(limit - gone, left, _REAPED_AT_ONCE)
            count, claims, more = self._reap_rows(rows)
            gone += count
            left -= rows
            self._claims += claims
        left = _REAPED_BESIDE
        while left > 0 and self._reap_owners():
            left -= _REAPED_AT_ONCE
        return operations.Reaped(gone)

    def _reap_owners(self) -> bool:
        return self._database.write(
            lambda cursor: reap_owners(cursor, self._statements, _REAPED_AT_ONCE, self._now())
        )

    def _reap_rows(self, rows: int) -> tuple[int, list[int], bool]:
        return self._database.write(
            lambda cursor: reap(cursor, self._statements, rows, self._now())
        )

    def _outcome(self, error: Exception) -> operations.Outcome:
        if isinstance(error, BackendError):
            return operations.Failed(BackendError(f"{self._database.path}: {error}"))
        return outcome_of(error, self._database.path, self._database.timeout)

    # Waiting ---------------------------------------------------------------------

    def look(self, waiting: Mapping[int, operations.Address]) -> Collection[int]:
        state = self._database.read_once(self._database.state)
        if state == self._looked:
            return ()

        def work(cursor: sqlite3.Cursor) -> list[int]:
            holders: list[int] = []
            for address in set(waiting.values()):
                row = cursor.execute(self._statements.holder, place_of(address)).fetchone()
                if row is not None and row[0] in waiting:
                    holders.append(row[0])
            return holders

        found = self._database.read(work)
        self._looked = state
        return found


_READS = (
    operations.CountOwner,
    operations.ListOwner,
    operations.Read,
    operations.ReadShared,
    operations.Time,
)


def _may_only_read(operation: operations.Operation) -> bool:
    return isinstance(operation, _READS) or (
        isinstance(operation, operations.Start) and operation.read
    )
