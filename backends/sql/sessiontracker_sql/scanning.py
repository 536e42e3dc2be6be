"""A server's sessions of one type, in pages."""

from __future__ import annotations

import logging
from collections.abc import Collection

import msgspec

from sessiontracker.backend import BackendError, operations, state

from .owners import OwnerPlace, Wanted
from .rows import decode
from .server import Server
from .talk import Talk
from .work import Clock

__all__ = ["page"]

_log = logging.getLogger("sessiontracker")
_decode_cursor = msgspec.json.Decoder(tuple[bytes, bytes]).decode


def page(server: Server, scan: operations.Scan, clock: Clock = None) -> Talk[operations.Outcome]:
    """A page of ``scan``: as many rows as it may hold sessions, of which some may hold none."""
    after = b"", b""
    if scan.cursor:
        try:
            after = _decode_cursor(scan.cursor)
        except msgspec.DecodeError:
            return operations.Failed(
                BackendError(f"{scan.cursor!r} is no cursor of a scan: begin again without one")
            )
    rows = yield from server.page(scan, after)
    shared = yield from _shared(server, {(row[1], row[2]) for row in rows if row[2]}, clock)
    items: list[operations.Item] = []
    for now, *place, values in rows:
        try:
            type, scope, name = (part.decode() for part in place)
            key, _ = decode(values)
        except ValueError as error:
            _log.warning("the row of type, scope and key %r is passed over: %s", place, error)
            continue
        settled = state.settle(key, (clock() if clock else now) // 1000)
        record = settled.finished if scan.finished else settled.active
        if record is not None:
            address = operations.Address(type, scope, name)
            together = shared.get((place[0], place[1]))
            items.append(operations.Item(address, record.meta, record.payload, together))
    if len(rows) < scan.limit:
        return operations.Page(items, "")
    return operations.Page(items, msgspec.json.encode(rows[-1][2:4]).decode())


def _shared(
    server: Server, places: Collection[OwnerPlace], clock: Clock
) -> Talk[dict[OwnerPlace, operations.Shared | None]]:
    """What the owners at ``places`` share with their sessions."""
    if not places:
        return {}
    found = yield from server.owners.load(dict.fromkeys(places, Wanted([b""])), clock and clock())
    return {
        place: None if isinstance(rows, str) else rows.row[0].shared
        for place, rows in found.items()
    }
