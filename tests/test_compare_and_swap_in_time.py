"""What lapses in a compare-and-swap store while somebody, who was in time, stores that it does not.

Nobody may be told that something has gone, and find it there afterwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sessiontracker.operations import (
    Address,
    Found,
    Missing,
    Operation,
    Outcome,
    Read,
    Saved,
    Start,
    Touch,
)
from tests.clock import Clock
from tests.lossy_store import LossyStore, Server

HERE = Address("checkout", "", "korder-42")
IDLE = 10_000  # ms


class HeldUp(LossyStore):
    """A client that is held up once, when it has loaded a blob, or is about to store one."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.loaded: Callable[[], Awaitable[None]] | None = None
        self.storing: Callable[[], Awaitable[None]] | None = None
        self.stores = 0

    async def load(self, slot: str) -> tuple[bytes | None, int, int | None]:
        blob, tag, clock = await super().load(slot)
        meanwhile, self.loaded = self.loaded, None
        if meanwhile is not None:
            await meanwhile()
            clock = self.server.clock and self.server.clock()
        return blob, tag, clock

    async def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
        self.stores += 1
        meanwhile, self.storing = self.storing, None
        if meanwhile is not None:
            await meanwhile()
        return await super().store(slot, blob, if_tag)


@pytest.fixture
def server(clock: Clock) -> Server:
    return Server(clock)


async def ask(backend: Any, operation: Operation) -> Outcome:
    [outcome] = await backend.execute([operation])
    return outcome


async def test_a_session_that_was_said_to_be_missing_is_not_slid(
    server: Server, clock: Clock
) -> None:
    backend, other = HeldUp(server), LossyStore(server)
    await ask(backend, Start(HERE, 1, b"0", idle=IDLE))
    clock.now += (IDLE - 1) * 1000

    async def expired() -> None:
        clock.now += 1000
        assert await ask(other, Read(HERE)) == Missing()

    backend.storing = expired
    assert await ask(backend, Touch(HERE)) == Missing()
    assert await ask(other, Read(HERE)) == Missing()


async def test_one_that_was_slid_behind_who_read_it_is_not_said_to_be_missing(
    server: Server, clock: Clock
) -> None:
    backend, other = HeldUp(server), LossyStore(server)
    await ask(backend, Start(HERE, 1, b"0", idle=IDLE))

    async def slid() -> None:
        clock.now += (IDLE - 1) * 1000
        assert isinstance(await ask(other, Touch(HERE)), Saved)
        clock.now += 1000

    backend.loaded = slid
    assert isinstance(await ask(backend, Read(HERE)), Found)


async def test_only_the_first_who_misses_it_stores_that(server: Server, clock: Clock) -> None:
    backend = HeldUp(server)
    await ask(backend, Start(HERE, 1, b"0", idle=IDLE))
    clock.now += (IDLE - 1) * 1000
    stores = []
    for _ in range(3):
        before = backend.stores
        await ask(backend, Read(HERE))
        stores.append(backend.stores - before)
        clock.now += 1000
    assert stores == [0, 1, 0]
