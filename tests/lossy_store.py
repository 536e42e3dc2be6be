"""A store on a network at its worst: it loses requests and replies, repeats and delays them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from sessiontracker.backend import AsyncCompareAndSwapBackend


class Server:
    """What the store keeps: each blob with its tag."""

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        self.blobs: dict[str, tuple[bytes, int]] = {}
        self.clock = clock
        self.changes = 0

    def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
        if self.blobs.get(slot, (b"", 0))[1] != if_tag:
            return False
        self.changes += 1
        if blob is None:
            self.blobs.pop(slot, None)
        else:
            self.blobs[slot] = (blob, self.changes)
        return True


class LossyStore(AsyncCompareAndSwapBackend):
    """A client of ``server``; a share of ``loss`` of all that it sends or receives goes astray."""

    def __init__(self, server: Server, loss: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        self.server = server
        self.loss = loss
        self.random = Random(seed)

    def astray(self) -> bool:
        return self.random.random() < self.loss

    async def load(self, slot: str) -> tuple[bytes | None, int, int | None]:
        await asyncio.sleep(0)
        if self.astray():
            raise ConnectionError("lost")
        blob, tag = self.server.blobs.get(slot, (None, 0))
        return blob, tag, None if self.server.clock is None else self.server.clock()

    async def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
        await asyncio.sleep(0)
        if self.astray():
            raise ConnectionError("the request was lost")
        if self.astray():
            later = self.random.uniform(0, 0.05)
            asyncio.get_running_loop().call_later(later, self.server.store, slot, blob, if_tag)
            raise TimeoutError("the request is delayed")
        stored = self.server.store(slot, blob, if_tag)
        if self.astray():
            self.server.store(slot, blob, if_tag)  # the network repeats it
        if self.astray():
            raise ConnectionError("the reply was lost")
        return stored

    async def slots(self, after: str, limit: int) -> Sequence[str]:
        return sorted(name for name in self.server.blobs if name > after)[:limit]
