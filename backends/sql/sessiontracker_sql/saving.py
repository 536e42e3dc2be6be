"""A session saved in one round trip, without being read before.

By far the most frequent change is that of a session by somebody who says exactly what it was
when it was read, and that nobody has locked, or, on PostgreSQL, that this one has. Where the
row bears that out, the server decides and writes, as `machine.apply` would; wherever it does
not, the row is read and the machine says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from sessiontracker.backend import Asked, new_id, operations

from .given import arguments, rows_given
from .literals import KEY, any_of, literal
from .mysql_locked import Locked
from .optimistic import place_of
from .packing import Packing
from .postgresql_locks import CAN_BE_HANDED_OVER, HANDED_OVER, notified, timed
from .schema import Tables
from .talk import Query, Talk

__all__ = ["MySQLSaving", "PostgreSQLSaving", "is_held", "is_simple"]

_META = (
    "life", "version", "write", "owner", "started", "updated", "slid", "idle", "ends", "expires",
)  # fmt: skip

_GIVEN = {
    "type": "bytea", "scope": "bytea", "key": "bytea", "life": "bigint", "version": "bigint",
    "write": "bigint", "id": "bigint", "revision": "bigint", "payload": "bytea",
}  # fmt: skip
_HELD = {**_GIVEN, "ticket": "bigint", "token": "bigint", "lets_go": "boolean"}
_SIZE = len(_META)
_NOW = "@sessiontracker_now"
_MOST_BYTES = 32_768


def is_simple(operation: Asked) -> TypeGuard[operations.Write]:
    """Whether ``operation`` saves a session that is nobody's, without a lock, the first time."""
    return (
        type(operation) is operations.Write
        and operation.lock is None
        and not operation.release
        and _is_the_first(operation)
    )


def is_held(operation: Asked) -> TypeGuard[operations.Write]:
    """Whether ``operation`` is as simple, but that its lock is held, and perhaps let go."""
    return (
        type(operation) is operations.Write
        and operation.lock is not None
        and not operation.lock.elsewhere
        and _is_the_first(operation)
    )


def _is_the_first(write: operations.Write) -> bool:
    return not write.since and not write.address.scope and write.id != write.stamp.write


class PostgreSQLSaving:
    """One statement. ``ms`` is the clock, in ms; ``oldest`` what says who may use the tables."""

    def __init__(self, keys: str, ms: str, oldest: str, channel: str) -> None:
        self._channel = channel
        self._texts = {
            (held, alone): self._saving(keys, ms, oldest, alone=alone, held=held)
            for held in (False, True)
            for alone in (False, True)
        }

    def _saving(self, keys: str, ms: str, oldest: str, *, alone: bool, held: bool) -> str:
        given = rows_given(_HELD if held else _GIVEN, 3, alone=alone)
        metas = ", ".join(f"k.active_{name}" for name in _META)
        expires = (
            "CASE WHEN k.active_idle = 0 THEN k.active_ends "
            "ELSE least(g.now + k.active_idle, k.active_ends) END"
        )
        sets = {
            "revision": "g.revision",
            "active_payload": "g.payload",
            "active_version": "k.active_version + 1",
            "active_write": "g.id",
            "active_updated": "g.now",
            "active_slid": "g.now",
            "active_expires": expires,
            "due": f"least(k.due, {expires})",
            "deed_id": "g.id",
            "deed_time": "greatest(g.now, k.deed_time)",
        }
        free, ready = "k.lease_ticket IS NULL", "g.now < k.active_expires"
        of_lock = woken = ""
        if held:
            of_lock = ", g.ticket, g.lets_go"
            free = (
                "CASE WHEN g.ticket IS NULL THEN k.lease_ticket IS NULL "
                "ELSE k.lease_ticket = g.ticket AND k.lease_token = g.token "
                "AND k.lease_token > 0 AND k.lock_token IS NOT NULL END"
            )
            ready += (
                " AND (g.ticket IS NULL OR g.now < k.lease_until) "
                f"AND (NOT g.lets_go OR {CAN_BE_HANDED_OVER})"
            )
            sets |= {
                name: f"CASE WHEN g.lets_go THEN {new} ELSE k.{name} END"
                for name, new in HANDED_OVER.items()
            }
            claimed = "CASE WHEN g.lets_go THEN k.lease_ticket END"
            woken = f", {claimed}, {notified(self._channel, claimed)}"
        locked = (
            f"SELECT k.ctid AS place, g.id, g.revision, g.payload{of_lock} FROM ({given}) g "
            f"JOIN {keys} k ON k.type = g.type AND k.scope = g.scope AND k.key = g.key "
            "WHERE k.active_life = g.life AND k.active_version = g.version "
            f"AND k.active_write = g.write AND {free} AND k.active_owner = '' "
            f"AND num_nulls({metas}, k.active_payload) = 0 "
            f"AND {oldest} <= $2::bigint FOR UPDATE OF k SKIP LOCKED"
        )
        return (
            f"UPDATE {keys} k SET {', '.join(f'{name} = {new}' for name, new in sets.items())} "
            f"FROM {timed(locked, f'coalesce($1::bigint / 1000, {ms})')} "
            f"WHERE k.ctid = g.place AND {ready} "
            f"RETURNING {metas}{woken}"
        )

    def save(
        self, writes: Sequence[operations.Write], now: int | None, newest: int
    ) -> Talk[tuple[dict[int, operations.Outcome], list[int]]]:
        """The outcomes of those that are done, by their ids, and whom that gave claims; the others
        are as they were."""
        held = any(write.lock is not None for write in writes)
        given = arguments(list(map(_given_held if held else _given, writes)))
        answer = yield Query(self._texts[held, len(writes) == 1], (now, newest, *given))
        woken = [row[_SIZE] for row in answer.rows] if held else []
        return _saved(answer.rows), list(filter(None, woken))


class MySQLSaving:
    """A statement that saves, and one that says what it left: to be one transaction. ``oldest``
    is what says who may use the tables."""

    def __init__(self, tables: Tables, keys: str, oldest: str, locked: Locked) -> None:
        self._keys, self._locked = keys, locked
        many = {name: f"g.`{name}`" for name in _GIVEN}
        # Joined in this order: the primary key is looked up by what is given.
        self._many = self._updating("({given}) g STRAIGHT_JOIN {rows}", keys, many, oldest)
        one = {name: f"{{{name}}}" for name in _GIVEN}
        self._one = self._updating("{rows}", keys, one, oldest)
        columns = {name: tables.keys.c[f"active_{name}"] for name in _META}
        self._packing = Packing({f"`active_{name}`": each for name, each in columns.items()})
        self._select = (
            f"SELECT {self._packing.select(())} FROM {keys} WHERE ({{at}}) AND active_write IN "
        )

    def _updating(self, rows: str, keys: str, given: Mapping[str, str], oldest: str) -> str:
        idle, ends = f"{keys}.`active_idle`", f"{keys}.`active_ends`"
        expires = f"IF({idle} = 0, {ends}, LEAST({_NOW} + {idle}, {ends}))"
        sets = {
            "revision": given["revision"],
            "active_payload": given["payload"],
            "active_version": f"{given['version']} + 1",
            "active_write": given["id"],
            "active_updated": _NOW,
            "active_slid": _NOW,
            "active_expires": expires,
            "due": f"LEAST({keys}.due, {expires})",
            "deed_id": given["id"],
            "deed_time": f"GREATEST({_NOW}, IFNULL({keys}.deed_time, 0))",
        }
        conditions = [f"{keys}.`active_{name}` = {given[name]}" for name in _META[:3]]
        conditions += [f"{keys}.`active_{name}` IS NOT NULL" for name in (*_META, "payload")]
        conditions.append(f"{keys}.`active_owner` = ''")
        return (
            f"UPDATE {rows} SET {', '.join(f'{keys}.{name} = {new}' for name, new in sets.items())}"
            f" WHERE {{here}} AND {' AND '.join(conditions)} AND {keys}.lease_ticket IS NULL "
            # The clock once more, when the row is locked
            f"AND {{clock}} < {keys}.active_expires AND {oldest} <= {{newest}}"
        )

    def holds(self, write: operations.Write) -> bool:
        """Whether its payload can be saved beside others: a literal in a UNION is cut at 64 KiB."""
        return len(write.payload) <= _MOST_BYTES

    def statements(self, writes: Sequence[operations.Write], clock: str, newest: int) -> list[str]:
        """Raises: ServerError where a number is none that a column can hold."""
        rows = [[literal(value) for value in _given(write)] for write in writes]
        at = any_of([place_of(write.address) for write in writes])
        locked, here = self._locked.pass_by(self._keys, at)
        if len(rows) == 1:
            values = dict(zip(_GIVEN, rows[0], strict=True))
            update = self._one.format(**values, clock=clock, newest=newest, rows=locked, here=here)
        else:
            # The first row names the columns.
            named = [f"{value} AS `{name}`" for value, name in zip(rows[0], _GIVEN, strict=True)]
            given = " UNION ALL ".join(f"SELECT {', '.join(row)}" for row in (named, *rows[1:]))
            here = " AND ".join(f"{self._keys}.{name} = g.{name}" for name in KEY)
            update = self._many.format(
                given=given, clock=clock, newest=newest, rows=locked, here=here
            )
        ids = ", ".join(str(write.id) for write in writes)
        return [f"SET {_NOW} = {clock}", update, f"{self._select.format(at=at)} ({ids})"]

    def outcomes(self, rows: Sequence[Sequence[Any]]) -> dict[int, operations.Outcome]:
        return _saved([self._packing.read(row)[1] for row in rows])


def _saved(rows: Sequence[Sequence[Any]]) -> dict[int, operations.Outcome]:
    saved: dict[int, operations.Outcome] = {}
    for row in rows:
        life, version, write, owner, started, updated, slid, idle, ends, expires = row[:_SIZE]
        meta = operations.Meta(
            life, version, write, owner.decode(), started, updated, slid, idle, ends, expires
        )
        saved[write] = operations.Saved(meta)
    return saved


def _given(write: operations.Write) -> tuple[bytes | int, ...]:
    stamp = write.stamp
    return (
        *place_of(write.address), stamp.life, stamp.version, stamp.write, write.id, new_id(),
        write.payload,
    )  # fmt: skip


def _given_held(write: operations.Write) -> tuple[bytes | int | None, ...]:
    lock = write.lock
    if lock is None:
        return (*_given(write), None, None, False)
    return (*_given(write), lock.ticket, lock.token, write.release)
