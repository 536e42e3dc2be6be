"""A process of clients: run as ``python -m tests.endurance.process PLAN``, which is in JSON.

It does everything over and over at a steady pace, and between two rounds, while its clients
rest, writes down what it uses.
"""

from __future__ import annotations

import fcntl
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from sessiontracker import LockNotAcquiredError
from standstill import go_on, stand_still

from .leaks import LEAKS
from .sampling import sample
from .sides import SIDES, Side
from .verdict import FEWEST, Sample, more
from .work import GONE, SETTINGS, TYPES, Cart, Client, World, refused

__all__ = ["Plan", "config_of"]

TURNS = 20
"""Of 0.05 s, in which a process asks all that it can ask at once, however busy the machine is."""


class Plan(msgspec.Struct, frozen=True):
    """What one process is to do. Times are in s."""

    side: str
    backends: dict[str, dict[str, Any]]
    storage: str
    locking: str
    path: str
    """Where its samples go, one a line."""
    seconds: float
    every: float
    """From one sample to the next."""
    rate: float
    """Scenarios a second."""
    warm_up: int = 1
    """How many times everything is done before it is counted."""
    clients: int = 4
    seed: int = 1
    database: str | None = None
    """The URL of the database that sessions are in, if an application has transactions there."""
    pids: Sequence[int] = ()
    """Of the store's servers."""
    patience: float = GONE
    """For how long what is left may take to be gone."""
    settling: float = 10.0
    """For how long a thread may take to end."""
    leaks: Sequence[str] = ()
    """Which of `LEAKS` it has, to be found."""


def config_of(place: Any) -> dict[str, Any]:
    """Of a tracker on what a plan, or a store, says."""
    defaults = {"storage": place.storage, "locking": place.locking}
    return {"backends": place.backends, "defaults": defaults, **SETTINGS}


class Book:
    """Where samples are written down."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def add(self, found: Sample) -> None:
        with self._path.open("ab") as file:  # which is not open while it is counted
            file.write(msgspec.json.encode(found) + b"\n")


async def endure(plan: Plan, side: Side, book: Book) -> None:
    config = config_of(plan)
    engine = None if plan.database is None else side.engine(plan.database)
    tracker = side.tracker(config, TYPES)
    await tracker.open()
    world = World(side, tracker, config, plan.storage == plan.locking, engine)
    clients = [Client(world, f"{plan.seed}/{plan.side}/{number}") for number in range(plan.clients)]
    # Whatever is opened at its first use is open before anything is counted.
    for _ in range(plan.warm_up):
        await side.at_once(*(client.everything for client in clients))
    with alone(plan.path.replace(f"-{plan.side}.jsonl", ".lock")):
        await fill(plan, world, clients)
    began = time.monotonic()
    for count in itertools.count(1):
        await side.pause(0.05)  # what was let go behind is done
        now = time.monotonic() - began
        book.add(sample("during", now, world.done, world.odd))
        if now >= plan.seconds and count >= FEWEST:
            break
        await side.at_once(*(working(client, plan, now + began) for client in clients))
        for leak in plan.leaks:
            LEAKS[leak](world)
    entries = await remaining(plan, world)
    await tracker.close()
    if engine is not None:
        await side.dispose(engine)
    book.add(sample("closed", time.monotonic() - began, world.done, world.odd, entries))


async def fill(plan: Plan, world: World, clients: Sequence[Client]) -> None:
    """Have the tracker ask all that it can ask at once, of servers that stand still meanwhile:
    every connection that it will ever have is open then."""
    tracker, side, key = world.tracker, world.side, f"full {plan.side}"

    async def wait() -> None:
        async with tracker.lock(Cart, key, wait="2s"):
            pass

    async def wait_in_vain() -> None:
        await refused(LockNotAcquiredError, wait())

    def resume() -> None:
        for pid in plan.pids:
            go_on(pid)

    async def resume_soon() -> None:
        for _ in range(TURNS):
            await side.pause(0.05)
        resume()

    async def ask() -> None:
        await side.pause(0.2)  # it is looked for somebody who waits by now
        try:
            for pid in plan.pids:
                stand_still(pid)
            await side.at_once(resume_soon, *(client.crowd for client in clients))
        finally:
            resume()

    async with tracker.lock(Cart, key, lease="5m"):  # the crowd may take its time
        await side.at_once(wait_in_vain, ask)


@contextmanager
def alone(path: str) -> Iterator[None]:
    """One process of a store's at a time."""
    with Path(path).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


async def remaining(plan: Plan, world: World) -> int:
    """What is left in a store of this process's own, once all had time to expire."""
    end = time.monotonic() + plan.patience
    while True:
        entries = world.entries()
        if not entries or time.monotonic() > end:
            return entries
        await world.side.pause(0.2)


def working(client: Client, plan: Plan, began: float) -> Any:
    """``client`` at its pace, for as long as it is from one sample to the next."""
    pace = plan.clients / plan.rate

    async def work() -> None:
        turn = began + client.random.uniform(0, pace)
        await client.meet()
        while turn < began + plan.every:
            await client.world.side.pause(max(0.0, turn - time.monotonic()))
            await client.something()
            turn = max(turn + pace, time.monotonic())  # what was missed is not made up for

    return work


def settled(before: Sample, patience: float) -> Sample:
    """What this process uses after all; a thread that is about to end is given time to."""
    end = time.monotonic() + patience
    while True:
        after = sample("after")
        if time.monotonic() > end or not more(before, after):
            return after
        time.sleep(0.01)


def main() -> None:
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    book, side = Book(plan.path), SIDES[plan.side]()
    before = sample("before")
    book.add(before)
    side.run(lambda: endure(plan, side, book))
    book.add(settled(before, plan.settling))


if __name__ == "__main__":
    main()
