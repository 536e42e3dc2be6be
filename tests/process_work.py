"""What the processes of ``test_processes.py`` do: run as ``python process_work.py ROLE URL …``.

Each prints a line when it is ready or done, so that the test waits for what happens and not
for time to pass.
"""

from __future__ import annotations

import asyncio
import sys
import time

from sessiontracker import AsyncSessionTracker, Session


class Tally(Session):
    count: int = 0


async def increment(tracker: AsyncSessionTracker, tasks: int, times: int) -> None:
    """``tasks`` at once, each counting up ``times`` times under the lock."""

    async def one() -> None:
        for _ in range(times):
            async with tracker.get_locked(Tally, "tally", wait="120s") as tally:
                tally.count += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(one())


async def hold(tracker: AsyncSessionTracker, lease: str) -> None:
    """Hold the lock until killed."""
    async with tracker.get_locked(Tally, "tally", lease=lease):
        say("held")
        await asyncio.Event().wait()


async def wait_for(tracker: AsyncSessionTracker) -> None:
    """Wait for the lock; say when it was had."""
    say("waiting")
    async with tracker.get_locked(Tally, "tally", wait="60s"):
        say(f"had {time.time()}")


def say(line: str) -> None:
    print(line, flush=True)


async def main() -> None:
    role, backend, url, *arguments = sys.argv[1:]
    async with AsyncSessionTracker(backend=backend, url=url) as tracker:
        if role == "increment":
            await increment(tracker, *map(int, arguments))
            say("done")
        elif role == "hold":
            await hold(tracker, arguments[0])
        else:
            await wait_for(tracker)


if __name__ == "__main__":
    asyncio.run(main())
