"""Many waiters that are cancelled, and a store that is slow: nothing is left, nobody is held up.

Every call, cancelled at every await, is in ``tests/sweep``.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from sessiontracker import AsyncSessionTracker
from tests.faulty import FaultyAsyncTracker, locks_left
from tests.sweep.striking import Moment, struck
from tests.trackers import MEMORY, Checkout

KEY = "order-42"


@pytest.mark.parametrize("arrangement", MEMORY[:2], ids="-".join)
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4, 5, 7])
async def test_a_rotation_cancelled_at_every_point_loses_no_session(
    arrangement: Any, turns: int
) -> None:
    point = 0
    while True:
        point += 1
        async with FaultyAsyncTracker(arrangement.config(None)) as tracker:
            session = await tracker.start(Checkout(key=KEY, count=7))
            for faults in tracker.faults.values():
                faults.pauses = 2
            done = await struck(tracker.rotate(session), point, Moment(turns))
            await tracker.ping()  # behind what was cleaned up
            found = [found async for found in tracker.scan(Checkout)]
            assert [found.count for found in found] == [7], f"cancelled at {point}"
            assert found[0].id == session.id
            assert (await tracker.update(session)).version >= 2
        if done.is_beyond:
            break
    assert point > 2


@pytest.mark.parametrize("make", [AsyncSessionTracker, FaultyAsyncTracker])
@pytest.mark.parametrize("arrangement", MEMORY[:2], ids="-".join)
async def test_of_200_waiters_cancelled_at_random_nothing_is_left(
    arrangement: Any, make: Any
) -> None:
    dice = random.Random(3)
    done = 0

    async def wait(tracker: Any) -> None:
        nonlocal done
        async with tracker.get_locked(Checkout, KEY, wait=60) as session:
            session.count += 1
            await asyncio.sleep(0)
        done += 1

    async with make(arrangement.config(None)) as tracker:
        await tracker.start(Checkout(key=KEY))
        backends = [asker.backend for asker in tracker._askers.values()]
        stores = {n: getattr(backend, "inner", backend) for n, backend in enumerate(backends)}
        async with tracker.lock(Checkout, KEY):
            tasks = [asyncio.create_task(wait(tracker)) for _ in range(200)]
            await asyncio.sleep(0.02)
            for task in dice.sample(tasks, 60):
                task.cancel()
        for task in dice.sample(tasks, 140):
            task.cancel()
            await asyncio.sleep(dice.choice([0, 0, 0.001]))
        await asyncio.wait(tasks)
        cancelled = sum(task.cancelled() for task in tasks)
        assert done > 0
        assert cancelled > 60
        count = (await tracker.get(Checkout, KEY)).count
        # One cancelled while it saved may have saved: nobody else may.
        assert done <= count <= 200 - 60
        async with tracker.lock(Checkout, KEY, wait=5):
            pass
        assert locks_left(stores) == []
        assert [len(store._wakes) for store in stores.values()] == [0] * len(stores)
        assert not tracker._keeper._held


async def test_the_cancellation_is_delivered_at_once_though_the_store_is_slow() -> None:
    async def count_up() -> None:
        async with tracker.get_locked(Checkout, KEY) as session:
            session.count += 1

    async with FaultyAsyncTracker() as tracker:
        await tracker.start(Checkout(key=KEY))
        tracker.faults["memory"].delay = 0.5
        task = asyncio.create_task(count_up())
        await asyncio.sleep(0.1)
        task.cancel()
        _, pending = await asyncio.wait([task], timeout=0.2)
        assert not pending
        assert task.cancelled()
        tracker.faults["memory"].delay = 0
    assert locks_left(tracker.stores) == []
