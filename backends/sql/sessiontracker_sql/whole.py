"""What concerns the store as a whole: pages of sessions, and what is due to be reaped."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from sessiontracker.backend import BackendError, operations, state

from .known import Stored
from .rows import decode
from .statements import Statements
from .writes import Writes

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
        address, (slot, _) = found
        settled = state.settle(slot.keys[address.key], now // 1000)
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
        address, before = found
        after, count = state.sweep(before[0], now)
        gone += count
        ticket = state.claimed(before[0], after, address.key)
        if ticket:
            claims.append(ticket)
        writes.add(address, before, after, postpone=True)
    writes.send(cursor, statements)
    return gone, claims, len(rows) == limit


def _read(row: Sequence[Any]) -> tuple[operations.Address, Stored] | None:
    """Where ``row`` stands, and what it holds; None if that is none of ours."""
    try:
        type, scope, name = (part.decode() for part in row[-3:])
        key, due = decode(row[:-3])
    except (ValueError, AttributeError) as error:
        _log.warning("the row of type, scope and key %r is passed over: %s", row[-3:], error)
        return None
    return operations.Address(type, scope, name), (state.Slot({name: key}), due)
