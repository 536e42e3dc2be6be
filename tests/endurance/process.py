"""A process of clients: run as ``python -m tests.endurance.process PLAN``, which is in JSON.

It does everything over and over at a steady pace, and between two rounds, while its clients
rest, writes down what it uses.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from .sampling import sample
from .sides import SIDES, Side
from .verdict import FEWEST, Sample, more
from .work import SETTINGS, TYPES, Client, World

__all__ = ["Plan"]

PATIENCE = 10.0  # s


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
    warm_up: int = 3
    """How many times everything is done before it is counted."""
    clients: int = 4
    seed: int = 1
    database: str | None = None
    """The URL of the database that sessions are in, if an application has transactions there."""

    @property
    def config(self) -> dict[str, Any]:
        defaults = {"storage": self.storage, "locking": self.locking}
        return {"backends": self.backends, "defaults": defaults, **SETTINGS}


class Book:
    """Where samples are written down."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def add(self, found: Sample) -> None:
        with self._path.open("ab") as file:  # which is not open while it is counted
            file.write(msgspec.json.encode(found) + b"\n")


async def endure(plan: Plan, side: Side, book: Book) -> None:
    engine = None if plan.database is None else side.engine(plan.database)
    tracker = side.tracker(plan.config, TYPES)
    await tracker.open()
    world = World(side, tracker, plan.config, plan.storage == plan.locking, engine)
    clients = [Client(world, f"{plan.seed}/{plan.side}/{number}") for number in range(plan.clients)]
    # Whatever is opened at its first use is open before anything is counted.
    for _ in range(plan.warm_up):
        await side.at_once(*(client.everything for client in clients))
    began = time.monotonic()
    for count in itertools.count(1):
        await side.pause(0.05)  # what was let go behind is done
        now = time.monotonic() - began
        book.add(sample("during", now, world.done, world.odd))
        if now >= plan.seconds and count >= FEWEST:
            break
        await side.at_once(*(working(client, plan, now + began) for client in clients))
    await tracker.close()
    if engine is not None:
        await side.dispose(engine)
    book.add(sample("closed", time.monotonic() - began, world.done, world.odd))


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


def settled(before: Sample) -> Sample:
    """What this process uses after all; a thread that is about to end is given time to."""
    end = time.monotonic() + PATIENCE
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
    book.add(settled(before))


if __name__ == "__main__":
    main()
