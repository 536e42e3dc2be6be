"""What the processes of ``test_owner_storms.py`` do: run as ``python owner_work.py CONFIG TASKS
ROUNDS SEED``, where CONFIG is a tracker's configuration in JSON.

Says how many sessions it started, and how many it ended by log-outs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from random import Random

from sessiontracker import AsyncSessionTracker, OwnedSession, SessionLimitError

OWNER = "alice"


class Login(OwnedSession):
    device: int = 0


async def come_and_go(
    tracker: AsyncSessionTracker, rounds: int, random: Random, said: Counter[str]
) -> None:
    for number in range(rounds):
        if random.random() < 0.1:
            end = random.choice([tracker.finish_all, tracker.delete_all])
            ended = await end(Login, OWNER)
            said["ended"] += ended
            continue
        try:
            await tracker.start(Login(owner=OWNER, device=number))
        except SessionLimitError as error:
            said["too many"] = max(said["too many"], error.count)
        else:
            said["started"] += 1


async def main() -> None:
    config, tasks, rounds, seed = json.loads(sys.argv[1]), *map(int, sys.argv[2:])
    said = Counter(started=0, ended=0)
    async with AsyncSessionTracker(config) as tracker, asyncio.TaskGroup() as group:
        for task in range(tasks):
            random = Random(f"{seed}/{task}")
            group.create_task(come_and_go(tracker, rounds, random, said))
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
