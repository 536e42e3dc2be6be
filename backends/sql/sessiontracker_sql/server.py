"""What the kinds of server have in common: what is asked of one, whichever it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from sessiontracker.backend import operations

from .optimistic import Change, Place, Row
from .schema import Tables
from .talk import ServerError, Talk

__all__ = ["Server"]


class Server(Protocol):
    """A kind of server, and the tables there. ``now``: a clock in the server's place (µs)."""

    tables: Tables
    name: str
    channel: str
    """What is listened to by those who wait; "" where there is no such thing."""

    def greet(self, own: Any) -> Talk[bool]:
        """Whether statements may be prepared on a new connection, which calls itself ``own``.

        Raises: BackendError where this is no server to write to.
        """
        ...

    def migrate(self, *, create: bool) -> Talk[None]:
        """Bring the tables up to date. Raises: BackendError."""
        ...

    def load(
        self, places: Sequence[Place], now: int | None, *, payloads: bool = True
    ) -> Talk[Mapping[Place, Row | str]]:
        """What stands at ``places``, from one snapshot; a text says why it is none of ours."""
        ...

    def save(
        self, writes: Sequence[operations.Write], now: int | None
    ) -> Talk[dict[int, operations.Outcome]]:
        """The outcomes, by their ids, of those of ``writes`` that can be done without reading
        what is there first; the others are as they were."""
        ...

    def write(self, changes: Sequence[Change], now: int | None) -> Talk[set[int]]:
        """Write what can be without waiting: the revisions of what was written."""
        ...

    def page(self, scan: operations.Scan, after: tuple[bytes, bytes]) -> Talk[Sequence[Any]]:
        """At most ``scan.limit`` rows behind ``after``: clock (µs), type, scope, key, columns."""
        ...

    def due(self, limit: int, now: int | None) -> Talk[Sequence[Place]]:
        """Where there is something to reap, oldest first."""
        ...

    def leave(self, places: Sequence[Place]) -> Talk[None]:
        """Leave the rows at ``places`` as they are, and never due."""
        ...

    def holders(self, places: Sequence[Place]) -> Talk[Collection[int]]:
        """Whose tickets have the locks at ``places``."""
        ...

    def clock(self) -> Talk[int]:
        """The server's clock, in µs."""
        ...

    def is_passing(self, error: ServerError) -> bool:
        """Whether others were in the way: nothing was done, and at once it may be."""
        ...

    def is_own(self, error: ServerError) -> bool:
        """Whether ``error`` may concern one row of several, and not the others."""
        ...

    def is_stale(self, error: ServerError) -> bool:
        """Whether the server at the other end should not be asked again."""
        ...

    def reason(self, error: ServerError) -> str | None:
        """Why nothing was done, where that may pass; None where it lasts."""
        ...

    def refusal(self, error: ServerError) -> str:
        """What is wrong, where that lasts, and what to do."""
        ...
