"""PostgreSQL: owners, each with its keys, are read by one statement and written by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sessiontracker.backend import operations

from .given import LIMITS_WAITING, arguments, quoted, rows_given, type_of
from .owned import OTHERS, OWNER_COLUMNS, Others
from .owners import OwnerChange, OwnerPlace, OwnerRows, Wanted, by_others, collect
from .rows import COLUMNS
from .schema import OWNED, Tables
from .talk import Query, Talk
from .versions import check_oldest

__all__ = ["PostgreSQLOwners"]

_PLACE, _KEY = ("type", "scope"), ("type", "scope", "key")


class PostgreSQLOwners:
    """The statements, for ``tables`` called ``keys`` and ``owners``. ``clock`` is the common table
    expression of that name, ``ms`` the clock in ms."""

    writes_together = True

    def __init__(
        self, tables: Tables, keys: str, owners: str, clock: str, ms: str, channel: str
    ) -> None:
        self._tables = tables
        self._keys, self._owners = keys, owners
        self._clock = clock
        self._ms = ms
        self._channel = channel
        self._loads = {
            (others, alone): self._loading(others, alone=alone)
            for others in OTHERS
            for alone in (False, True)
        }
        self._write = self._writing()
        self._reserve = (
            f"UPDATE {owners} o SET revision = $1::bigint, "
            f"reserved_until = coalesce($2::bigint / 1000, {ms}) + $3::bigint "
            f"FROM (SELECT ctid FROM {owners} WHERE type = $4::bytea AND scope = $5::bytea "
            f"AND coalesce(reserved_until, 0) - coalesce($2::bigint / 1000, {ms}) "
            "NOT BETWEEN 1 AND $3::bigint FOR UPDATE SKIP LOCKED) free "
            "WHERE o.ctid = free.ctid RETURNING 1"
        )
        self._due = (
            f"SELECT type, scope FROM {owners} WHERE due <= $1::bigint "
            "ORDER BY due LIMIT $2::bigint"
        )

    def load(
        self, wanted: Mapping[OwnerPlace, Wanted], now: int | None
    ) -> Talk[Mapping[OwnerPlace, OwnerRows | str]]:
        found: dict[OwnerPlace, OwnerRows | str] = {}
        for others, part in by_others(wanted).items():
            places: list[Sequence[bytes]] = list(part)
            keys = [key for its in part.values() for key in its.keys]
            more = [keys] if others == "with sessions" else []
            if others == "none":
                places = [(*place, key) for place, its in part.items() for key in its.keys]
            text = self._loads[others, len(places) == 1]
            answer = yield Query(text, (now, *arguments(places), *more))
            for n, oldest, before, after, revision, reserved, *values in answer.rows:
                check_oldest(self._tables, oldest)
                type, scope = places[n - 1][:2]
                collect(found, (type, scope), revision, reserved, (before, after), values)
        return found

    def _loading(self, others: Others, *, alone: bool) -> str:
        names = _KEY if others == "none" else _PLACE
        given = rows_given(dict.fromkeys(names, "bytea"), 2, alone=alone, numbered=True)
        owner_columns = ", ".join(f"o.{name}" for name in OWNER_COLUMNS)
        key_columns = ", ".join(f"k.{name}" for name in COLUMNS)
        here = " AND ".join(f"k.{name} = g.{name}" for name in names)
        keys = f"{self._keys} k ON {here}"
        if others == "with sessions":  # each part by an index of its own
            part = f"SELECT k.key, {key_columns} FROM {self._keys} k WHERE {here}"
            keys = (
                f"LATERAL ({part} AND {OWNED} "
                f"UNION ALL {part} AND k.due <> {operations.FOREVER} "
                f"AND k.key = ANY(${2 + len(names)}::bytea[])) k ON true"
            )
        return (
            f"WITH clock AS MATERIALIZED ({self._clock}) "
            "SELECT g.n, c.oldest, c.before, c.after, o.revision, o.reserved_until, "
            f"{owner_columns}, k.key, {key_columns} FROM clock c CROSS JOIN ({given}) g "
            f"LEFT JOIN {self._owners} o ON o.type = g.type AND o.scope = g.scope "
            f"LEFT JOIN {keys}"
        )

    def write(self, changes: Sequence[OwnerChange], now: int | None) -> Talk[set[int]]:
        size = len(OWNER_COLUMNS)
        owners: list[Sequence[Any]] = []
        puts: list[Sequence[Any]] = []
        gone: list[Sequence[Any]] = []
        wakes: list[tuple[int, int]] = []
        for change in changes:
            values = change.values
            begin = (*change.place, change.before, change.revision, change.until, values is None)
            owners.append([*begin, *((None,) * size if values is None else values)])
            puts += [[change.revision, *change.place, key, *row] for key, row in change.puts]
            gone += [[change.revision, *change.place, key] for key in change.gone]
            wakes += [(change.revision, ticket) for ticket in change.wakes]
        given: list[Any] = [now]
        for rows, width in (
            (owners, 6 + size), (puts, 4 + len(COLUMNS)), (gone, 4), (wakes, 2),
        ):  # fmt: skip
            given += zip(*rows, strict=True) if rows else [()] * width
        answer = yield Query(self._write, given)
        return {row[0] for row in answer.rows}

    def _writing(self) -> str:
        """Owners that are as they were read are locked, unless somebody else has them locked, and
        written; then their keys, which nobody else writes meanwhile."""
        last = 1

        def given(columns: Mapping[str, str]) -> str:
            nonlocal last
            first, last = last + 1, last + len(columns)
            return rows_given(columns, first, alone=False)

        place = {"type": "bytea", "scope": "bytea"}
        owners = {
            **place, "before": "bigint", "revision": "bigint", "until": "bigint", "gone": "boolean",
            **{name: type_of(self._tables.owners, name) for name in OWNER_COLUMNS},
        }  # fmt: skip
        key = {"revision": "bigint", **place, "key": "bytea"}
        puts = {**key, **{name: type_of(self._tables.keys, name) for name in COLUMNS}}
        in_time = f"coalesce($1::bigint / 1000, {self._ms}) < g.until"
        sets = ", ".join(f"{name} = g.{name}" for name in ("revision", *OWNER_COLUMNS))
        all_owner = ("type", "scope", "revision", *OWNER_COLUMNS)
        all_key = ("type", "scope", "key", "revision", *COLUMNS)
        put_sets = ", ".join(f"{name} = EXCLUDED.{name}" for name in ("revision", *COLUMNS))
        parts = {
            "given": given(owners),
            "puts": given(puts),
            "gone": given(key),
            "wakes": given({"revision": "bigint", "ticket": "bigint"}),
            "locked": (
                f"SELECT o.ctid AS place, g.* FROM given g JOIN {self._owners} o "
                "ON o.type = g.type AND o.scope = g.scope "
                f"WHERE o.revision = g.before AND {LIMITS_WAITING} FOR UPDATE OF o SKIP LOCKED"
            ),
            "updated": (
                f"UPDATE {self._owners} o SET {sets}, reserved_until = NULL FROM locked g "
                f"WHERE o.ctid = g.place AND NOT g.gone AND {in_time} RETURNING g.revision"
            ),
            "deleted": (
                f"DELETE FROM {self._owners} o USING locked g "
                f"WHERE o.ctid = g.place AND g.gone AND {in_time} RETURNING g.revision"
            ),
            "inserted": (
                f"INSERT INTO {self._owners} ({', '.join(all_owner)}) "
                f"SELECT {', '.join(f'g.{name}' for name in all_owner)} FROM given g "
                f"WHERE g.before IS NULL AND NOT g.gone AND {LIMITS_WAITING} AND {in_time} "
                "ORDER BY g.type, g.scope ON CONFLICT DO NOTHING RETURNING revision"
            ),
            "done": (
                "SELECT revision FROM updated UNION ALL SELECT revision FROM deleted "
                "UNION ALL SELECT revision FROM inserted"
            ),
            "put": (
                f"INSERT INTO {self._keys} AS k ({', '.join(all_key)}) "
                f"SELECT {', '.join(f'g.{name}' for name in all_key)} "
                "FROM puts g JOIN done d ON d.revision = g.revision "
                f"ON CONFLICT (type, scope, key) DO UPDATE SET {put_sets} RETURNING 1"
            ),
            "removed": (
                f"DELETE FROM {self._keys} k USING gone g, done d WHERE d.revision = g.revision "
                "AND k.type = g.type AND k.scope = g.scope AND k.key = g.key RETURNING 1"
            ),
            "woken": (
                f"SELECT pg_notify({quoted(self._channel)}, w.ticket::text)::text "
                "FROM wakes w JOIN done d ON d.revision = w.revision"
            ),
        }
        texts = ", ".join(f"{name} AS MATERIALIZED ({text})" for name, text in parts.items())
        return f"WITH {texts} SELECT revision, (SELECT count(*) FROM woken) FROM done"

    def reserve(self, place: OwnerPlace, revision: int, time: int, now: int | None) -> Talk[bool]:
        answer = yield Query(self._reserve, (revision, now, time, *place))
        return bool(answer.rows)

    def due(self, limit: int, now_ms: int) -> Talk[Sequence[OwnerPlace]]:
        answer = yield Query(self._due, (now_ms, limit))
        return [(type, scope) for type, scope in answer.rows]

    def leave(self, place: OwnerPlace, due: int) -> Talk[None]:
        yield Query(
            f"UPDATE {self._owners} SET due = $1::bigint "
            "WHERE type = $2::bytea AND scope = $3::bytea",
            (due, *place),
        )
