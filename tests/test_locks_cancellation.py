"""Cancellation at every suspension point of every call leaks nothing and harms no neighbour."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from sessiontracker import AsyncSessionTracker, SessionTrackerError
from tests.faulty import FaultyAsyncTracker, locks_left
from tests.trackers import MEMORY, Checkout

KEY = "order-42"
SECOND = "order-43"
Call = Callable[[Any], Awaitable[Any]]


async def _get_locked(tracker: Any) -> None:
    async with tracker.get_locked(Checkout, KEY) as session:
        session.count += 1


async def _get_locked_unchanged(tracker: Any) -> None:
    async with tracker.get_locked(Checkout, KEY):
        pass


async def _get_locked_missing(tracker: Any) -> None:
    async with tracker.get_locked(Checkout, "new", missing=Checkout()) as session:
        session.count += 1


async def _get_locked_of_nothing(tracker: Any) -> None:
    async with tracker.get_locked(Checkout, "none"):
        pass


async def _get_locked_raising(tracker: Any) -> None:
    async with tracker.get_locked(Checkout, KEY):
        raise SessionTrackerError("mine")


async def _every_write_under_the_lock(tracker: Any) -> None:
    async with tracker.get_locked(Checkout, KEY) as session:
        session.count += 1
        await tracker.update(session)
        await tracker.finish(session)
        await tracker.resume(session)
        await tracker.rotate(session)


async def _lock(tracker: Any) -> None:
    async with tracker.lock(Checkout, KEY) as lock:
        await tracker.finish(Checkout, KEY, lock=lock)


async def _two_locks(tracker: Any) -> None:
    async with tracker.lock(Checkout, KEY), tracker.get_locked(Checkout, SECOND) as session:
        session.count += 1


async def _waiting(tracker: Any) -> None:
    """It waits for somebody who lets go, and gets the lock."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with tracker.lock(Checkout, KEY):
            entered.set()
            await leave.wait()

    holder = asyncio.create_task(hold())
    try:
        await entered.wait()
        asyncio.get_running_loop().call_later(0.01, leave.set)
        async with tracker.get_locked(Checkout, KEY) as session:
            session.count += 1
    finally:
        leave.set()
        await asyncio.wait([holder])


async def _waiting_in_vain(tracker: Any) -> None:
    async with tracker.lock(Checkout, KEY), tracker.lock(Checkout, KEY, wait=0.01):
        pass


async def _update(tracker: Any) -> None:
    session = await tracker.get(Checkout, KEY)
    await tracker.update(session)


async def _rotate(tracker: Any) -> None:
    session = await tracker.get(Checkout, KEY)
    await tracker.rotate(session)


async def _scan(tracker: Any) -> None:
    async for _ in tracker.scan(Checkout):
        pass


CALLS: dict[str, Call] = {
    "start": lambda tracker: tracker.start(Checkout(key="new")),
    "get_or_start": lambda tracker: tracker.get_or_start(Checkout(key="new")),
    "get": lambda tracker: tracker.get(Checkout, KEY),
    "get_many": lambda tracker: tracker.get_many(Checkout, [KEY, SECOND, "none"]),
    "touch": lambda tracker: tracker.touch(Checkout, KEY),
    "finish": lambda tracker: tracker.finish(Checkout, KEY),
    "delete": lambda tracker: tracker.delete(Checkout, KEY),
    "resume": lambda tracker: tracker.resume(Checkout, "finished"),
    "get_finished": lambda tracker: tracker.get_finished(Checkout, "finished"),
    "reap": lambda tracker: tracker.reap(),
    "ping": lambda tracker: tracker.ping(),
    "update": _update,
    "rotate": _rotate,
    "scan": _scan,
    "get_locked": _get_locked,
    "get_locked unchanged": _get_locked_unchanged,
    "get_locked missing": _get_locked_missing,
    "get_locked of nothing": _get_locked_of_nothing,
    "get_locked raising": _get_locked_raising,
    "every write under the lock": _every_write_under_the_lock,
    "lock": _lock,
    "two locks": _two_locks,
    "waiting": _waiting,
    "waiting in vain": _waiting_in_vain,
}


class Struck:
    """Awaits ``call``, whose task is cancelled ``turns`` of the loop after its ``point``-th
    suspension; ``seen`` counts the suspensions."""

    def __init__(self, call: Awaitable[Any], point: int, turns: int) -> None:
        self.call = call
        self.point = point
        self.turns = turns
        self.seen = 0
        self.fired = False

    def __await__(self) -> Generator[Any, Any, Any]:
        inner: Any = self.call.__await__()
        go, value = inner.send, None
        while True:
            try:
                waited = go(value)
            except StopIteration as end:
                return end.value
            self.seen += 1
            if self.seen == self.point:
                self._strike(asyncio.current_task(), self.turns)
            try:
                value = yield waited
                go = inner.send
            except BaseException as error:
                go, value = inner.throw, error

    def _strike(self, task: Any, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._strike, task, turns - 1)
        else:
            self.fired = task.cancel()

    async def run(self) -> Any:
        return await self

    @property
    def is_beyond(self) -> bool:
        """Whether the call ended before it came to the point."""
        return self.seen < self.point


# How far into a suspension it strikes: an operation may be gathered, under way, or answered.
TURNS = (0, 1, 2, 3, 4, 5, 7)


@pytest.mark.parametrize("arrangement", MEMORY[:2], ids="-".join)
@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_at_every_point(arrangement: Any, name: str, turns: int) -> None:
    point = 0
    while True:
        point += 1
        async with FaultyAsyncTracker(arrangement.config(None)) as tracker:
            for key in (KEY, SECOND, "finished"):
                await tracker.start(Checkout(key=key))
            await tracker.finish(Checkout, "finished")
            neighbour = await tracker.start(Checkout(key="neighbour"))
            for faults in tracker.faults.values():
                faults.pauses = 2
            struck = Struck(CALLS[name](tracker), point, turns)
            task = asyncio.create_task(struck.run())
            beside = asyncio.create_task(tracker.update(neighbour))
            await asyncio.wait([task])
            if struck.fired:
                assert task.cancelled(), f"the cancellation at {point} was swallowed"
            elif (error := task.exception()) is not None:
                assert isinstance(error, SessionTrackerError), error
            assert (await beside).version == 2
            # Whoever comes next gets its lock at once, whatever was struck.
            for key in (KEY, SECOND, "new", "none"):
                async with tracker.lock(Checkout, key, wait=5):
                    pass
            assert not tracker._keeper._held
            stores = tracker.stores
            tickets = [len(store._wakes) for store in stores.values()]
        assert locks_left(stores) == [], f"cancelled at {point}"
        assert tickets == [0] * len(stores), f"cancelled at {point}"
        assert asyncio.all_tasks() == {asyncio.current_task()}, f"cancelled at {point}"
        if struck.is_beyond:
            break
    assert point > 1


@pytest.mark.parametrize("arrangement", MEMORY[:2], ids="-".join)
@pytest.mark.parametrize("turns", TURNS)
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
            struck = Struck(tracker.rotate(session), point, turns)
            await asyncio.wait([asyncio.create_task(struck.run())])
            await tracker.ping()  # behind what was cleaned up
            found = [found async for found in tracker.scan(Checkout)]
            assert [found.count for found in found] == [7], f"cancelled at {point}"
            assert found[0].id == session.id
            assert (await tracker.update(session)).version >= 2
        if struck.is_beyond:
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
    async with FaultyAsyncTracker() as tracker:
        await tracker.start(Checkout(key=KEY))
        tracker.faults["memory"].delay = 0.5
        task = asyncio.create_task(_get_locked(tracker))
        await asyncio.sleep(0.1)
        task.cancel()
        _, pending = await asyncio.wait([task], timeout=0.2)
        assert not pending
        assert task.cancelled()
        tracker.faults["memory"].delay = 0
    assert locks_left(tracker.stores) == []
