"""Stores that block: what one offers to be made a backend of, by ``threaded.py``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from time import monotonic
from typing import Protocol

from .contract import Asked
from .operations import Acquire, Address, Outcome, Queued, Release

__all__ = ["BlockingStore", "Line"]

_ROOM = 4
"""How many times as long as a look took the next one is put off at least."""


class BlockingStore(Protocol):
    """One connection to a store: asked one thing at a time, from any thread."""

    look_every: float
    """As `Backend.look_every`."""

    poll_every: float
    """How often, in seconds, `look` is asked while somebody waits."""

    batch: int
    """As `Backend.batch`."""

    def open(self) -> None:
        """As `Backend.open`."""

    def close(self) -> None:
        """As `Backend.close`."""

    def execute(self, operations: Sequence[Asked], /) -> list[Outcome]:
        """As `Backend.execute`."""
        ...

    def claims(self) -> Sequence[int]:
        """The tickets that the last batch gave a claim, to be woken."""
        ...

    def look(self, waiting: Mapping[int, Address], /) -> Collection[int]:
        """Which of the tickets ``waiting`` other processes gave a claim since the last look.

        Asked every few milliseconds, so it must be cheap where nothing happened. Too many
        tickets do no harm, and too few only make one wait for its own next look.
        """
        ...


class Line:
    """Who waits in this process, and where."""

    def __init__(self) -> None:
        self._addresses: dict[int, Address] = {}
        self._until: dict[int, float] = {}
        self._took = 0.0

    def __bool__(self) -> bool:
        return bool(self._addresses)

    def note(self, operations: Sequence[Asked], outcomes: Sequence[Outcome]) -> None:
        """Who joined the line, looked again, or left it, by what a batch came to."""
        for operation, outcome in zip(operations, outcomes, strict=False):
            if type(operation) is Acquire and type(outcome) is Queued:
                self._addresses[operation.ticket] = operation.address
                # Who has not looked for two of its intervals has lost its place.
                self._until[operation.ticket] = monotonic() + operation.look_every / 500
            elif self._addresses and isinstance(operation, (Acquire, Release)):
                self._leave(operation.ticket)

    def look(self, store: BlockingStore) -> Collection[int]:
        """Whom to wake, as ``store`` has it; they leave the line until they look again."""
        began = monotonic()
        for ticket in [ticket for ticket, until in self._until.items() if until < began]:
            self._leave(ticket)
        try:
            found = store.look(self._addresses) if self._addresses else ()
        except Exception:
            found = ()  # whoever waits looks by itself, too, and is told then what is wrong
        for ticket in found:
            self._leave(ticket)
        self._took = monotonic() - began
        return found

    def pause(self, store: BlockingStore) -> float:
        """How long, in seconds, until the next look: most of the store's time is for batches."""
        return max(store.poll_every, _ROOM * self._took)

    def _leave(self, ticket: int) -> None:
        self._addresses.pop(ticket, None)
        self._until.pop(ticket, None)
