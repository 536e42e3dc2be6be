"""What concerns the store as a whole: pages of sessions, and what is due to be reaped."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from sessiontracker.backend import BackendError, operations, state

from .batch import Writes
from .rows import decode
from .statements import Statements

__all__ = ["page", "reap"]

_log = logging.getLogger("sessiontracker")
_decode_cursor = msgspec.json.Decoder(tuple[bytes, bytes]).decode


def page(
    cursor: sqlite3.Cursor, statements: Statements, scan: operations.Scan, now: int
) -> operations.Outcome:
    """A page of ``scan``: as many rows as it may hold sessions, of which some may hold none."""
    scope, key = b"", b""
    if scan.cursor:
        try:
            scope, key = _decode_cursor(scan.cursor)
        except msgspec.DecodeError:
            return operations.Failed(
                BackendError(f"{scan.cursor!r} is no cursor of a scan: begin again without one")
            )
    type = scan.type.encode()
    rows = cursor.execute(statements.page_within, (type, scope, key, scan.limit)).fetchall()
    if len(rows) < scan.limit:
        rest = scan.limit - len(rows)
        rows += cursor.execute(statements.page_behind, (type, scope, rest)).fetchall()
    items: list[operations.Item] = []
    for row in rows:
        found = _read(row)
        if found is None:
            continue
        address, (stored, _) = found
        settled = state.settle(stored, now // 1000)
        record = settled.finished if scan.finished else settled.active
        if record is not None:
            items.append(operations.Item(address, record.meta, record.payload))
    if len(rows) < scan.limit:
        return operations.Page(items, "")
    return operations.Page(items, msgspec.json.encode(rows[-1][-2:]).decode())


def reap(
    cursor: sqlite3.Cursor, statements: Statements, limit: int, now: int
) -> tuple[int, list[int], bool]:
    """Sweep ``limit`` rows that are due, oldest first: how many sessions went, who was given a
    claim, and whether more is due."""
    rows = cursor.execute(statements.due, (now // 1000, limit)).fetchall()
    gone = 0
    claims: list[int] = []
    writes = Writes()
    for row in rows:
        found = _read(row)
        if found is None:
            writes.leave(row[-3:])
            continue
        address, stored = found
        before = state.Slot({address.key: stored[0]})
        after, count = state.sweep(before, now)
        gone += count
        ticket = state.claimed(before, after, address.key)
        if ticket:
            claims.append(ticket)
        writes.add(address, stored, after, postpone=True)
    writes.send(cursor, statements)
    return gone, claims, len(rows) == limit


def _read(row: Sequence[Any]) -> tuple[operations.Address, tuple[state.Key, int]] | None:
    """Where ``row`` stands, what it holds and when it is due; None if that is none of ours."""
    try:
        type, scope, key = (part.decode() for part in row[-3:])
        return operations.Address(type, scope, key), decode(row[:-3])
    except (ValueError, AttributeError) as error:
        _log.warning("the row of type, scope and key %r is passed over: %s", row[-3:], error)
        return None
