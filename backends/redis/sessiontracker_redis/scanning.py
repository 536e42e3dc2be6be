"""A page of a scan: names that SCAN found on one primary, and what is stored under them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from sessiontracker.backend import operations

from .keys import Keys
from .packing import Command
from .records import NotASessionError, found

__all__ = ["Position", "items", "names_of", "search"]


class Position(Struct, frozen=True):
    """Where a scan goes on: at the server's own ``cursor`` on the primary ``node``; those that
    are ``done`` have been there. One that takes over from another is scanned from its beginning.
    """

    cursor: str
    node: str
    done: tuple[str, ...] = ()

    @classmethod
    def of(cls, cursor: str, nodes: Iterable[str]) -> Position | None:
        """What the ``cursor`` of a page says, now that the primaries are ``nodes``; None: the end.

        Raises: ValueError if it is none of ours.
        """
        position, *done = cursor.split("|")
        at, _, node = position.partition("@")
        if not (at.isdecimal() or not cursor):
            raise ValueError(f"{cursor!r} is no cursor of a page")
        if at and node in nodes:
            return cls(at, node, tuple(done))
        return cls("0", "", tuple(done)).next_node(nodes)

    def next_node(self, nodes: Iterable[str]) -> Position | None:
        """At the beginning of one that has not been there; None: all have."""
        node = next((name for name in sorted(nodes) if name not in self.done), None)
        return None if node is None else Position("0", node, self.done)

    def after(self, reply: Any, nodes: Iterable[str]) -> Position | None:
        """Behind what the server's ``reply`` holds; None: the end."""
        cursor = reply[0].decode()
        if cursor != "0":
            return Position(cursor, self.node, self.done)
        return Position("0", "", (*self.done, self.node)).next_node(nodes)

    def __str__(self) -> str:
        at = f"{self.cursor}@{self.node}" if self.node else self.cursor
        return "|".join([at, *self.done])


def search(keys: Keys, scan: operations.Scan, cursor: str) -> Command:
    """The command that finds names from ``cursor`` on."""
    pattern = keys.pattern(scan.type, finished=scan.finished)
    return (b"SCAN", cursor, b"MATCH", pattern, b"COUNT", scan.limit)


def names_of(reply: Any) -> list[bytes]:
    """The keys of a page; SCAN may find one twice."""
    return list(dict.fromkeys(reply[1]))


def items(
    keys: Keys, scan: operations.Scan, names: Sequence[bytes], texts: Sequence[Any], ms: int
) -> list[operations.Item]:
    """The sessions in ``texts``, which is what the server says to GET of each of ``names``."""
    sessions: list[operations.Item] = []
    for name, text in zip(names, texts, strict=True):
        if not isinstance(text, bytes):
            continue  # it has gone meanwhile, to another node perhaps; or is a stranger's
        try:
            session = found(text, finished=scan.finished)
        except NotASessionError:
            continue  # a stranger's
        if ms < session.meta.expires:
            address = keys.address(scan.type, name.decode())
            sessions.append(operations.Item(address, session.meta, session.payload))
    return sessions
