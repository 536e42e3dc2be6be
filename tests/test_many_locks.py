"""Many locks in one process: what one of them costs does not grow with the others."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any

import pytest

from sessiontracker import AsyncSessionTracker
from sessiontracker.memory import AsyncMemoryBackend
from sessiontracker.operations import Acquire, Renew
from tests.faulty import FaultyAsyncTracker
from tests.trackers import Checkout

FEW, MANY = 20, 4_000


async def hold(
    stack: AsyncExitStack, tracker: AsyncSessionTracker, count: int, **named: Any
) -> None:
    for number in range(count):
        await stack.enter_async_context(tracker.lock(Checkout, f"held {number}", **named))


async def cost_of_waiting_beside(count: int) -> float:
    """Seconds that it takes to look whether who waits waits for itself, at the least."""
    async with AsyncSessionTracker() as tracker, AsyncExitStack() as stack:
        await hold(stack, tracker, count)
        store = await tracker._store(Checkout)
        address = store.binding.address("wanted", None, None)
        took = []
        for _ in range(20):
            began = perf_counter()
            assert not tracker._keeper.is_held_here(address)
            took.append(perf_counter() - began)
        return min(took)


async def test_one_who_waits_does_not_search_the_locks_that_are_held() -> None:
    few, many = await cost_of_waiting_beside(FEW), await cost_of_waiting_beside(MANY)
    assert many < 20 * few  # 200 times as many


async def looks_beside(count: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """How often in its store's own interval one of ``count`` who wait for a lock looks again."""
    every = 0.1
    monkeypatch.setattr(AsyncMemoryBackend, "look_every", every)
    async with FaultyAsyncTracker() as tracker:

        async def enter() -> None:
            async with tracker.lock(Checkout, "wanted"):
                pass

        async with tracker.lock(Checkout, "wanted"):
            waiting = [asyncio.create_task(enter()) for _ in range(count)]
            await asyncio.sleep(4 * every)  # until it is known how many they are
            before = len(tracker.faults["memory"].asked(Acquire))
            await asyncio.sleep(30 * every)
            looks = len(tracker.faults["memory"].asked(Acquire)) - before
        await asyncio.gather(*waiting)
    return looks / count / 30


async def test_where_many_wait_each_looks_the_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = await looks_beside(5, monkeypatch), await looks_beside(250, monkeypatch)
    assert 0 < many < few / 2


async def renewed_in_turns(tracker: AsyncSessionTracker, count: int) -> list[list[Renew]]:
    """What is renewed in each turn of the loop, when all locks of ``tracker`` come due at once,
    until there are ``count``."""
    turns: list[list[Renew]] = [[]]
    asker = tracker._askers["memory"]
    at_once: Any = asker.at_once

    def noted(operation: Any) -> Any:
        if type(operation) is Renew:
            turns[-1].append(operation)
        return at_once(operation)

    asker.at_once = noted
    renewals = tracker._keeper._renewals[asker]
    for queue in renewals._queues.values():
        for held in queue:
            held.renew_at = 0
    renewals._changed.set()
    while sum(map(len, turns)) < count:
        turns.append([])
        await asyncio.sleep(0)
    return turns


async def test_renewals_of_many_locks_leave_the_loop_its_turns() -> None:
    async with AsyncSessionTracker() as tracker, AsyncExitStack() as stack:
        await hold(stack, tracker, MANY)
        turns = await renewed_in_turns(tracker, MANY)
        assert max(map(len, turns)) <= MANY // 4


async def test_a_short_lease_is_renewed_before_many_long_ones() -> None:
    async with AsyncSessionTracker() as tracker, AsyncExitStack() as stack:
        await hold(stack, tracker, MANY, lease="60s")
        await stack.enter_async_context(tracker.lock(Checkout, "short", lease="20s"))
        first = next(turn for turn in await renewed_in_turns(tracker, MANY) if turn)
        assert 20_000 in [renewal.lease for renewal in first]
