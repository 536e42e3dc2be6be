"""One of the processes: reads deliveries from its input, handles them, reports on its output."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import traceback
from pathlib import Path
from time import monotonic

import msgspec
from handlers import Click, Drink, Order, Tally, handle

from sessiontracker import AsyncSessionTracker

PRICES = {"small": 290, "medium": 350, "large": 410}


class Delivery(msgspec.Struct):
    """A click for this process. ``stuck``: its payment takes for ever."""

    id: int
    click: Click
    pace: float = 1.0
    stuck: bool = False


class Report(msgspec.Struct):
    """How a delivery stands.

    It ``waits``, it ``holds`` the order's lock, it ``works`` without, it is ``done`` or ``failed``.
    ``lease`` is how many seconds were left of the lock's lease ``at`` that moment of the
    machine's monotonic clock, which is the same in all processes.
    """

    id: int
    state: str
    version: int = 0
    lease: float = 0.0
    at: float = msgspec.field(default_factory=monotonic)
    error: str = ""


def report(message: Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


class SlowShop:
    """The services that the handlers call, made up, each of which takes its time."""

    def __init__(self, tracker: AsyncSessionTracker, delivery: Delivery) -> None:
        self._tracker = tracker
        self._delivery = delivery

    async def find(self, order: Order, name: str) -> Drink:
        await self._work(order, "holds")
        return Drink(name)

    async def price(self, order: Order, size: str) -> int:
        await self._work(order, "works")
        return PRICES[size]

    async def charge(self, order: Order) -> str:
        lock = self._tracker.lock_of(order)
        while self._delivery.stuck:
            report(Report(self._delivery.id, "holds", order.version, lock.expires_in))
            await asyncio.sleep(0.02)
        await self._work(order, "holds")
        return f"paid-{order.key}"

    async def print(self, order: Order) -> str:
        await self._work(order, "holds")
        return f"receipt-{order.key}"

    async def _work(self, order: Order, state: str) -> None:
        report(Report(self._delivery.id, state, order.version))
        await asyncio.sleep(random.uniform(0.1, 0.4) * self._delivery.pace)
        report(Report(self._delivery.id, "works", order.version))


async def work(tracker: AsyncSessionTracker, delivery: Delivery) -> None:
    try:
        order = await handle(tracker, SlowShop(tracker, delivery), delivery.click)
    except Exception:
        report(Report(delivery.id, "failed", error=traceback.format_exc()))
    else:
        report(Report(delivery.id, "done", order.version))


async def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the dispatcher's, which ends us
    configuration = Path(__file__).with_name("sessions.toml")
    async with AsyncSessionTracker.from_toml(configuration, types=[Order, Tally]) as tracker:
        report(Report(0, "ready"))
        async with asyncio.TaskGroup() as tasks:
            while line := await asyncio.to_thread(sys.stdin.buffer.readline):
                tasks.create_task(work(tracker, msgspec.json.decode(line, type=Delivery)))


if __name__ == "__main__":
    asyncio.run(main())
