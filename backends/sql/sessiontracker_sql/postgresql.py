"""PostgreSQL: a batch is one statement over arrays, to read and to write."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql

from sessiontracker.backend import Asked, BackendError, operations, state

from . import sqlstates
from .given import LIMITS_WAITING, arguments, quoted, rows_given, type_of
from .optimistic import Change, Place, Row, read_row
from .postgresql_locks import PostgreSQLLocks, notified
from .postgresql_owners import PostgreSQLOwners
from .rows import (
    ACTIVE,
    ALL,
    BODY,
    COLUMNS,
    DEED,
    DUE,
    FINISHED,
    LEASE,
    LOCK,
    QUEUE,
    SLIDE,
    changed,
    columns_of,
    values_of,
)
from .saving import PostgreSQLSaving, is_held, is_simple
from .schema import Tables
from .talk import Query, ServerError, Talk
from .versions import check_columns, check_oldest, refuse_to_create, usable

__all__ = ["PostgreSQL"]

_OLDEST = 130_000
_LONGEST_NAME = 63  # bytes

# What a plan that was made while a table was small must not turn to, as long as it is kept;
# and what the administrator's defaults may have set to something else.
_SETTINGS = {
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "idle_in_transaction_session_timeout": "0",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "statement_timeout": "0",
    "transaction_timeout": "0",
}
_SINCE = {"transaction_timeout": 170_000}


_PLACES = "unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS g(type, scope, key)"
_KEY = {"type": "bytea", "scope": "bytea", "key": "bytea"}
_HERE = "k.type = g.type AND k.scope = g.scope AND k.key = g.key"


def _us(moment: str) -> str:
    return f"(extract(epoch FROM {moment}) * 1000000)::bigint"


def _ms(moment: str) -> str:
    return f"(extract(epoch FROM {moment}) * 1000)::bigint"


class PostgreSQL:
    """The statements, for tables of this name. Times are in µs, or ms where it says so."""

    name = "PostgreSQL"

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        # With "named", a percent sign is one, and not doubled.
        self._dialect: Dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
        quote = self._dialect.identifier_preparer.format_table
        self._keys, self._schema = quote(tables.keys), quote(tables.schema)
        self.identity = (
            "concat_ws('/', current_database(), "
            "extract(epoch FROM pg_postmaster_start_time())::text, "
            f"to_regclass({quoted(self._keys)})::oid::text)"
        )
        name = f"{tables.keys.fullname}_wake".encode()
        self.channel = name[-_LONGEST_NAME:].decode(errors="ignore")
        oldest = f"(SELECT oldest FROM {self._schema} ORDER BY version DESC LIMIT 1)"
        us, ms = _us("clock_timestamp()"), _ms("clock_timestamp()")
        self._locks = PostgreSQLLocks(self._keys, us, ms, oldest, self.channel)
        self._saving = PostgreSQLSaving(self._keys, ms, oldest, self.channel)
        # `now()` is when the transaction began, before its snapshot was taken.
        self._clock = (
            f"SELECT coalesce($1::bigint, {_us('now()')}) AS before, "
            f"coalesce($1::bigint, {us}) AS after, "
            f"{oldest} AS oldest"
        )
        self.owners = PostgreSQLOwners(
            tables,
            self._keys,
            quote(tables.owners),
            self._clock,
            ms,
            self.channel,
        )
        bare = [
            f"CASE WHEN k.{name} IS NULL THEN NULL ELSE ''::bytea END"
            if _is_payload(name)
            else name
            for name in COLUMNS
        ]
        self._load = {alone: self._loading(COLUMNS, alone=alone) for alone in (False, True)}
        self._load_bare = {alone: self._loading(bare, alone=alone) for alone in (False, True)}
        self._writes: dict[_Shape, str] = {}
        self._page = (
            f"SELECT {_us('now()')}, type, scope, key, {', '.join(COLUMNS)} FROM {self._keys} "
            "WHERE type = $1::bytea AND (scope, key) > ($2::bytea, $3::bytea) "
            "ORDER BY scope, key LIMIT $4::bigint"
        )
        self._holders = (
            f"SELECT k.lease_ticket FROM {_PLACES} JOIN {self._keys} k ON {_HERE} "
            "WHERE k.lease_ticket IS NOT NULL"
        )
        self._due = (
            f"SELECT type, scope, key FROM {self._keys} "
            f"WHERE due <= coalesce($1::bigint, {_us('now()')}) / 1000 "
            "ORDER BY due LIMIT $2::bigint"
        )

    # A connection ----------------------------------------------------------------

    def greet(self, own: Any) -> Talk[bool]:
        [[process, version, replica, read_only]] = (
            yield Query(
                "SELECT pg_backend_pid(), current_setting('server_version_num')::bigint, "
                "pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"
            )
        ).rows
        if version < _OLDEST:
            raise BackendError(
                f"the server is PostgreSQL {version // 10_000}: 13 is the oldest that can be used"
            )
        if replica or read_only:
            raise BackendError(
                "the server is a replica, or else takes no writes: name the primary in the url"
                if replica
                else "the server takes no writes by default (default_transaction_read_only): name "
                "one that does in the url, or have it set for this user"
            )
        # A pooler such as PgBouncer makes up what it calls the server's process, and the next
        # transaction may be another server's: nothing may be left there.
        direct = bool(process == own)
        if direct:
            settings = ", ".join(
                f"set_config('{name}', '{value}', false)"
                for name, value in _SETTINGS.items()
                if version >= _SINCE.get(name, _OLDEST)
            )
            yield Query(f"SELECT {settings}")
        return direct

    def clock(self) -> Talk[int]:
        answer = yield Query(f"SELECT {_us('clock_timestamp()')}")
        return int(answer.rows[0][0])

    # Batches ---------------------------------------------------------------------

    def load(
        self, places: Sequence[Place], now: int | None, *, payloads: bool = True
    ) -> Talk[Mapping[Place, Row | str]]:
        texts = self._load if payloads else self._load_bare
        answer = yield Query(texts[len(places) == 1], (now, *arguments(places)))
        found: dict[Place, Row | str] = {}
        for n, oldest, before, after, revision, *values in answer.rows:
            check_oldest(self.tables, oldest)
            place = places[n - 1]
            try:
                found[place] = read_row(place[2].decode(), values, revision, (before, after))
            except ValueError as error:
                found[place] = str(error)
        return found

    def _loading(self, columns: Sequence[str], *, alone: bool) -> str:
        given = rows_given(_KEY, 2, alone=alone, numbered=True)
        return (
            f"WITH clock AS MATERIALIZED ({self._clock}) "
            f"SELECT g.n, c.oldest, c.before, c.after, k.revision, {', '.join(columns)} "
            f"FROM clock c CROSS JOIN ({given}) g LEFT JOIN {self._keys} k ON {_HERE}"
        )

    def can_save(self, operation: Asked) -> bool:
        return is_simple(operation) or is_held(operation)

    def save(
        self, writes: Sequence[operations.Write], now: int | None
    ) -> Talk[tuple[dict[int, operations.Outcome], list[int]]]:
        return self._saving.save(writes, now, self.tables.newest)

    def claim(
        self, place: Place, acquire: operations.Acquire, now: int | None
    ) -> Talk[operations.Granted | Row | str | None]:
        return self._locks.claim(place, acquire, now, self.tables.newest)

    def release(
        self, releases: Mapping[Place, operations.Release], now: int | None
    ) -> Talk[Mapping[Place, int]]:
        return self._locks.release(releases, now, self.tables.newest)

    def write(self, changes: Sequence[Change], now: int | None) -> Talk[set[int]]:
        shape = _shape_of(changes)
        text = self._writes.get(shape)
        if text is None:
            text = self._writes[shape] = self._writing(shape)
        size = len(columns_of(shape.groups))
        given = arguments([_given(each, shape, size) for each in changes])
        answer = yield Query(text, (now, *given))
        return {row[0] for row in answer.rows}

    def _writing(self, shape: _Shape) -> str:
        """Rows that are as they were read are locked, unless somebody else has them locked, and
        then written; what would have to wait is left out."""
        columns = columns_of(shape.groups)
        given = _KEY | dict.fromkeys(("before", "revision", "until"), "bigint")
        if shape.wakes:
            given["wake"] = "bigint"
        if not shape.is_plain:
            given["gone"] = "boolean"
        if shape.keeps:
            given |= dict.fromkeys(("new_active", "new_finished"), "boolean")
        given |= {name: type_of(self.tables.keys, name) for name in columns}
        in_time = f"coalesce($1::bigint / 1000, {_ms('clock_timestamp()')}) < g.until"
        sets = ", ".join(
            f"{name} = {_new(name) if shape.keeps else f'g.{name}'}"
            for name in ("revision", *columns)
        )
        gone = "TRUE" if shape.is_plain else "NOT g.gone"
        all_names = ("type", "scope", "key", "revision", *columns)
        parts = {
            "given": rows_given(given, 2, alone=shape.alone),
            "locked": (
                f"SELECT k.ctid AS place, g.* FROM given g JOIN {self._keys} k ON {_HERE} "
                "WHERE k.revision = g.before FOR UPDATE OF k SKIP LOCKED"
            ),
            "updated": (
                f"UPDATE {self._keys} k SET {sets} FROM locked g "
                f"WHERE k.ctid = g.place AND {gone} AND {in_time} RETURNING g.revision"
            ),
        }
        if not shape.is_plain:
            parts["deleted"] = (
                f"DELETE FROM {self._keys} k USING locked g "
                f"WHERE k.ctid = g.place AND g.gone AND {in_time} RETURNING g.revision"
            )
            parts["inserted"] = (
                f"INSERT INTO {self._keys} ({', '.join(all_names)}) "
                f"SELECT {', '.join(f'g.{name}' for name in all_names)} FROM given g "
                f"WHERE g.before IS NULL AND {LIMITS_WAITING} AND {in_time} "
                "ORDER BY g.type, g.scope, g.key ON CONFLICT DO NOTHING RETURNING revision"
            )
        texts = [f"{name} AS MATERIALIZED ({text})" for name, text in parts.items()]
        done = " UNION ALL ".join(f"SELECT revision FROM {name}" for name in list(parts)[2:])
        if shape.wakes:
            done = (
                f"SELECT g.revision, {notified(self.channel, 'nullif(g.wake, 0)')} "
                f"FROM ({done}) d JOIN given g ON g.revision = d.revision"
            )
        return f"WITH {', '.join(texts)} {done}"

    # The store as a whole --------------------------------------------------------

    def page(self, scan: operations.Scan, after: tuple[bytes, bytes]) -> Talk[Sequence[Any]]:
        answer = yield Query(self._page, (scan.type.encode(), *after, scan.limit))
        return [(*row[:4], row[4:]) for row in answer.rows]

    def due(self, limit: int, now: int | None) -> Talk[Sequence[Place]]:
        answer = yield Query(self._due, (now, limit))
        return [(type, scope, key) for type, scope, key in answer.rows]

    def leave(self, places: Sequence[Place]) -> Talk[None]:
        yield Query(
            f"UPDATE {self._keys} k SET due = {operations.FOREVER} FROM {_PLACES} WHERE {_HERE}",
            list(zip(*places, strict=True)),
        )

    def holders(self, places: Sequence[Place]) -> Talk[Collection[int]]:
        answer = yield Query(self._holders, list(zip(*places, strict=True)))
        return [ticket for (ticket,) in answer.rows]

    # The tables ------------------------------------------------------------------

    def migrate(self, *, create: bool) -> Talk[None]:
        """One transaction a step: of two who begin at once, one finds that it was done."""
        tables, newest = self.tables, self.tables.newest
        for _ in range(newest + 10):
            version = yield from self._version()
            if version >= newest:
                break
            if not create:
                raise refuse_to_create(tables, version)
            try:
                yield Query("BEGIN")
                for ddl in tables.steps()[version]:
                    yield Query(str(ddl.compile(dialect=self._dialect)))
                yield Query(
                    f"INSERT INTO {self._schema} (version, oldest) VALUES ($1::bigint, $2::bigint)",
                    (version + 1, tables.oldest),
                )
                yield Query("COMMIT")
            except ServerError as error:
                yield Query("ROLLBACK")
                if error.code not in sqlstates.DONE_BY_ANOTHER:
                    raise
        yield from self._check_columns()

    def _version(self) -> Talk[int]:
        """The version of the tables; 0 if there are none."""
        present: Sequence[bool] = ()
        for _ in range(2):  # the first time, another may be about to commit that it made them
            answer = yield Query(
                "SELECT to_regclass($1::text) IS NOT NULL, to_regclass($2::text) IS NOT NULL",
                (self._keys, self._schema),
            )
            present = answer.rows[0]
            if all(present) or not any(present):
                break
        if not any(present):
            return 0
        found = None
        if all(present):
            answer = yield Query(
                f"SELECT version, oldest FROM {self._schema} ORDER BY version DESC LIMIT 1"
            )
            if not answer.rows:  # made by other means than ours
                yield from self._check_columns()
                yield from self._note(self.tables.newest)
                return self.tables.newest
            found = answer.rows[0]
        return usable(self.tables, found)

    def _note(self, version: int) -> Talk[None]:
        yield Query(
            f"INSERT INTO {self._schema} (version, oldest) VALUES ($1::bigint, $2::bigint) "
            "ON CONFLICT DO NOTHING",
            (version, self.tables.oldest),
        )

    def _check_columns(self) -> Talk[None]:
        quote = self._dialect.identifier_preparer.format_table
        for table in (self.tables.keys, self.tables.owners):
            answer = yield Query(
                "SELECT attname::text FROM pg_attribute "
                "WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped",
                (quote(table),),
            )
            check_columns(table, {name for (name,) in answer.rows})

    # Errors ----------------------------------------------------------------------

    is_passing = staticmethod(sqlstates.is_passing)
    is_own = staticmethod(sqlstates.is_own)
    is_stale = staticmethod(sqlstates.is_stale)
    reason = staticmethod(sqlstates.reason)
    refusal = staticmethod(sqlstates.refusal)


class _Shape(NamedTuple):
    """What a statement that writes has room for. There are but a few, so that all stay prepared."""

    groups: int
    is_plain: bool  # rows are updated: none is new, and none goes
    keeps: bool  # a payload that stays is not sent
    wakes: bool
    alone: bool


_WRITTEN, _STARTED, _LOCKED = BODY | SLIDE | DEED, ACTIVE | DEED, LEASE | QUEUE | LOCK
_ROOMS = (SLIDE, _WRITTEN, _STARTED, _LOCKED, _WRITTEN | _LOCKED, _STARTED | _LOCKED, ALL)


def _shape_of(changes: Sequence[Change]) -> _Shape:
    groups = due = 0
    common = ALL
    is_plain = True
    wakes = False
    for change in changes:
        old, new = change.old, change.key
        if old is None or new is None:
            is_plain = False
        if new is not None:
            own = ALL if old is None else changed(old, new)
            groups |= changed(state.NOTHING, new) if old is None else own
            common &= own
        if old is None or change.due != change.row.due:
            due = DUE
        if change.wake:
            wakes = True
    room = next(room for room in _ROOMS if groups & ~room == 0) | due
    payloads = room & (BODY | FINISHED)
    return _Shape(room, is_plain, payloads & ~common != 0, wakes, len(changes) == 1)


def _given(change: Change, shape: _Shape, size: int) -> list[Any]:
    """What the statement is given for ``change``, in its order."""
    row, old, key = change.row, change.old, change.key
    given = [*change.place, row.revision, change.revision, change.until]
    if shape.wakes:
        given.append(change.wake)
    if not shape.is_plain:
        given.append(key is None)
    if key is None:
        return [*given, *(False,) * 2 * shape.keeps, *(None,) * size]
    values = values_of(key, change.due, shape.groups)
    if shape.keeps:
        groups = ALL if old is None else changed(old, key)
        given += groups & BODY != 0, groups & FINISHED != 0
        if shape.groups & BODY and not groups & BODY:
            values[0] = None
        if shape.groups & FINISHED and not groups & FINISHED:
            values[_FINISHED_PAYLOAD] = None
    return given + values


_FINISHED_PAYLOAD = COLUMNS.index("finished_payload")


def _is_payload(name: str) -> bool:
    return name.endswith("_payload")


def _new(name: str) -> str:
    """A column as it will be, where a payload may stay."""
    if not _is_payload(name):
        return f"g.{name}"
    place = name.removesuffix("_payload")
    return f"CASE WHEN g.new_{place} THEN g.{name} ELSE k.{name} END"
