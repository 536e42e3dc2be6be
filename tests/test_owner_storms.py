"""Owners under many at once, and many owners for long; the full size is ``nox -s owners``."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sessiontracker import AsyncSessionTracker, OwnedSession, SessionNotFoundError, SessionTracker
from tests.clock import Clock
from tests.owner_work import OWNER, come_and_go
from tests.owner_work import Login as Limited
from tests.stores import STORES, Place, place_of

WORK = Path(__file__).with_name("owner_work.py")
LONG = bool(os.environ.get("SESSIONTRACKER_OWNERS"))
PROCESSES, TASKS, MOST = 4, 16, 10
ROUNDS = 1_000 if LONG else 3
OWNERS, DEVICES = (10_000, 5) if LONG else (40, 5)
TIME = 300.0  # s, by the store's clock
AT_ONCE = 200


class Login(OwnedSession):
    device: int = 0


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place_of(request.param, tmp_path) as place:
        yield place


# Many at once --------------------------------------------------------------------


def test_a_limit_and_log_outs_hold_under_many_at_once(place: Place) -> None:
    """Each session is wholly before a log-out, and was counted by it, or wholly after it."""
    config = {
        **place.config(finished_retention="0s", max_per_owner=MOST),
        "operation_timeout": "60s",
    }
    command = [sys.executable, str(WORK), json.dumps(config), str(TASKS), str(ROUNDS)]
    with SessionTracker(config) as tracker:
        processes = [
            subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE, text=True)
            for seed in range(PROCESSES)
        ]
        seen = 0
        while any(process.poll() is None for process in processes):
            seen = max(seen, len(tracker.list_sessions(Limited, OWNER)))
            time.sleep(0.01)
        said: Counter[str] = Counter()
        for process in processes:
            output = process.communicate()[0]
            assert process.returncode == 0, output
            told = json.loads(output)
            assert told.pop("too many", MOST) == MOST
            said.update(told)
        left = tracker.list_sessions(Limited, OWNER)
        assert tracker.count_sessions(Limited, OWNER) == len(left)
    assert seen <= MOST
    assert said["started"] - said["ended"] == len(left) <= MOST
    assert said["ended"]


async def test_they_hold_in_memory_too() -> None:
    """Where all are tasks of one process."""
    config = {"defaults": {"finished_retention": "0s", "max_per_owner": MOST}}
    said = Counter(started=0, ended=0)
    async with AsyncSessionTracker(config) as tracker:
        tasks = [
            asyncio.create_task(come_and_go(tracker, ROUNDS, Random(number), said))
            for number in range(PROCESSES * TASKS)
        ]
        while not all(task.done() for task in tasks):
            assert len(await tracker.list_sessions(Limited, OWNER)) <= MOST
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        left = await tracker.list_sessions(Limited, OWNER)
        assert await tracker.count_sessions(Limited, OWNER) == len(left)
    assert said.pop("too many") == MOST
    assert said["started"] - said["ended"] == len(left) <= MOST
    assert said["ended"]


# Many for long -------------------------------------------------------------------


class Model:
    """When each owner's sessions expire, in s, if nobody uses them: by owner and id."""

    def __init__(self) -> None:
        self.expires: dict[str, dict[str, float]] = {}
        self.idle: dict[str, float] = {}

    def there(self, owner: str, now: float) -> set[str]:
        return {id for id, expires in self.expires.get(owner, {}).items() if now < expires}

    def use(self, owner: str, id: str, now: float) -> None:
        self.expires.setdefault(owner, {})[id] = now + self.idle[id]


async def in_parts(calls: list[Any]) -> list[Any]:
    done: list[Any] = []
    for first in range(0, len(calls), AT_ONCE):
        done += await asyncio.gather(*calls[first : first + AT_ONCE])
    return done


async def test_lists_and_counts_are_those_of_a_model_at_every_look(place: Place) -> None:
    random, clock, model = Random(6), Clock(), Model()
    begun = clock.now
    place.options["clock"] = clock

    def now() -> float:
        return (clock.now - begun) / 1e6

    async def start(owner: str) -> None:
        idle = random.randint(5, 200)
        login = await tracker.start(Login(owner=owner), idle_timeout=idle)
        model.idle[login.id] = idle
        model.use(owner, login.id, now())

    async def touch(owner: str, id: str) -> None:
        try:
            await tracker.touch(Login, id=id)
        except SessionNotFoundError:
            assert id not in model.there(owner, now())
        else:
            assert id in model.there(owner, now())
            model.use(owner, id, now())

    async def finish(owner: str, id: str) -> None:
        try:
            await tracker.finish(Login, id=id)
        except SessionNotFoundError:
            assert id not in model.there(owner, now())
        else:
            del model.expires[owner][id]

    async def look(owner: str) -> None:
        expected = model.there(owner, now())
        listed = [login.id for login in await tracker.list_sessions(Login, owner)]
        assert set(listed) == expected
        assert len(listed) == len(expected)
        assert await tracker.count_sessions(Login, owner) == len(expected)

    config = place.config(absolute_timeout="off", finished_retention="1m", token_retention="1m")
    async with AsyncSessionTracker(config) as tracker:
        owners = [f"owner {number}" for number in range(OWNERS)]
        await in_parts([start(owner) for owner in owners for _ in range(DEVICES)])
        while now() < TIME:
            clock.move(random.uniform(1, 20))
            known = [(owner, id) for owner, ids in model.expires.items() for id in ids]
            some = random.sample(known, min(len(known), 20 + OWNERS // 20))
            await in_parts([touch(owner, id) for owner, id in some[::2]])
            await in_parts([finish(owner, id) for owner, id in some[1::4]])
            await in_parts([start(random.choice(owners)) for _ in range(OWNERS // 50)])
            await in_parts([look(owner) for owner in random.sample(owners, 10 + OWNERS // 50)])
            await tracker.reap(limit=1 + OWNERS // 10)
        await in_parts([look(owner) for owner in owners])
        clock.move(7_200)
        await in_parts([look(owner) for owner in owners])
        if place.use != "redis":  # which goes by its own clock
            while await tracker.reap():
                pass
            assert place.count() == 0
