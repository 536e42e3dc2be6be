"""A process of several clients: run as ``python -m tests.robustness.clients PLAN CONFIG PATH FIRST
SEED TASKS async|threads``, the first two in JSON. It works until its input ends."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from sessiontracker import BackendUnavailableError

from ..trackers import _Awaited
from .history import Recorder
from .order import AsyncNotingTracker, Looks, NotingTracker
from .workload import Client, Plan

__all__: list[str] = []

YEAR = 365 * 86_400 * 10**9  # ns


async def with_tasks(tracker: Any, clients: list[Any], over: threading.Event) -> None:
    while True:
        try:
            await tracker.open()
        except BackendUnavailableError:  # it is being restarted
            await asyncio.sleep(0.1)
        else:
            break
    async with tracker, asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client(tracker).work(over.is_set))


def with_threads(tracker: Any, clients: list[Any], over: threading.Event) -> None:
    while True:
        try:
            tracker.open()
        except BackendUnavailableError:
            time.sleep(0.1)
        else:
            break
    with tracker:
        awaited = _Awaited(tracker)
        threads = [
            threading.Thread(target=asyncio.run, args=[client(awaited).work(over.is_set)])
            for client in clients
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def have_the_clock_jump(random: Random) -> None:
    """The wall clock of this process, by up to a year, forward and back, several times a second."""
    time_ns, ahead = time.time_ns, 0

    def jump() -> None:
        nonlocal ahead
        while True:
            ahead = random.choice((0, random.randint(-YEAR, YEAR)))
            time.sleep(random.uniform(0.05, 0.5))

    time.time_ns = lambda: time_ns() + ahead
    time.time = lambda: (time_ns() + ahead) / 1e9
    threading.Thread(target=jump, daemon=True).start()


def main() -> None:
    plan_json, config_json, path, first, seed, count, how = sys.argv[1:]
    plan = msgspec.json.decode(plan_json, type=Plan)
    over = threading.Event()
    recorder = Recorder(Path(path), int(first))
    threads = how == "threads"
    if plan.jumps:
        have_the_clock_jump(Random(seed))

    def make(number: int) -> Any:
        name = f"{Path(path).stem}.{number}"
        return lambda tracker: Client(name, f"{seed}/{number}", tracker, plan, recorder, threads)

    def watch() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=watch, daemon=True).start()
    clients = [make(number) for number in range(int(count))]
    tracker = (NotingTracker if threads else AsyncNotingTracker)(json.loads(config_json))
    tracker.looks = Looks(Path(path).with_suffix(".looks"))
    if threads:
        with_threads(tracker, clients, over)
    else:
        asyncio.run(with_tasks(tracker, clients, over))
    tracker.looks.close()


if __name__ == "__main__":
    main()
