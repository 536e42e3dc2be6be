"""Many at once on one owner: python -m benchmarks.one_owner STORE [SECONDS]

With ``scripts`` on PYTHONPATH; the store is on a server of its own, as those of `load_places`.

Four processes of unequal priority (as ``nice`` has it), 16 tasks each, start sessions of one owner
who may have ten, and end all of them one time in ten. How many calls each process made, and how
long its calls took, in ms: to be run at two commits, one after the other.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from random import Random
from time import monotonic
from typing import Any

from sessiontracker import (
    AsyncSessionTracker,
    OwnedSession,
    SessionLimitError,
    SessionTrackerError,
)

from .load_places import place_of

__all__: list[str] = []

OWNER = "alice"
MOST = 10
NICE = (0, 5, 10, 19)
TASKS = 16


class Login(OwnedSession):
    """Empty: what is measured is who comes when."""


async def work(config: dict[str, Any], seconds: float, seed: int) -> None:
    """Of one process."""
    took: list[float] = []
    failed = 0
    over = monotonic() + seconds

    async def one(random: Random) -> None:
        nonlocal failed
        while monotonic() < over:
            began = monotonic()
            try:
                if random.random() < 0.1:
                    await random.choice([tracker.finish_all, tracker.delete_all])(Login, OWNER)
                else:
                    await tracker.start(Login(owner=OWNER))
            except SessionLimitError:
                pass
            except SessionTrackerError:
                failed += 1
            took.append((monotonic() - began) * 1e3)

    async with AsyncSessionTracker(config) as tracker, asyncio.TaskGroup() as group:
        for task in range(TASKS):
            group.create_task(one(Random(f"{seed}/{task}")))
    took.sort()
    print(json.dumps([len(took), failed, took[len(took) // 2], took[-1]]))


def main(store: str, seconds: str = "20") -> None:
    defaults = {"storage": "store", "finished_retention": "0s", "max_per_owner": MOST}
    with place_of(store) as place:
        backend = {"use": place.options["backend"], "url": place.options["url"]}
        config = {"backends": {"store": backend}, "defaults": defaults, "operation_timeout": "60s"}
        asyncio.run(_created(config))
        measure(config, seconds)


async def _created(config: dict[str, Any]) -> None:
    """So that nobody waits for the tables."""
    async with AsyncSessionTracker(config) as tracker:
        await tracker.count_sessions(Login, OWNER)


def measure(config: dict[str, Any], seconds: str) -> None:
    own = [sys.executable, "-m", "benchmarks.one_owner", "--one", json.dumps(config), seconds]
    processes = [
        subprocess.Popen(["nice", "-n", str(nice), *own, str(nice)], stdout=subprocess.PIPE)
        for nice in NICE
    ]
    print("| niced by | calls | failed | the middle one, ms | the longest, ms |")
    print("|---|---|---|---|---|")
    calls = 0
    for nice, process in zip(NICE, processes, strict=True):
        count, failed, middle, longest = json.loads(process.communicate()[0])
        calls += count
        print(f"| {nice} | {count:,} | {failed} | {middle:.0f} | {longest:,.0f} |")
    print(f"\n{calls / float(seconds):,.0f} calls a second")


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        asyncio.run(work(json.loads(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
    else:
        main(*sys.argv[1:])
