"""Hints to look again: who waits in this process, and who has been woken."""

from __future__ import annotations

from collections.abc import Iterator

from ..operations import Acquire, Operation, Outcome, Queued, Release
from .runtime import AsyncEvent, sleep

__all__ = ["AsyncWakes"]


class AsyncWakes:
    """An event for each ticket that is in line. A hint that comes before the wait is kept."""

    def __init__(self) -> None:
        self._events: dict[int, AsyncEvent] = {}

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[int]:
        return iter(self._events)

    def note(self, operation: Operation, outcome: Outcome) -> None:
        """Begin or end to expect hints, as ``outcome`` of ``operation`` has it."""
        if type(operation) is Acquire:
            if type(outcome) is Queued:
                if operation.ticket not in self._events:
                    self._events[operation.ticket] = AsyncEvent()
            else:
                self._events.pop(operation.ticket, None)
        elif type(operation) is Release:
            self._events.pop(operation.ticket, None)

    def wake(self, ticket: int) -> None:
        event = self._events.get(ticket)
        if event is not None:
            event.set()

    def wake_all(self) -> None:
        """Everybody looks again, and finds what has become of the backend."""
        for event in list(self._events.values()):  # threads come and go meanwhile
            event.set()

    async def wait(self, ticket: int, timeout: float) -> bool:
        """Whether ``ticket`` was woken within ``timeout`` seconds; the hint is used up."""
        event = self._events.get(ticket)
        if event is None:
            await sleep(timeout)
            return False
        woken = await event.wait(timeout)
        event.clear()
        return woken
