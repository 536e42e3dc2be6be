"""Hands clicks to worker processes, whichever they are, and again if a process dies."""

from __future__ import annotations

import asyncio
import random
from asyncio import Task
from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_uppercase
from time import monotonic

from handlers import Click
from processes import Pending, Worker
from worker import Report

# Of a lease of 1 s, as sessions.toml has it, so much is left when it was just renewed: what its
# holder then reports stays true for a moment, until it is renewed at two thirds.
FRESH = 0.75  # s
RECENT = 0.05  # s


@dataclass
class Takeover:
    """What became of a lock whose holder was killed. Times in s, ``after`` from its death."""

    order: str
    lease_left: float
    killed: float
    after: float | None = None


class Dispatcher:
    """The processes there are and were, and the locks that were taken over."""

    def __init__(
        self,
        workers: list[Worker],
        url: str,
        *,
        pace: float,
        kills: int,
        tell: Callable[[str], None],
    ) -> None:
        self.workers = workers
        self.takeovers: list[Takeover] = []
        self.repeated = 0  # clicks that came twice
        self._url = url
        self._pace = pace
        self._kills = kills
        self._killing = asyncio.Lock()
        self._tell = tell
        self._names = iter(ascii_uppercase)
        self._doomed: set[str] = set()
        self._replacing: list[Task[None]] = []

    async def start(self, processes: int) -> None:
        """So many processes more."""
        starts = (
            Worker.start(next(self._names), self._url, self._on_report) for _ in range(processes)
        )
        started = await asyncio.gather(*starts)
        self.workers += started
        self._tell(f"started: {', '.join(worker.name for worker in started)}")

    async def stop(self) -> None:
        """All processes leave. Raises: RuntimeError if one had died that nobody killed."""
        await asyncio.gather(*self._replacing)
        await asyncio.gather(*(worker.stop() for worker in self.workers))

    def alive(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.alive]

    async def deliver(self, click: Click, *, times: int = 1) -> int:
        """Have a click handled, which may come several times at once. The order's version.

        The first confirmations are those that a process is killed for.
        """
        if click.step == "confirm" and self._kills:
            self._kills -= 1
            async with self._killing:
                return await self._deliver_and_kill(click)
        chosen = random.sample(self.alive(), min(times, len(self.alive())))
        self.repeated += len(chosen) - 1
        return max(await asyncio.gather(*(self._deliver(click, worker) for worker in chosen)))

    async def _deliver_and_kill(self, click: Click) -> int:
        """The click comes twice, and the process that has it first dies while it holds the lock."""
        await asyncio.gather(*self._replacing)  # so that there are two
        victim, other = random.sample(self.alive(), 2)
        self.repeated += 1
        first = asyncio.create_task(self._deliver(click, victim, stuck=True))
        await asyncio.sleep(1.0 * self._pace)
        second = asyncio.create_task(self._deliver(click, other))
        await asyncio.sleep(1.5 * self._pace)
        self._doomed.add(click.order)
        return max(await asyncio.gather(first, second))

    async def _deliver(self, click: Click, worker: Worker, *, stuck: bool = False) -> int:
        while True:
            report = await worker.handle(click, self._pace, stuck)
            if report is None:  # it died: whether it had handled the click, nobody knows
                stuck = False
                worker = random.choice(self.alive())
            elif report.state == "failed":
                raise RuntimeError(f"{click.order}, step {click.step!r}, failed:\n{report.error}")
            else:
                return report.version

    def _on_report(self, worker: Worker, pending: Pending) -> None:
        click, report = pending.delivery.click, pending.latest
        if report.state != "holds" or not worker.alive:
            return
        if pending.delivery.stuck:
            is_fresh = report.lease > FRESH and monotonic() - report.at < RECENT
            if click.order in self._doomed and is_fresh:
                self._doomed.remove(click.order)
                self._kill(worker, click.order, report)
            return
        for takeover in self.takeovers:
            if takeover.order == click.order and takeover.after is None:
                takeover.after = report.at - takeover.killed
                self._tell(
                    f"{worker.name} has the lock of {click.order}, {takeover.after:.3f} s after "
                    "its holder's death"
                )

    def _kill(self, worker: Worker, order: str, report: Report) -> None:
        killed = worker.kill()
        left = report.lease - (killed - report.at)
        self.takeovers.append(Takeover(order, left, killed))
        self._tell(f"{worker.name} killed with the lock of {order}; {left:.3f} s of its lease left")
        self._replacing.append(asyncio.create_task(self.start(1)))
