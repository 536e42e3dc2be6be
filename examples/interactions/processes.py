"""A worker process as seen from outside: started, fed with clicks, listened to, killed."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from asyncio import Future, Task
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import msgspec
from handlers import Click
from worker import Delivery, Report

_ids = itertools.count(1)


@dataclass
class Pending:
    """A delivery that its process has not answered yet, and how it stands."""

    delivery: Delivery
    answer: Future[Report | None]
    latest: Report

    def resolve(self, report: Report | None) -> None:
        if not self.answer.done():  # nobody waits any more where the demo was interrupted
            self.answer.set_result(report)


class Worker:
    """A worker process: what it was given, and what it reports."""

    def __init__(self, name: str, process: Process, on_report: Callable[[Worker, Pending], None]):
        self.name = name
        self.pid = process.pid
        self.alive = True
        self.killed = False
        self.handled = 0
        self.pending: dict[int, Pending] = {}
        self._process = process
        self._on_report = on_report
        self._reader: Task[None] | None = None

    @classmethod
    async def start(
        cls, name: str, url: str, on_report: Callable[[Worker, Pending], None]
    ) -> Worker:
        program = Path(__file__).with_name("worker.py")
        process = await asyncio.create_subprocess_exec(
            sys.executable, program, stdin=PIPE, stdout=PIPE, env={**os.environ, "ORDERS_URL": url}
        )
        worker = cls(name, process, on_report)
        assert process.stdout is not None
        if not await process.stdout.readline():
            raise RuntimeError(f"process {name} did not start: its message is above")
        worker._reader = asyncio.create_task(worker._read())
        return worker

    async def handle(self, click: Click, pace: float, stuck: bool) -> Report | None:
        """The last report on this click, or None if the process died before."""
        if not self.alive:
            return None
        delivery = Delivery(next(_ids), click, pace, stuck)
        answer = asyncio.get_running_loop().create_future()
        self.pending[delivery.id] = Pending(delivery, answer, Report(delivery.id, "waits"))
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(delivery) + b"\n")
        return await answer

    def kill(self) -> float:
        """SIGKILL, at once; the moment at which it was sent."""
        self.alive = False
        self.killed = True
        self._process.kill()
        return monotonic()

    async def stop(self) -> None:
        """End of input: the process leaves by itself, or else it is made to."""
        assert self._process.stdin is not None
        assert self._reader is not None
        self._process.stdin.close()
        await asyncio.wait([self._reader], timeout=10)
        if not self._reader.done():
            self.kill()
        await self._reader
        if self._process.returncode and not self.killed:
            raise RuntimeError(f"process {self.name} died by itself: its message is above")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        # The last line of a process that was killed may be half a one.
        while (line := await self._process.stdout.readline()).endswith(b"\n"):
            report = msgspec.json.decode(line, type=Report)
            pending = self.pending[report.id]
            pending.latest = report
            self._on_report(self, pending)
            if report.state in ("done", "failed"):
                del self.pending[report.id]
                self.handled += 1
                pending.resolve(report)
        self.alive = False
        await self._process.wait()
        lost, self.pending = self.pending, {}
        for pending in lost.values():
            pending.resolve(None)
