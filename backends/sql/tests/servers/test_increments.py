"""Several processes count up one session: nothing is lost, and nobody sees a deadlock.

The full size is ``nox -s soak``.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sessiontracker import AsyncSessionTracker, Session, SessionTracker, StaleSessionError

SOAK = "SESSIONTRACKER_SOAK" in os.environ
PROCESSES = 4 if SOAK else 2


class Tally(Session):
    count: int = 0


def size(url: str) -> tuple[int, int]:
    """How many tasks a process has, and how often each of them counts."""
    if not SOAK:
        return 4, 10
    return (25, 100) if url.startswith("postgres") else (25, 20)


async def count_up(url: str, prefix: str, manner: str, tasks: int, times: int) -> None:
    async with AsyncSessionTracker(backend="sql", url=url, table_prefix=prefix) as tracker:

        async def under_the_lock() -> None:
            async with tracker.get_locked(Tally, "tally", wait="150s") as tally:
                tally.count += 1

        async def by_version() -> None:
            while True:
                tally = await tracker.get(Tally, "tally")
                tally.count += 1
                try:
                    await tracker.update(tally)
                except StaleSessionError:
                    await asyncio.sleep(0)
                else:
                    return

        async def one() -> None:
            for _ in range(times):
                await (under_the_lock() if manner == "locked" else by_version())

        async with asyncio.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(one())


@pytest.fixture
def tracker(url: str, prefix: str) -> Iterator[SessionTracker]:
    with SessionTracker(backend="sql", url=url, table_prefix=prefix) as tracker:
        tracker.start(Tally(key="tally"))
        yield tracker


@pytest.mark.parametrize("manner", ["locked", "versioned"])
def test_no_increment_is_lost(tracker: SessionTracker, url: str, prefix: str, manner: str) -> None:
    tasks, times = size(url)
    command = [sys.executable, __file__, url, prefix, manner, str(tasks), str(times)]
    processes = [subprocess.Popen(command) for _ in range(PROCESSES)]
    try:
        assert [process.wait() for process in processes] == [0] * PROCESSES
    finally:
        for process in processes:
            process.kill()
            process.wait()
    tally = tracker.get(Tally, "tally")
    assert tally.count == PROCESSES * tasks * times
    assert tally.version == 1 + tally.count


if __name__ == "__main__":
    url, prefix, manner, *numbers = sys.argv[1:]
    asyncio.run(count_up(url, prefix, manner, *map(int, numbers)))
