"""What is measured under load: of waiters, of locks that are held, and of sessions.

Each is a coroutine of a place and a count, and gives figures by their names. Times are in µs for
one, bytes are for one, and a stand is the longest time for which the event loop had no turn for
anybody else, in ms of its own CPU time, so that other processes do not count.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from time import perf_counter, thread_time
from typing import Any, Self

from sessiontracker import AsyncSessionTracker, Session

from .load_places import Place

__all__ = ["MEASURES", "Figures"]

Figures = dict[str, float]

LEASE = 300.0  # s
WORKERS = 250  # tasks that ask at once
AT_ONCE = 25  # tasks that begin in one turn of the loop
IN_A_LINE = 100  # waiters on one key
LOOKED = 5.0  # s that waiters wait


class Cart(Session):
    items: list[str] = ["book", "pen"]
    note: str = "leave it at the door"
    count: int = 0


def resident() -> int:
    """Bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Stand:
    """For how long others had no turn, while it is entered."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        return self

    async def _watch(self) -> None:
        self._last = thread_time()
        while True:
            await asyncio.sleep(0.001)
            self._look()

    def _look(self) -> None:
        now = thread_time()
        self.longest, self._last = max(self.longest, (now - self._last) * 1e3), now

    async def __aexit__(self, *raised: object) -> None:
        assert self._task is not None
        self._task.cancel()
        self._look()


async def spread(count: int, work: Callable[[int], Coroutine[Any, Any, object]]) -> float:
    """Have `WORKERS` tasks do ``work`` for each number below ``count``: µs for one."""
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            await work(number)

    began = perf_counter()
    await asyncio.gather(*(some() for _ in range(min(WORKERS, count))))
    return (perf_counter() - began) / count * 1e6


# Waiters ----------------------------------------------------------------------


async def waiters(place: Place, count: int, in_a_line: int = IN_A_LINE) -> Figures:
    """``count`` tasks in line for locks, so many on each key."""
    keys = [f"seat {number}" for number in range(max(1, count // in_a_line))]
    async with AsyncSessionTracker(**place.options) as tracker:
        in_line = _counted_when_they_wait(tracker, count)
        let_go = await _hold(tracker, keys)
        before = resident()
        began = perf_counter()
        async with Stand() as joining:
            tasks = []
            for number in range(count):
                tasks.append(asyncio.create_task(_pass(tracker, keys[number % len(keys)])))
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
            await in_line.wait()
        joined = perf_counter() - began
        grown = resident() - before
        used = thread_time()
        await asyncio.sleep(LOOKED)
        used = thread_time() - used
        async with Stand() as waiting:
            await asyncio.sleep(LOOKED)
        began = perf_counter()
        async with Stand() as passing:
            await let_go()
            await asyncio.gather(*tasks)
        passed = perf_counter() - began
    return {
        "bytes": grown / count,
        "join µs": joined / count * 1e6,
        "pass on µs": passed / count * 1e6,
        "% of a core": used / LOOKED * 100,
        "joining stand ms": joining.longest,
        "waiting stand ms": waiting.longest,
        "passing stand ms": passing.longest,
    }


async def one_line(place: Place, count: int) -> Figures:
    """``count`` tasks in line for one lock."""
    return await waiters(place, count, in_a_line=count)


async def _pass(tracker: AsyncSessionTracker, key: str) -> None:
    async with tracker.lock(Cart, key, lease=LEASE, wait=None):
        pass


async def _hold(tracker: AsyncSessionTracker, keys: list[str]) -> Callable[[], Awaitable[None]]:
    """Hold all of ``keys``, each by a task of its own; how to let go of them."""
    over, all_taken = asyncio.Event(), asyncio.Event()
    taken = 0

    async def hold(key: str) -> None:
        nonlocal taken
        async with tracker.lock(Cart, key, lease=LEASE):
            taken += 1
            if taken == len(keys):
                all_taken.set()
            await over.wait()

    tasks = [asyncio.create_task(hold(key)) for key in keys]
    await all_taken.wait()

    async def let_go() -> None:
        over.set()
        await asyncio.gather(*tasks)

    return let_go


def _counted_when_they_wait(tracker: AsyncSessionTracker, count: int) -> asyncio.Event:
    """Set when so many tickets are waited with."""
    [asker] = tracker._askers.values()
    wait, tickets, all_wait = asker.backend.wait, set[int](), asyncio.Event()

    async def counted(ticket: int, timeout: float) -> None:
        tickets.add(ticket)
        if len(tickets) == count:
            all_wait.set()
        await wait(ticket, timeout)

    asker.backend.wait = counted  # type: ignore[method-assign]
    return all_wait


# Locks ------------------------------------------------------------------------


async def held(place: Place, count: int) -> Figures:
    """``count`` locks, held until each has been renewed."""
    async with AsyncSessionTracker(**place.options) as tracker, AsyncExitStack() as stack:
        before, outside = resident(), place.size()
        locks: list[Any] = []

        async def take(number: int) -> None:
            lock = tracker.lock(Cart, f"{number}", lease=LEASE)
            locks.append(await stack.enter_async_context(lock))

        async with Stand() as taking:
            taken = await spread(count, take)
        grown, grown_outside = resident() - before, place.size() - outside
        # Counted down, it is due at a third, and then is whole again.
        await asyncio.sleep(max(0.0, min(lock.expires_in for lock in locks) - LEASE * 2 / 3 - 1))
        used = thread_time()
        async with Stand() as renewing:
            await asyncio.sleep(max(lock.expires_in for lock in locks) - LEASE * 2 / 3 + 1)
            await _until(lambda: locks[-1].expires_in > LEASE * 2 / 3 + 1)
        used = thread_time() - used
        if any(lock.lost for lock in locks):
            raise RuntimeError("a lock was lost")
        await _until(lambda: min(lock.expires_in for lock in locks) > LEASE * 2 / 3)
        began = perf_counter()
        await stack.aclose()
        let_go = perf_counter() - began
    return {
        "bytes": grown / count,
        "bytes in the store": grown_outside / count,
        "take µs": taken,
        "renew µs of CPU": used / count * 1e6,
        "let go µs": let_go / count * 1e6,
        "taking stand ms": taking.longest,
        "renewing stand ms": renewing.longest,
    }


async def _until(condition: Callable[[], bool]) -> None:
    end = perf_counter() + LEASE / 3
    while not condition():
        if perf_counter() > end:
            raise RuntimeError("a lock was not renewed")
        await asyncio.sleep(0.25)


# Sessions ---------------------------------------------------------------------


async def sessions(place: Place, count: int) -> Figures:
    """``count`` live ones: started, and some of them read, saved and locked; then all scanned."""
    async with AsyncSessionTracker(**place.options) as tracker:
        await tracker.start(Cart(key="first"))
        before, outside = resident(), place.size()
        random, some = Random(1), min(count, 10_000)

        async def start(number: int) -> None:
            await tracker.start(Cart(key=f"{number}"), idle_timeout="1d")

        async def get(_: int) -> None:
            await tracker.get(Cart, f"{random.randrange(count)}")

        async def save(number: int) -> None:
            async with tracker.get_locked(Cart, f"{number * (count // some)}") as cart:
                cart.count += 1

        started = await spread(count, start)
        grown, grown_outside = resident() - before, place.size() - outside
        read, saved = await spread(some, get), await spread(some, save)
        began, seen = perf_counter(), 0
        async for _ in tracker.scan(Cart):
            seen += 1
        scanned = perf_counter() - began
        if seen != count + 1:
            raise RuntimeError(f"{seen} sessions, and {count + 1} were started")
    return {
        "bytes": grown / count,
        "bytes in the store": grown_outside / count,
        "start µs": started,
        "get µs": read,
        "get_locked µs": saved,
        "scan µs": scanned / seen * 1e6,
    }


MEASURES: dict[str, Callable[[Place, int], Coroutine[Any, Any, Figures]]] = {
    "waiters": waiters,
    "one_line": one_line,
    "held": held,
    "sessions": sessions,
}
