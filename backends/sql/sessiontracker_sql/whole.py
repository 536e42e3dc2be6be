"""What concerns the store as a whole: pages of sessions, and what is due to be reaped."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from sessiontracker.backend import BackendError, operations, state

from .known import Stored
from .owned import decode_owner, due_later, owner_values
from .rows import decode
from .statements import Statements
from .writes import Writes, place_of

__all__ = ["page", "reap", "reap_owners"]

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
    owners: dict[operations.Address, operations.Shared | None] = {}
    for row in rows:
        found = _read(row)
        if found is None:
            continue
        address, (slot, _) = found
        settled = state.settle(slot.keys[address.key], now // 1000)
        record = settled.finished if scan.finished else settled.active
        if record is not None:
            shared = _shared(cursor, statements, address, owners) if address.scope else None
            items.append(operations.Item(address, record.meta, record.payload, shared))
    if len(rows) < scan.limit:
        return operations.Page(items, "")
    return operations.Page(items, msgspec.json.encode(rows[-1][-2:]).decode())


def _shared(
    cursor: sqlite3.Cursor,
    statements: Statements,
    address: operations.Address,
    known: dict[operations.Address, operations.Shared | None],
) -> operations.Shared | None:
    """What the owner of the session at ``address`` shares with it."""
    owner = address.slot
    if owner not in known:
        known[owner] = None
        row = cursor.execute(statements.load_owner, place_of(owner)[:2]).fetchone()
        if row is not None:
            try:
                known[owner] = decode_owner(row)[0].shared
            except ValueError as error:
                _log.warning("the row of an owner of %r is passed over: %s", owner.type, error)
    return known[owner]


def reap_owners(cursor: sqlite3.Cursor, statements: Statements, limit: int, now: int) -> bool:
    """Sweep ``limit`` owners' rows that are due, oldest first; whether more is due.

    One whose sessions still live is put off.
    """
    ms = now // 1000
    rows = cursor.execute(statements.owners_due, (ms, limit)).fetchall()
    for *values, type, scope in rows:
        try:
            slot = _whole_slot(cursor, statements, values, (type, scope))
        except (ValueError, AttributeError) as error:
            _log.warning("the row of an owner of %r is passed over: %s", type, error)
            due = operations.FOREVER
        else:
            settled = state.settle_owner(slot, ms)
            left = state.Slot({}, settled.shared, settled.ending)
            if state.is_empty(left):
                cursor.execute(statements.delete_owner, (type, scope))
                continue
            due = state.due(left)
            if due <= ms:
                due = due_later(settled, ms)
            if settled is not slot:
                cursor.execute(statements.delete_owner, (type, scope))
                row = (type, scope, *owner_values(left, due))
                cursor.execute(statements.insert_owner, row)
                continue
        cursor.execute(statements.postpone_owner, (due, type, scope))
    return len(rows) == limit


def _whole_slot(
    cursor: sqlite3.Cursor,
    statements: Statements,
    values: Sequence[Any],
    place: tuple[bytes, bytes],
) -> state.Slot:
    """All that an owner has, whose own row holds ``values``. Raises: ValueError."""
    owner, _ = decode_owner(values)
    keys: dict[str, state.Key] = {}
    for *columns, name in cursor.execute(statements.load_those_with_sessions, place).fetchall():
        keys[name.decode()] = decode(columns)[0]
    return state.Slot(keys, owner.shared, owner.ending)


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
