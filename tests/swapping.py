"""Stores that compare and swap, and how to ask them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from sessiontracker.backend import CompareAndSwapBackend
from sessiontracker.operations import (
    Address,
    Found,
    Outcome,
    Saved,
)
from tests.lossy_store import LossyStore, Server

__all__ = ["HERE", "Scripted", "Threads", "ask", "stamp_of"]


HERE = Address("checkout", "", "korder-42")


class Threads(CompareAndSwapBackend):
    """The same store for threads, which loses nothing."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.mutex = threading.Lock()

    def load(self, slot: str) -> tuple[bytes | None, int, int | None]:
        with self.mutex:
            blob, tag = self.server.blobs.get(slot, (None, 0))
            return blob, tag, None if self.server.clock is None else self.server.clock()

    def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
        with self.mutex:
            return self.server.store(slot, blob, if_tag)

    def slots(self, after: str, limit: int) -> Sequence[str]:
        with self.mutex:
            return sorted(name for name in self.server.blobs if name > after)[:limit]


class Scripted(LossyStore):
    """Loses nothing but what it is told to: each ``store`` takes the next of ``fates``."""

    def __init__(self, server: Server, *fates: str) -> None:
        super().__init__(server)
        self.fates = list(fates)
        self.delayed: list[Callable[[], bool]] = []
        self.loads = 0
        self.stores = 0

    async def load(self, slot: str) -> tuple[bytes | None, int, int | None]:
        self.loads += 1
        return await super().load(slot)

    async def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
        self.stores += 1
        fate = self.fates.pop(0) if self.fates else "done"
        if fate == "before":
            raise ConnectionError("the request was lost")
        if fate == "late":
            self.delayed.append(lambda: self.server.store(slot, blob, if_tag))
            raise TimeoutError("the request is delayed")
        stored = await super().store(slot, blob, if_tag)
        if fate == "after":
            raise ConnectionError("the reply was lost")
        return stored


async def ask(backend: Any, operation: Any) -> Outcome:
    outcome: Outcome
    [outcome] = await backend.execute([operation])
    return outcome


def stamp_of(outcome: Outcome) -> Any:
    assert isinstance(outcome, (Saved, Found)), outcome
    return outcome.meta.stamp
