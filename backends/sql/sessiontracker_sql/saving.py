"""PostgreSQL: a session saved by one statement, without being read before.

By far the most frequent change is that of a session that nobody has locked, by somebody who
says exactly what it was when it was read. Where the row bears that out, one statement decides
and writes, as `machine.apply` would; wherever it does not, the row is read and the machine
says why.
"""

from __future__ import annotations

from collections.abc import Sequence

from sessiontracker.backend import new_id, operations

from .optimistic import place_of
from .talk import Query, Talk

__all__ = ["Saving", "is_simple"]

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


class Saving:
    """The statement. ``ms`` is the clock, in ms; ``oldest`` what says who may use the tables."""

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
        saved: dict[int, operations.Outcome] = {}
        for life, version, write, owner, started, updated, slid, idle, ends, expires in answer.rows:
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
