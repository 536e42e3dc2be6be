"""MariaDB and MySQL: a batch is one query to read, and one packet of statements to write."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects import mysql

from sessiontracker.backend import BackendError, operations

from . import error_numbers
from .literals import KEY, any_of, at, literal, ms, text, us
from .mysql_locked import Locked
from .mysql_owners import MySQLOwners
from .optimistic import Change, Place, Row, read_row
from .pace import Pace
from .packing import Packing
from .rows import ALL, COLUMNS, DUE, changed, columns_of, values_of
from .saving import MySQLSaving, is_simple
from .schema import Tables
from .talk import Answer, Query, ServerError, Talk
from .versions import check_columns, check_oldest, refuse_to_create, usable

__all__ = ["MySQL"]

_OLDEST_MARIADB, _OLDEST_MYSQL = (10, 6), (8, 0)
_TO_OPEN = 5.0  # s, for which a table is waited for

# Nothing is waited for within the server: what somebody has locked is left out, and asked for
# again. MySQL would wait for a second at least.
_ISOLATION = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
_SETTINGS = (
    "SET SESSION autocommit = 1, time_zone = '+00:00', lock_wait_timeout = 5, "
    "sql_mode = 'TRADITIONAL', "
    "sql_select_limit = 18446744073709551615, "
)
_OF_MARIADB = "innodb_lock_wait_timeout = 0, max_statement_time = 0"
_OF_MYSQL = "innodb_lock_wait_timeout = 1, max_execution_time = 0"


class MySQL:
    """The statements, for tables of this name. Values stand in them as numbers and as bytes in
    hexadecimal, which nothing can be smuggled into, and which no character set changes."""

    name = "MariaDB or MySQL"
    channel = ""
    identity = "CAST(DATABASE() AS CHAR)"  # a cluster's servers are all the same

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._dialect: Dialect = mysql.dialect()
        quote = self._dialect.identifier_preparer.format_table
        self._keys, self._schema = quote(tables.keys), quote(tables.schema)
        self._columns = ", ".join(self._names(COLUMNS))
        self._packing = Packing(
            {f"`{name}`": tables.keys.c[name] for name in ("type", "scope", "key", *COLUMNS)}
        )
        self._oldest = f"(SELECT oldest FROM {self._schema} ORDER BY version DESC LIMIT 1)"
        self._locked = locked = Locked()
        self._saving = MySQLSaving(tables, self._keys, self._oldest, locked)
        self.owners = MySQLOwners(tables, self._keys, quote(tables.owners), self._oldest, locked)

    def _names(self, columns: Sequence[str]) -> list[str]:
        return [f"`{name}`" for name in columns]

    # A connection ----------------------------------------------------------------

    def greet(self, own: Any) -> Talk[bool]:
        [[version, read_only, most_bytes]] = (
            yield Query("SELECT VERSION(), @@global.read_only, @@max_allowed_packet")
        ).rows
        is_mariadb = "mariadb" in version.lower()
        oldest = _OLDEST_MARIADB if is_mariadb else _OLDEST_MYSQL
        numbers = tuple(int(part) for part in version.split("-")[0].split(".")[:2])
        if numbers < oldest:
            raise BackendError(
                f"the server is {version}: {'MariaDB' if is_mariadb else 'MySQL'} "
                f"{oldest[0]}.{oldest[1]} is the oldest that can be used"
            )
        if read_only not in (0, "0", "OFF"):
            raise BackendError(
                "the server takes no writes (read_only): it is a replica; name the primary in the "
                "url"
            )
        self.owners.most_bytes = int(most_bytes)
        self._locked.waits = not is_mariadb
        yield Query(_ISOLATION)
        yield Query(_SETTINGS + (_OF_MARIADB if is_mariadb else _OF_MYSQL))
        answer = yield Query("SELECT SLEEP(0.001), SYSDATE(6) > NOW(6)")
        if not answer.rows[0][1]:
            raise BackendError(
                "the server runs with --sysdate-is-now, so that no time can be read within a "
                "statement: start it without"
            )
        return True

    def clock(self) -> Talk[int]:
        answer = yield Query(f"SELECT {us('SYSDATE(6)')}")
        return int(answer.rows[0][0])

    # Batches ---------------------------------------------------------------------

    def load(
        self, places: Sequence[Place], now: int | None, *, payloads: bool = True
    ) -> Talk[Mapping[Place, Row | str]]:
        # NOW is when the statement began, before its snapshot was taken.
        before = us("NOW(6)") if now is None else str(now)
        after = us("SYSDATE(6)") if now is None else str(now)
        beside = [before, after, self._oldest, "revision"]
        answer = yield Query(
            f"SELECT {self._packing.select(beside, payloads=payloads)} "
            f"FROM (SELECT 1) one LEFT JOIN {self._keys} ON {any_of(places)}"
        )
        found: dict[Place, Row | str] = {}
        clock = 0, 0
        for packed in answer.rows:
            (*times, oldest, revision), row = self._packing.read(packed)
            check_oldest(self.tables, oldest)
            clock = times[0] or 0, times[1] or 0
            type, scope, key, *values = row
            if key is None:
                break
            place = type, scope, key
            try:
                found[place] = read_row(key.decode(), values, revision, clock)
            except ValueError as error:
                found[place] = str(error)
        for place in places:
            if place not in found:
                found[place] = read_row("", (), None, clock)
        return found

    can_save = staticmethod(is_simple)

    def save(
        self, writes: Sequence[operations.Write], now: int | None
    ) -> Talk[tuple[dict[int, operations.Outcome], list[int]]]:
        clock = ms("SYSDATE(6)") if now is None else str(now // 1000)
        if len(writes) > 1:
            writes = [write for write in writes if self._saving.holds(write)]
        statements = self._saving.statements(writes, clock, self.tables.newest) if writes else []
        if not writes or self._is_too_large(statements):
            return {}, []
        answer = yield from self._in_transaction(statements)
        return self._saving.outcomes(answer.rows), []

    def claim(
        self, place: Place, acquire: operations.Acquire, now: int | None
    ) -> Talk[operations.Granted | Row | str | None]:
        """No UPDATE says what it left, here: it would be no quicker than to read it first."""
        yield from ()
        return None

    def release(
        self, releases: Mapping[Place, operations.Release], now: int | None
    ) -> Talk[Mapping[Place, int]]:
        """As with a claim."""
        yield from ()
        return {}

    def write(self, changes: Sequence[Change], now: int | None) -> Talk[set[int]]:
        in_time = f"{ms('SYSDATE(6)') if now is None else now // 1000} < "
        statements = [self._written(change, f"{in_time}{change.until}") for change in changes]
        if self._is_too_large(statements):
            raise ServerError("1153", "these sessions are larger than max_allowed_packet")
        done: set[int] = set()
        if len(changes) == 1:
            try:
                answer = yield Query(statements[0])
            except ServerError as error:
                if error.code != error_numbers.DUPLICATE:
                    raise
                return done
            return {changes[0].revision} if answer.counts[0] == 1 else done
        answer = yield from self._in_transaction(statements)
        for change, count in zip(changes, answer.counts, strict=True):
            if count == 1:
                done.add(change.revision)
        return done

    def _is_too_large(self, statements: Sequence[str]) -> bool:
        return sum(map(len, statements)) + 1024 > self.owners.most_bytes

    def _in_transaction(self, statements: Sequence[str]) -> Talk[Answer]:
        """What they come to, all in one packet; one that is left out has changed no row."""
        todo = ["START TRANSACTION", *statements, "COMMIT"]
        counts: list[int] = []
        rows: Sequence[Sequence[Any]] = ()
        while len(counts) < len(todo):
            try:
                rows, more = yield Query(";".join(todo[len(counts) :]))
                counts += more
            except ServerError as error:
                counts += error.counts
                if error.code not in error_numbers.LEFT_OUT or len(counts) == len(todo) - 1:
                    yield Query("ROLLBACK")
                    raise
                counts.append(0)  # this row is left out; the others are yet to be written
        return Answer(rows, counts[1:-1])

    def _written(self, change: Change, in_time: str) -> str:
        row, key, old = change.row, change.key, change.old
        if row.revision is None or old is None:
            if key is None:  # nothing was there, and nothing is to be
                return "DO 0"
            values = [*change.place, change.revision, *values_of(key, change.due, ALL)]
            return (
                f"INSERT INTO {self._keys} ({', '.join(KEY)}, revision, {self._columns}) "
                f"SELECT {', '.join(map(literal, values))} FROM DUAL WHERE {in_time}"
            )
        rows, here = self._locked.pass_by(self._keys, at(change.place))
        still = f"{here} AND revision = {row.revision} AND {in_time}"
        if key is None:
            return f"DELETE {self._keys} FROM {rows} WHERE {still}"
        groups = changed(old, key) | (DUE if change.due != row.due else 0)
        values = values_of(key, change.due, groups)
        sets = [
            f"{name} = {literal(value)}"
            for name, value in zip(self._names(columns_of(groups)), values, strict=True)
        ]
        return (
            f"UPDATE {rows} SET {', '.join([f'revision = {change.revision}', *sets])} WHERE {still}"
        )

    # The store as a whole --------------------------------------------------------

    def page(self, scan: operations.Scan, after: tuple[bytes, bytes]) -> Talk[Sequence[Any]]:
        """In two parts, since (scope, key) > (…) is not looked up in an index."""
        scope, key = map(literal, after)
        select = (
            f"SELECT {self._packing.select([us('NOW(6)')])} FROM {self._keys} "
            f"WHERE `type` = {literal(scan.type.encode())}"
        )
        rows = list(
            (
                yield Query(
                    f"{select} AND `scope` = {scope} AND `key` > {key} "
                    f"ORDER BY `key` LIMIT {scan.limit}"
                )
            ).rows
        )
        if len(rows) < scan.limit:
            answer = yield Query(
                f"{select} AND `scope` > {scope} ORDER BY `scope`, `key` "
                f"LIMIT {scan.limit - len(rows)}"
            )
            rows += answer.rows
        read = map(self._packing.read, rows)
        return [(now, *values[:3], values[3:]) for (now,), values in read]

    def due(self, limit: int, now: int | None) -> Talk[Sequence[Place]]:
        by = ms("NOW(6)") if now is None else str(now // 1000)
        answer = yield Query(
            f"SELECT {', '.join(KEY)} FROM {self._keys} WHERE due <= {by} "
            f"ORDER BY due LIMIT {limit}"
        )
        return [(type, scope, key) for type, scope, key in answer.rows]

    def leave(self, places: Sequence[Place]) -> Talk[None]:
        yield Query(f"UPDATE {self._keys} SET due = {operations.FOREVER} WHERE {any_of(places)}")

    def holders(self, places: Sequence[Place]) -> Talk[Collection[int]]:
        answer = yield Query(
            f"SELECT lease_ticket FROM {self._keys} "
            f"WHERE ({any_of(places)}) AND lease_ticket IS NOT NULL"
        )
        return [ticket for (ticket,) in answer.rows]

    # The tables ------------------------------------------------------------------

    def migrate(self, *, create: bool) -> Talk[None]:
        """Each statement is committed by itself, here: what another process, or one that died
        over it, has done of a step is done."""
        tables, newest = self.tables, self.tables.newest
        version = yield from self._version(complete=not create)
        if version < newest and not create:
            raise refuse_to_create(tables, version)
        for step in range(version, newest):
            for ddl in tables.steps()[step]:
                yield from self._insist(str(ddl.compile(dialect=self._dialect)))
            yield from self._note(step + 1)
        yield from self._check_columns()

    def _insist(self, statement: str) -> Talk[None]:
        """The server itself, or another who begins, may have a new table locked for a moment: then
        it is asked again."""
        pace = Pace(_TO_OPEN)
        while True:
            try:
                yield Query(statement)
            except ServerError as error:
                if error.code in error_numbers.DONE_BY_ANOTHER:
                    return
                if not error_numbers.is_passing(error) or pace.is_over():
                    raise
            else:
                return
            yield from pace.rest()

    def _version(self, *, complete: bool) -> Talk[int]:
        """The version of the tables; 0 if there are none, or unless ``complete``, not yet."""
        present: list[bool] = []
        for table in (self.tables.keys.name, self.tables.schema.name):
            answer = yield Query(
                "SELECT COUNT(*) FROM information_schema.tables "
                f"WHERE table_schema = DATABASE() AND table_name = {text(table)}"
            )
            present.append(bool(answer.rows[0][0]))
        if not any(present):
            return 0
        found = None
        if all(present):
            answer = yield Query(
                f"SELECT version, oldest FROM {self._schema} ORDER BY version DESC LIMIT 1"
            )
            found = answer.rows[0] if answer.rows else None
            if found is None and complete:  # made by other means than ours
                yield from self._check_columns()
                yield from self._note(self.tables.newest)
                return self.tables.newest
        return 0 if found is None and not complete else usable(self.tables, found)

    def _note(self, version: int) -> Talk[None]:
        yield from self._insist(
            f"INSERT INTO {self._schema} (version, oldest) "
            f"VALUES ({version}, {self.tables.oldest}) ON DUPLICATE KEY UPDATE oldest = oldest"
        )

    def _check_columns(self) -> Talk[None]:
        for table in (self.tables.keys, self.tables.owners):
            answer = yield Query(
                "SELECT CAST(column_name AS CHAR) FROM information_schema.columns "
                f"WHERE table_schema = DATABASE() AND table_name = {text(table.name)}"
            )
            check_columns(table, {name for (name,) in answer.rows})

    # Errors ----------------------------------------------------------------------

    is_passing = staticmethod(error_numbers.is_passing)
    is_own = staticmethod(error_numbers.is_own)
    is_stale = staticmethod(error_numbers.is_stale)
    reason = staticmethod(error_numbers.reason)
    refusal = staticmethod(error_numbers.refusal)
