"""PostgreSQL: a lock that is let go, or a claim that is taken, in one round trip.

Where a row bears out what is said of it, the server decides and writes, as `machine.apply`
would; wherever it does not, the row is read and the machine says why. Of a queue it looks at the
first who waits alone: what is spoilt behind that is told to who comes next.
"""

from __future__ import annotations

from collections.abc import Mapping

from sessiontracker.backend import new_id, operations, state

from .given import arguments, quoted, rows_given
from .optimistic import Place, Row, read_row
from .queues import HOLDER_AT, NUMBERS
from .rows import COLUMNS
from .talk import Query, Talk

__all__ = ["CAN_BE_HANDED_OVER", "HANDED_OVER", "PostgreSQLLocks", "notified", "timed"]

_RELEASED = {
    "type": "bytea", "scope": "bytea", "key": "bytea", "ticket": "bigint", "life": "bigint",
    "revision": "bigint",
}  # fmt: skip


def timed(rows: str, clock: str) -> str:
    """The ``rows``, which are locked one by one, as ``g``, each with what the ``clock`` was after
    that as ``now``. (Being volatile, that is asked once for each, however often it is used.)"""
    return f"(SELECT l.*, {clock} AS now FROM ({rows}) l) g"


def _first(name: str) -> str:
    """That number of the first in a queue."""
    at, size = NUMBERS[name]
    digits = f"encode(substring(k.queue FROM {at + 1} FOR {size}), 'hex')"
    return f"('x' || {digits})::bit({8 * size})::{'bigint' if size == 8 else 'integer'}"


CAN_BE_HANDED_OVER = (
    f"(k.queue IS NULL OR {_first('size')} BETWEEN 0 AND length(k.queue) - {HOLDER_AT} "
    f"AND {_first('ticket')} >= 0 "
    f"AND g.now < {_first('seen')} + {state.ALIVE:g} * {_first('every')})"
)
"""Whether nobody waits, or the first who does is alive at ``g.now``, in ms."""

HANDED_OVER = {
    "lease_ticket": _first("ticket"),
    "lease_token": "CASE WHEN k.queue IS NOT NULL THEN 0 END",
    "lease_until": f"g.now + floor({state.CLAIM} * {_first('every')})::bigint",
    "lease_holder": f"substring(k.queue FROM {HOLDER_AT + 1} FOR {_first('size')})",
    "queue": f"nullif(substring(k.queue FROM {HOLDER_AT + 1} + {_first('size')}), ''::bytea)",
    "lock_released": "g.ticket",
}
"""What columns are set to when ``g.ticket`` lets go: as the machine's `release` has it."""


def notified(channel: str, ticket: str) -> str:
    """A column that tells ``ticket``, if it is not null, that it has a claim."""
    said = f"pg_notify({quoted(channel)}, {ticket}::text)::text"
    return f"CASE WHEN {ticket} IS NOT NULL THEN {said} END"


class PostgreSQLLocks:
    """``us`` and ``ms`` are the clock; ``oldest`` is what says who may use the tables."""

    def __init__(self, keys: str, us: str, ms: str, oldest: str, channel: str) -> None:
        self._claim = {
            with_session: _claiming(keys, us, oldest, with_session=with_session)
            for with_session in (False, True)
        }
        self._release = {
            alone: _releasing(keys, ms, oldest, channel, rows_given(_RELEASED, 3, alone=alone))
            for alone in (False, True)
        }

    def release(
        self, releases: Mapping[Place, operations.Release], now: int | None, newest: int
    ) -> Talk[Mapping[Place, int]]:
        """Where of ``releases`` the lock was let go, and whom that gave a claim, or 0."""
        places = {new_id(): place for place in releases}
        given = [
            (*place, releases[place].ticket, releases[place].life, revision)
            for revision, place in places.items()
        ]
        answer = yield Query(self._release[len(given) == 1], (now, newest, *arguments(given)))
        return {places[revision]: woken or 0 for revision, woken, _ in answer.rows}

    def claim(
        self, place: Place, acquire: operations.Acquire, now: int | None, newest: int
    ) -> Talk[operations.Granted | Row | str | None]:
        """As `Server.claim`."""
        holder = acquire.holder.encode()
        with_session = acquire.read or acquire.start is not None
        given = (acquire.ticket, new_id(), acquire.lease, holder, acquire.keep, newest)
        rows = (yield Query(self._claim[with_session], (now, *place, *given))).rows
        if not rows:
            return None
        if not with_session:
            return operations.Granted(rows[0][0], acquire.lease)
        after, revision, *values = rows[0]
        try:
            return read_row(place[2].decode(), values, revision, (after, after))
        except ValueError as error:
            return str(error)


def _releasing(keys: str, ms: str, oldest: str, channel: str, given: str) -> str:
    sets = {"revision": "g.revision"} | HANDED_OVER
    locked = (
        f"SELECT k.ctid AS place, g.ticket, g.life, g.revision FROM ({given}) g "
        f"JOIN {keys} k ON k.type = g.type AND k.scope = g.scope AND k.key = g.key "
        "WHERE k.lease_ticket = g.ticket AND k.lease_token > 0 AND k.lock_token IS NOT NULL "
        f"AND {oldest} <= $2::bigint FOR UPDATE OF k SKIP LOCKED"
    )
    return (
        f"UPDATE {keys} k SET {', '.join(f'{name} = {value}' for name, value in sets.items())} "
        f"FROM {timed(locked, f'coalesce($1::bigint / 1000, {ms})')} "
        "WHERE k.ctid = g.place AND g.now < k.lease_until "
        "AND (g.life = 0 OR k.active_life = g.life AND g.now < k.active_expires) "
        f"AND {CAN_BE_HANDED_OVER} "
        f"RETURNING g.revision, k.lease_ticket, {notified(channel, 'k.lease_ticket')}"
    )


def _claiming(keys: str, us: str, oldest: str, *, with_session: bool) -> str:
    token = "greatest(k.lock_token + 1, g.now)"
    sets = {
        "revision": "$6::bigint",
        "lease_token": token,
        "lease_until": "g.now / 1000 + $7::bigint",
        "lease_holder": "$8::bytea",
        "lock_token": token,
        "lock_kept": "g.now / 1000 + $7::bigint + $9::bigint",
    }
    there, left = "", "k.lease_token"
    if with_session:  # without that, the claim is given up, and not taken
        there = "AND g.now / 1000 < k.active_expires "
        left = ", ".join(("g.now", "k.revision", *(f"k.{name}" for name in COLUMNS)))
    locked = (
        f"SELECT k.ctid AS place FROM {keys} k "
        "WHERE k.type = $2::bytea AND k.scope = $3::bytea AND k.key = $4::bytea "
        "AND k.lease_ticket = $5::bigint AND k.lease_token = 0 AND k.lock_token IS NOT NULL "
        f"AND k.lock_released <> $5::bigint AND {oldest} <= $10::bigint "
        "FOR UPDATE SKIP LOCKED"
    )
    return (
        f"UPDATE {keys} k SET {', '.join(f'{name} = {value}' for name, value in sets.items())} "
        f"FROM {timed(locked, f'coalesce($1::bigint, {us})')} "
        f"WHERE k.ctid = g.place AND g.now / 1000 < k.lease_until {there}RETURNING {left}"
    )
