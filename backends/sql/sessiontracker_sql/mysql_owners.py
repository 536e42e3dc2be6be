"""MariaDB and MySQL: owners, each with its keys, are read by one query; each is written in a
transaction of its own, in one packet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sessiontracker.backend import operations

from . import error_numbers
from .literals import KEY, at, literal, ms, us
from .mysql_locked import Locked
from .owned import OWNER_COLUMNS, Others
from .owners import OwnerChange, OwnerPlace, OwnerRows, Wanted, by_others, collect
from .packing import Packing
from .rows import COLUMNS
from .schema import Tables
from .talk import Query, ServerError, Talk
from .versions import check_oldest

__all__ = ["MySQLOwners"]

_PLACE = KEY[:2]
_OWN = ("o.revision", "o.reserved_until")


def _those(wanted: Mapping[OwnerPlace, Wanted]) -> Iterator[str]:
    """Which rows hold sessions, or are named: each said in full, so that it is found by an index,
    whatever else there is of the owner."""
    for place, its in wanted.items():
        here = " AND ".join(
            f"k.{name} = {literal(part)}" for name, part in zip(_PLACE, place, strict=True)
        )
        yield f"{here} AND k.due = {operations.FOREVER}"
        if its.keys:
            yield f"{here} AND k.`key` IN ({', '.join(map(literal, its.keys))})"


class MySQLOwners:
    """The statements, for ``tables`` called ``keys`` and ``owners``; ``oldest`` is what says who
    may use them."""

    writes_together = False
    most_bytes = 16 * 1024 * 1024
    """What the server takes in one packet."""

    def __init__(self, tables: Tables, keys: str, owners: str, oldest: str, locked: Locked) -> None:
        self._tables, self._locked = tables, locked
        self._keys, self._owners, self._oldest = keys, owners, oldest
        own, each = tables.owners.c, tables.keys.c
        self._packing = Packing(
            {f"g.`{name}`": own[name] for name in ("type", "scope")}
            | {f"o.`{name}`": own[name] for name in OWNER_COLUMNS}
            | {f"k.`{name}`": each[name] for name in ("key", *COLUMNS)}
        )

    def load(
        self, wanted: Mapping[OwnerPlace, Wanted], now: int | None
    ) -> Talk[Mapping[OwnerPlace, OwnerRows | str]]:
        found: dict[OwnerPlace, OwnerRows | str] = {}
        for others, part in by_others(wanted).items():
            answer = yield Query(self._loading(part, others, now))
            for packed in answer.rows:
                (*times, oldest, revision, reserved), row = self._packing.read(packed)
                check_oldest(self._tables, oldest)
                clock = times[0] or 0, times[1] or 0
                collect(found, (row[0], row[1]), revision, reserved, clock, row[2:])
        return found

    def _loading(self, wanted: Mapping[OwnerPlace, Wanted], others: Others, now: int | None) -> str:
        places: list[Sequence[bytes]] = list(wanted)
        names: Sequence[str] = _PLACE
        more = ""
        if others == "none":
            places = [(*place, key) for place, its in wanted.items() for key in its.keys]
            names = KEY
        elif others == "with sessions":
            more = f" AND ({' OR '.join(_those(wanted))})"
        # NOW is when the statement began, before its snapshot was taken.
        before, after = (us("NOW(6)"), us("SYSDATE(6)")) if now is None else (str(now), str(now))
        given = " UNION ALL ".join(
            "SELECT "
            + ", ".join(
                f"{literal(part)} AS {name}" for part, name in zip(place, names, strict=True)
            )
            for place in places
        )
        here = " AND ".join(f"k.{name} = g.{name}" for name in names) + more
        return (
            f"SELECT {self._packing.select([before, after, self._oldest, *_OWN])} "
            f"FROM ({given}) g "
            f"LEFT JOIN {self._owners} o ON o.`type` = g.`type` AND o.`scope` = g.`scope` "
            f"LEFT JOIN {self._keys} k ON {here}"
        )

    def write(self, changes: Sequence[OwnerChange], now: int | None) -> Talk[set[int]]:
        [change] = changes
        in_time = f"{ms('SYSDATE(6)') if now is None else now // 1000} < {change.until}"
        packet = ";".join(self._statements(change, in_time))
        if len(packet) + 1024 > self.most_bytes:
            raise ServerError("1153", "these sessions are larger than max_allowed_packet")
        try:
            answer = yield Query(packet)
        except ServerError as error:
            yield Query("ROLLBACK")
            if error.code in error_numbers.LEFT_OUT:
                return set()
            raise
        return {change.revision} if answer.counts[1] == 1 else set()

    def _statements(self, change: OwnerChange, in_time: str) -> Iterator[str]:
        yield "START TRANSACTION"
        here = at(change.place)
        values = change.values or [*(None,) * (len(OWNER_COLUMNS) - 1), 0]
        if change.before is None:
            names = ", ".join([*_PLACE, "revision", *(f"`{name}`" for name in OWNER_COLUMNS)])
            given = ", ".join(map(literal, [*change.place, change.revision, *values]))
            yield f"INSERT INTO {self._owners} ({names}) SELECT {given} FROM DUAL WHERE {in_time}"
        else:
            sets = ", ".join(
                f"`{name}` = {literal(value)}"
                for name, value in zip(OWNER_COLUMNS, values, strict=True)
            )
            rows, there = self._locked.pass_by(self._owners, here, _PLACE)
            yield (
                f"UPDATE {rows} SET revision = {change.revision}, reserved_until = NULL, {sets} "
                f"WHERE {there} AND revision = {change.before} AND {in_time}"
            )
        # The rest is only if that was.
        done = (
            f"EXISTS (SELECT 1 FROM {self._owners} o WHERE {here} AND revision = {change.revision})"
        )
        names = ", ".join([*KEY, "revision", *(f"`{name}`" for name in COLUMNS)])
        sets = ", ".join(f"`{name}` = VALUES(`{name}`)" for name in ("revision", *COLUMNS))
        for key, row in change.puts:
            given = ", ".join(map(literal, [*change.place, key, change.revision, *row]))
            yield (
                f"INSERT INTO {self._keys} ({names}) SELECT {given} FROM DUAL WHERE {done} "
                f"ON DUPLICATE KEY UPDATE {sets}"
            )
        for key in change.gone:
            yield f"DELETE FROM {self._keys} WHERE {at((*change.place, key))} AND {done}"
        if change.values is None:
            yield f"DELETE FROM {self._owners} WHERE {here} AND revision = {change.revision}"
        yield "COMMIT"

    def reserve(self, place: OwnerPlace, revision: int, time: int, now: int | None) -> Talk[bool]:
        clock = ms("SYSDATE(6)") if now is None else str(now // 1000)
        rows, there = self._locked.pass_by(self._owners, at(place), _PLACE)
        try:
            answer = yield Query(
                f"UPDATE {rows} SET revision = {revision}, reserved_until = {clock} + {time} "
                f"WHERE {there} AND IFNULL(reserved_until, 0) - {clock} NOT BETWEEN 1 AND {time}"
            )
        except ServerError as error:
            if error.code in error_numbers.LEFT_OUT:
                return False
            raise
        return answer.counts[0] == 1

    def due(self, limit: int, now_ms: int) -> Talk[Sequence[OwnerPlace]]:
        answer = yield Query(
            f"SELECT {', '.join(_PLACE)} FROM {self._owners} WHERE due <= {now_ms} "
            f"ORDER BY due LIMIT {limit}"
        )
        return [(type, scope) for type, scope in answer.rows]

    def leave(self, place: OwnerPlace, due: int) -> Talk[None]:
        yield Query(f"UPDATE {self._owners} SET due = {due} WHERE {at(place)}")
