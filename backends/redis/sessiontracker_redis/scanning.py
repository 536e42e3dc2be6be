"""A page of a scan: one SCAN, and then what is stored under the names that it found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sessiontracker.backend import operations

from .keys import Keys
from .records import NotASessionError, found

__all__ = ["begin", "names_of", "page"]


def begin(keys: Keys, scan: operations.Scan, cursor: bytes | str) -> tuple[bytes | str | int, ...]:
    """The command that finds names from ``cursor`` on."""
    pattern = keys.pattern(scan.type, finished=scan.finished)
    return (b"SCAN", cursor, b"MATCH", pattern, b"COUNT", scan.limit)


def names_of(reply: Any) -> list[bytes]:
    """The keys of a page; SCAN may find one twice."""
    return list(dict.fromkeys(reply[1]))


def page(
    keys: Keys, scan: operations.Scan, reply: Any, texts: Sequence[bytes | None], ms: int
) -> operations.Page:
    """The sessions in ``texts``, which is what is stored under the names of ``reply``."""
    items: list[operations.Item] = []
    for name, text in zip(names_of(reply), texts, strict=True):
        if text is None:
            continue
        try:
            session = found(text, finished=scan.finished)
        except NotASessionError:
            continue  # a stranger's
        if ms < session.meta.expires:
            address = keys.address(scan.type, name.decode())
            items.append(operations.Item(address, session.meta, session.payload))
    cursor = reply[0].decode()
    return operations.Page(items, "" if cursor == "0" else cursor)
