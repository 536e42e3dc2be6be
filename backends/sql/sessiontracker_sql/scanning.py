"""A server's sessions of one type, in pages."""

from __future__ import annotations

import logging

import msgspec

from sessiontracker.backend import BackendError, operations, state

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
            items.append(operations.Item(address, record.meta, record.payload))
    if len(rows) < scan.limit:
        return operations.Page(items, "")
    return operations.Page(items, msgspec.json.encode(rows[-1][2:4]).decode())
