"""A session saved in one round trip, without being read before.

By far the most frequent change is that of a session that nobody has locked, by somebody who
says exactly what it was when it was read. Where the row bears that out, the server decides
and writes, as `machine.apply` would; wherever it does not, the row is read and the machine
says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sessiontracker.backend import new_id, operations

from .literals import any_of, at, literal
from .optimistic import place_of
from .talk import Query, Talk

__all__ = ["MySQLSaving", "PostgreSQLSaving", "is_simple"]

_META = (
    "life", "version", "write", "owner", "started", "updated", "slid", "idle", "ends", "expires",
)  # fmt: skip


def is_simple(operation: operations.Operation) -> bool:
    """Whether ``operation`` saves a session that is nobody's, without a lock, the first time."""
    return (
        type(operation) is operations.Write
        and operation.lock is None
        and not operation.release
        and not operation.age
        and not operation.address.scope
    )


class PostgreSQLSaving:
    """One statement. ``ms`` is the clock, in ms; ``oldest`` what says who may use the tables."""

    def __init__(self, keys: str, ms: str, oldest: str) -> None:
        given = {
            "type": "bytea", "scope": "bytea", "key": "bytea", "life": "bigint",
            "version": "bigint", "write": "bigint", "id": "bigint", "revision": "bigint",
            "payload": "bytea",
        }  # fmt: skip
        arrays = ", ".join(f"${n}::{type}[]" for n, type in enumerate(given.values(), 3))
        metas = ", ".join(f"k.active_{name}" for name in _META)
        expires = (
            "CASE WHEN k.active_idle = 0 THEN k.active_ends "
            "ELSE least(g.now + k.active_idle, k.active_ends) END"
        )
        self._text = (
            f"WITH locked AS MATERIALIZED (SELECT k.ctid AS place, g.id, g.revision, g.payload "
            f"FROM unnest({arrays}) AS g({', '.join(given)}) JOIN {keys} k "
            "ON k.type = g.type AND k.scope = g.scope AND k.key = g.key "
            "WHERE k.active_life = g.life AND k.active_version = g.version "
            "AND k.active_write = g.write AND k.lease_ticket IS NULL "
            f"AND num_nulls({metas}, k.active_payload) = 0 "
            f"AND {oldest} <= $2::bigint FOR UPDATE OF k SKIP LOCKED), "
            # The clock once for each row, after it was locked
            f"timed AS MATERIALIZED (SELECT *, coalesce($1::bigint / 1000, {ms}) AS now "
            "FROM locked) "
            f"UPDATE {keys} k SET revision = g.revision, active_payload = g.payload, "
            "active_version = k.active_version + 1, active_write = g.id, active_updated = g.now, "
            f"active_slid = g.now, active_expires = {expires}, due = least(k.due, {expires}), "
            "deed_id = g.id, deed_time = greatest(g.now, k.deed_time) "
            "FROM timed g WHERE k.ctid = g.place AND g.now < k.active_expires "
            f"RETURNING {metas}"
        )

    def save(
        self, writes: Sequence[operations.Write], now: int | None, newest: int
    ) -> Talk[dict[int, operations.Outcome]]:
        """The outcomes of those that are done, by their ids; the others are as they were."""
        given = zip(*map(_given, writes), strict=True)
        answer = yield Query(self._text, (now, newest, *given))
        return _saved(answer.rows)


class MySQLSaving:
    """A statement a row, and one that says what they left: to be one transaction. ``ms`` is the
    clock, in ms; ``oldest`` what says who may use the tables."""

    def __init__(self, keys: str, oldest: str) -> None:
        metas = [f"`active_{name}`" for name in _META]
        expires = "IF(`active_idle` = 0, `active_ends`, LEAST(@now + `active_idle`, `active_ends`))"
        whole = " AND ".join(f"{name} IS NOT NULL" for name in (*metas, "`active_payload`"))
        self._update = (
            f"UPDATE {keys} SET revision = {{revision}}, `active_payload` = {{payload}}, "
            "`active_version` = {version} + 1, `active_write` = {id}, "
            f"`active_updated` = @now, `active_slid` = @now, `active_expires` = {expires}, "
            f"`due` = LEAST(`due`, {expires}), "
            "`deed_id` = {id}, `deed_time` = GREATEST(@now, IFNULL(`deed_time`, 0)) "
            "WHERE {at} AND `active_life` = {life} AND `active_version` = {version} "
            f"AND `active_write` = {{write}} AND `lease_ticket` IS NULL AND {whole} "
            # The clock once more, when the row is locked
            f"AND {{clock}} < `active_expires` AND {oldest} <= {{newest}}"
        ).replace("@now", _NOW)
        self._select = f"SELECT {', '.join(metas)} FROM {keys} WHERE ({{at}}) AND `active_write` IN"

    def statements(self, writes: Sequence[operations.Write], clock: str, newest: int) -> list[str]:
        """Raises: ServerError where a number is none that a column can hold."""
        places = [place_of(write.address) for write in writes]
        updates = [
            self._update.format(
                revision=new_id(), payload=literal(write.payload), id=literal(write.id),
                at=at(place), life=literal(write.stamp.life), version=literal(write.stamp.version),
                write=literal(write.stamp.write), clock=clock, newest=newest,
            )
            for place, write in zip(places, writes, strict=True)
        ]  # fmt: skip
        ids = ", ".join(str(write.id) for write in writes)
        select = f"{self._select.format(at=any_of(places))} ({ids})"
        return [f"SET {_NOW} = {clock}", *updates, select]

    def outcomes(self, rows: Sequence[Sequence[Any]]) -> dict[int, operations.Outcome]:
        return _saved(rows)


_NOW = "@sessiontracker_now"


def _saved(rows: Sequence[Sequence[Any]]) -> dict[int, operations.Outcome]:
    saved: dict[int, operations.Outcome] = {}
    for life, version, write, owner, started, updated, slid, idle, ends, expires in rows:
        meta = operations.Meta(
            life, version, write, owner.decode(), started, updated, slid, idle, ends, expires
        )
        saved[write] = operations.Saved(meta)
    return saved


def _given(write: operations.Write) -> tuple[object, ...]:
    stamp = write.stamp
    return (
        *place_of(write.address), stamp.life, stamp.version, stamp.write, write.id, new_id(),
        write.payload,
    )  # fmt: skip
