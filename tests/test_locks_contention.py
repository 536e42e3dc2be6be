"""Many who want one lock: no update is lost, first come is first served, all come to their turn."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from sessiontracker import AsyncSessionTracker, SessionTracker, StaleSessionError
from tests.faulty import FaultyAsyncTracker, FaultyTracker, locks_left
from tests.trackers import MEMORY, Checkout

KEY = "order-42"


def stores_of(tracker: Any) -> dict[str, Any]:
    backends = {name: asker.backend for name, asker in tracker._askers.items()}
    return {name: getattr(backend, "inner", backend) for name, backend in backends.items()}


@pytest.mark.parametrize("make", [AsyncSessionTracker, FaultyAsyncTracker])
@pytest.mark.parametrize("arrangement", MEMORY[:2], ids="-".join)
async def test_10000_increments_by_256_tasks(arrangement: Any, make: Any) -> None:
    left = 10_000

    async def work(tracker: Any) -> None:
        nonlocal left
        while left:
            left -= 1
            async with tracker.get_locked(Checkout, KEY, wait=120) as session:
                session.count += 1

    async with make(arrangement.config(None)) as tracker:
        await tracker.start(Checkout(key=KEY))
        await asyncio.gather(*(work(tracker) for _ in range(256)))
        session = await tracker.get(Checkout, KEY)
        assert (session.count, session.version) == (10_000, 10_001)
        assert locks_left(stores_of(tracker)) == []


@pytest.mark.parametrize("make", [SessionTracker, FaultyTracker])
@pytest.mark.parametrize("arrangement", MEMORY[2:], ids="-".join)
def test_10000_increments_by_16_threads(arrangement: Any, make: Any) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(625):
                with tracker.get_locked(Checkout, KEY, wait=120) as session:
                    session.count += 1
        except BaseException as error:
            errors.append(error)

    with make(arrangement.config(None)) as tracker:
        tracker.start(Checkout(key=KEY))
        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        session = tracker.get(Checkout, KEY)
        assert (session.count, session.version) == (10_000, 10_001)
        assert locks_left(stores_of(tracker)) == []


async def test_increments_without_a_lock_are_all_there_or_stale() -> None:
    done = 0

    async def work(tracker: Any) -> None:
        nonlocal done
        for _ in range(50):
            session = await tracker.get(Checkout, KEY)
            await asyncio.sleep(0)
            session.count += 1
            try:
                await tracker.update(session)
            except StaleSessionError:
                continue
            done += 1

    async with FaultyAsyncTracker() as tracker:
        await tracker.start(Checkout(key=KEY))
        await asyncio.gather(*(work(tracker) for _ in range(20)))
        assert (await tracker.get(Checkout, KEY)).count == done
        assert 0 < done < 1_000


@pytest.mark.parametrize("arrangement", MEMORY[:2], ids="-".join)
async def test_first_come_is_first_served(arrangement: Any) -> None:
    served: list[int] = []

    async def work(tracker: Any, number: int) -> None:
        async with tracker.lock(Checkout, KEY, wait=60):
            served.append(number)
            await asyncio.sleep(0)

    async with AsyncSessionTracker(arrangement.config(None)) as tracker:
        async with tracker.lock(Checkout, KEY):
            tasks = [asyncio.create_task(work(tracker, number)) for number in range(50)]
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)
    assert served == list(range(50))


async def test_tokens_rise_from_holder_to_holder() -> None:
    tokens: list[int] = []

    async def work(tracker: Any) -> None:
        for _ in range(20):
            async with tracker.lock(Checkout, KEY, wait=60) as lock:
                tokens.append(lock.token)

    async with AsyncSessionTracker() as tracker:
        await asyncio.gather(*(work(tracker) for _ in range(20)))
    assert tokens == sorted(set(tokens))
    assert len(tokens) == 400


async def test_of_many_first_starts_one_wins_and_all_get_it() -> None:
    async with FaultyAsyncTracker() as tracker:
        calls = [tracker.get_or_start(Checkout(key=KEY, count=n)) for n in range(50)]
        sessions = await asyncio.gather(*calls)
        assert len({session.count for session in sessions}) == 1
        assert {session.version for session in sessions} == {1}
