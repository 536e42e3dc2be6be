"""What the kinds of server have in common: what is asked of one, whichever it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from sessiontracker.backend import Asked, operations

from .optimistic import Change, Place, Row
from .owners import OwnerChange, OwnerPlace, OwnerRows, Wanted
from .schema import Tables
from .talk import ServerError, Talk

__all__ = ["Owners", "Server"]


class Owners(Protocol):
    """What a kind of server is asked about owners."""

    writes_together: bool
    """Whether it is one round trip to write several; else each is written by itself."""

    def load(
        self, wanted: Mapping[OwnerPlace, Wanted], now: int | None
    ) -> Talk[Mapping[OwnerPlace, OwnerRows | str]]:
        """What there is of the owners that are ``wanted`` and of those of their keys, each from
        one snapshot; a text says why a row is none of ours."""
        ...

    def write(self, changes: Sequence[OwnerChange], now: int | None) -> Talk[set[int]]:
        """Write what nobody else has changed, or locked: the revisions of what was written."""
        ...

    def reserve(self, place: OwnerPlace, revision: int, time: int, now: int | None) -> Talk[bool]:
        """Have others leave the row at ``place`` for ``time`` (ms), unless it is theirs or locked:
        whether it is at ``revision`` now, and reserved."""
        ...

    def due(self, limit: int, now_ms: int) -> Talk[Sequence[OwnerPlace]]:
        """Who has something to reap at ``now_ms``, oldest first."""
        ...

    def leave(self, place: OwnerPlace, due: int) -> Talk[None]:
        """Leave the row at ``place`` as it is, and not due before ``due``."""
        ...


class Server(Protocol):
    """A kind of server, and the tables there. ``now``: a clock in the server's place (µs)."""

    tables: Tables
    name: str

    @property
    def owners(self) -> Owners: ...

    channel: str
    """What is listened to by those who wait; "" where there is no such thing."""

    identity: str
    """The expression that says which database it is that one is connected to, and which tables of
    the name one sees there, as far as it can be told from others."""

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

    def can_save(self, operation: Asked) -> bool:
        """Whether it may be done without reading what is there first."""
        ...

    def save(
        self, writes: Sequence[operations.Write], now: int | None
    ) -> Talk[tuple[dict[int, operations.Outcome], list[int]]]:
        """The outcomes, by their ids, of those of ``writes`` (which it can save) that were done,
        and whom that gave claims; the others are as they were."""
        ...

    def release(
        self, releases: Mapping[Place, operations.Release], now: int | None
    ) -> Talk[Mapping[Place, int]]:
        """Where of ``releases`` the lock was let go, and whom that gave a claim, or 0; of the
        others nothing was done."""
        ...

    def claim(
        self, place: Place, acquire: operations.Acquire, now: int | None
    ) -> Talk[operations.Granted | Row | str | None]:
        """Make the claim that ``acquire`` has at ``place`` a full lease. With the session, it is
        said what stands there then; None, and nothing is done, if it has no claim, if the session
        that is asked for is not there, or if somebody is at it."""
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
