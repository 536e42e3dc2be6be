"""A page of a scan: names that SCAN found on one primary, and what is stored under them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from sessiontracker.backend import operations

from . import owned
from .arguments import Command, flag
from .keys import Keys
from .records import NotASessionError, found
from .scripts import OWNED_SCRIPTS
from .transaction import MULTI

__all__ = ["Position", "items", "lookup", "names_of", "search"]


class Position(Struct, frozen=True):
    """Where a scan goes on: at the server's own ``cursor`` on the primary ``node``, which means
    something to that ``run`` of that server alone; those that are ``done`` have been there."""

    cursor: str
    node: str
    run: str
    done: tuple[str, ...] = ()

    @classmethod
    def of(cls, cursor: str, nodes: Iterable[str]) -> Position | None:
        """What the ``cursor`` of a page says, now that the primaries are ``nodes``; None: the end.

        Raises: ValueError if it is none of ours.
        """
        if not cursor:
            return cls._next((), nodes)
        at, *place = cursor.split("|")
        if not at.isdecimal() or len(place) < 2:
            raise ValueError(f"{cursor!r} is no cursor of a page")
        node, run, *done = place
        return cls(at, node, run, tuple(done)) if node in nodes else cls._next(done, nodes)

    @classmethod
    def _next(cls, done: Iterable[str], nodes: Iterable[str]) -> Position | None:
        """At the beginning of one that has not been there; None: all have."""
        node = next((name for name in sorted(nodes) if name not in done), None)
        return None if node is None else cls("0", node, "", tuple(done))

    def is_of(self, run: str) -> bool:
        """Whether the cursor is that ``run``'s."""
        return self.cursor == "0" or self.run == run

    def again(self, run: str) -> Position:
        """At the beginning of the same node."""
        return Position("0", self.node, run, self.done)

    def after(self, reply: Any, run: str, nodes: Iterable[str]) -> Position | None:
        """Behind what the server's ``reply`` holds; None: the end."""
        cursor = reply[0].decode()
        if cursor != "0":
            return Position(cursor, self.node, run, self.done)
        return self._next((*self.done, self.node), nodes)

    def __str__(self) -> str:
        return "|".join([self.cursor, self.node, self.run, *self.done])


def search(keys: Keys, scan: operations.Scan, cursor: str) -> Command:
    """The command that finds names from ``cursor`` on."""
    pattern = keys.pattern(scan.type, finished=scan.finished)
    return (b"SCAN", cursor, b"MATCH", pattern, b"COUNT", scan.limit)


def names_of(keys: Keys, scan: operations.Scan, reply: Any) -> list[str]:
    """The keys of a page that hold sessions; SCAN may find one twice. What is no text is none of
    ours."""
    names = dict.fromkeys(map(_text, reply[1]))
    return [name for name in names if name and keys.address(scan.type, name) is not None]


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return ""


def lookup(keys: Keys, scan: operations.Scan, name: str) -> Command:
    """The command that gives the sessions that the key ``name`` holds."""
    address = keys.address(scan.type, name)
    assert address is not None
    if not address.scope:
        return (b"GET", name)
    script = OWNED_SCRIPTS["list"]
    return (MULTI, script.sha, b"6", *keys.of_owner(address), b"", flag(scan.finished), b"")


def items(
    keys: Keys, scan: operations.Scan, names: Sequence[str], replies: Sequence[Any], ms: int
) -> list[operations.Item]:
    """The sessions in ``replies``, which is what the server says to `lookup` of the ``names``."""
    sessions: list[operations.Item] = []
    for name, reply in zip(names, replies, strict=True):
        address = keys.address(scan.type, name)
        assert address is not None
        if isinstance(reply, list):
            fields = [ms, *reply[2:]]
            sessions += owned.items(address, fields, finished=scan.finished)
        if not isinstance(reply, bytes):
            continue  # it has gone meanwhile, or is a stranger's
        try:
            session = found(reply, finished=scan.finished)
        except NotASessionError:
            continue  # a stranger's
        if ms < session.meta.expires:
            sessions.append(operations.Item(address, session.meta, session.payload))
    return sessions
