"""A backend at its worst: around another one, it loses, refuses, delays and raises when told to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sessiontracker import AsyncSessionTracker, SessionTracker
from sessiontracker.backend import Asked, AsyncBackend, Backend
from sessiontracker.operations import NoAnswer, Outcome, Unavailable
from tests.trackers import _Awaited

__all__ = [
    "AsyncFaulty",
    "Faults",
    "Faulty",
    "FaultyAsyncTracker",
    "FaultyTracker",
    "faulty_tracker",
    "locks_left",
    "of",
]

Rule = Callable[[Asked], str]


def of(kind: type, *faults: str) -> Rule:
    """These faults, one each time that an operation of ``kind`` comes; then none."""
    left = list(faults)

    def rule(operation: Asked) -> str:
        return left.pop(0) if type(operation) is kind and left else ""

    return rule


class Faults:
    """What a faulty backend does to each operation, and a log of all that it was asked.

    A rule gives one of: ``"before"``: the request is lost; ``"after"``: it is carried out and
    the reply is lost; ``"away"``: the store cannot be reached; ``""``: nothing is wrong.
    """

    def __init__(self) -> None:
        self.rule: Rule = lambda operation: ""
        self.batches: list[list[Asked]] = []
        self.pauses = 0  # an asynchronous backend suspends so often in each call
        self.delay = 0.0
        self.error: BaseException | None = None
        self.answers: Callable[[list[Outcome]], Any] | None = None  # tampers with all of them
        self.busy = 0
        self.most_busy = 0
        self.opened = 0
        self.closed = 0

    @property
    def log(self) -> list[Asked]:
        return [operation for batch in self.batches for operation in batch]

    def asked(self, kind: type) -> list[Any]:
        """What was asked of ``kind``."""
        return [operation for operation in self.log if type(operation) is kind]

    def sort(self, operations: Sequence[Asked]) -> tuple[list[str], list[Asked]]:
        """The fault of each, and those that reach the store."""
        self.batches.append(list(operations))
        faults = [self.rule(operation) for operation in operations]
        pairs = zip(operations, faults, strict=True)
        return faults, [operation for operation, fault in pairs if fault in {"", "after"}]

    def answer(self, faults: list[str], done: list[Outcome]) -> Any:
        outcomes: list[Outcome] = []
        for fault in faults:
            outcome = done.pop(0) if fault in {"", "after"} else None
            if fault == "away":
                outcomes.append(Unavailable("the store is away"))
            elif fault or outcome is None:
                outcomes.append(NoAnswer("the connection broke"))
            else:
                outcomes.append(outcome)
        return outcomes if self.answers is None else self.answers(outcomes)


class AsyncFaulty(AsyncBackend):
    def __init__(self, inner: Any, faults: Faults, lanes: int = 1) -> None:
        self.inner = inner
        self.faults = faults
        self.lanes = lanes
        self.look_every = inner.look_every
        self.at_once = None

    async def open(self) -> None:
        await self._suspend()
        await self.inner.open()
        self.faults.opened += 1

    async def close(self) -> None:
        await self._suspend()
        await self.inner.close()
        self.faults.closed += 1

    async def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        faults = self.faults
        faults.busy += 1
        faults.most_busy = max(faults.most_busy, faults.busy)
        try:
            kinds, sound = faults.sort(operations)
            await self._suspend()
            if faults.error is not None:
                raise faults.error
            done = await self.inner.execute(sound)
            await self._suspend()
            answer: list[Outcome] = faults.answer(kinds, done)
            return answer
        finally:
            faults.busy -= 1

    async def wait(self, ticket: int, timeout: float) -> None:
        await self._suspend()
        await self.inner.wait(ticket, timeout)
        await self._suspend()

    async def _suspend(self) -> None:
        for _ in range(self.faults.pauses):
            await asyncio.sleep(0)
        if self.faults.delay:
            await asyncio.sleep(self.faults.delay)


class Faulty(Backend):
    def __init__(self, inner: Any, faults: Faults) -> None:
        self.inner = inner
        self.faults = faults
        self.look_every = inner.look_every
        self.at_once = None

    def open(self) -> None:
        self.faults.opened += 1
        self.inner.open()

    def close(self) -> None:
        self.faults.closed += 1
        self.inner.close()

    def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        faults = self.faults
        faults.busy += 1
        faults.most_busy = max(faults.most_busy, faults.busy)
        try:
            kinds, sound = faults.sort(operations)
            time.sleep(faults.delay)
            if faults.error is not None:
                raise faults.error
            answer: list[Outcome] = faults.answer(kinds, self.inner.execute(sound))
            return answer
        finally:
            faults.busy -= 1

    def wait(self, ticket: int, timeout: float) -> None:
        self.inner.wait(ticket, timeout)


class FaultyAsyncTracker(AsyncSessionTracker):
    """A tracker whose backends are faulty; ``faults`` and ``stores`` by the backends' names."""

    lanes = 1
    pauses = 0  # of each from the start

    def _opener(self, name: str) -> AsyncBackend:
        if not hasattr(self, "faults"):
            self.faults: dict[str, Faults] = {}
            self.stores: dict[str, Any] = {}
        inner = super()._opener(name)
        self.stores[name] = inner
        faults = self.faults.get(name)
        if faults is None:
            faults = self.faults[name] = Faults()
            faults.pauses = self.pauses
        return AsyncFaulty(inner, faults, self.lanes)


class FaultyTracker(SessionTracker):
    """As `FaultyAsyncTracker`."""

    def _opener(self, name: str) -> Backend:
        if not hasattr(self, "faults"):
            self.faults: dict[str, Faults] = {}
            self.stores: dict[str, Any] = {}
        inner = super()._opener(name)
        self.stores[name] = inner
        return Faulty(inner, self.faults.setdefault(name, Faults()))


@asynccontextmanager
async def faulty_tracker(mode: str, config: dict[str, Any]) -> AsyncIterator[Any]:
    """A tracker, its backend's faults, and the stores behind them."""
    if mode == "async":
        async with FaultyAsyncTracker(config) as tracker:
            yield tracker, tracker.faults["memory"], tracker.stores
    else:
        with FaultyTracker(config) as tracker:
            yield _Awaited(tracker), tracker.faults["memory"], tracker.stores


def locks_left(stores: dict[str, Any]) -> list[Any]:
    """The leases and queues that in-memory stores still hold."""
    return [
        key.lock
        for backend in stores.values()
        for slot in backend._store.slots.values()
        for key in slot.keys.values()
        if key.lock is not None and (key.lock.lease is not None or key.lock.queue)
    ]
