"""Backends that note what they are asked at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sessiontracker._async.batching import AsyncBatcher
from sessiontracker.backend import Answer, Asked, AsyncBackend
from sessiontracker.operations import (
    Address,
    NoAnswer,
    Outcome,
    Pong,
    Read,
)

__all__ = ["Recorder", "answers", "keys", "outcome_of", "read"]


def read(number: int, kind: str = "t") -> Read:
    return Read(Address(kind, "", f"{number}"))


def keys(batches: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Those that each of ``batches`` is about."""
    return [[operation.address.key for operation in batch] for batch in batches]


def answers(operations: Sequence[Asked]) -> list[Any]:
    """An outcome that tells which operation it answers."""
    return [Pong(int(operation.address.key)) for operation in operations if operation.address]


class Recorder(AsyncBackend):
    """Notes every batch; answers when ``gate`` is open. ``sends``: by `AsyncBackend.send`."""

    def __init__(self, lanes: int = 1, batch: int = 256, *, sends: bool = False) -> None:
        if sends:
            self.send = self._send
        self.tasks: set[asyncio.Task[None]] = set()
        self.lanes = lanes
        self.batch = batch
        self.batches: list[list[Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reply: Any = answers
        self.under_way = 0
        self.most_under_way = 0

    async def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        self.batches.append(list(operations))
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
            result: list[Outcome] = self.reply(operations)
            return result
        finally:
            self.under_way -= 1

    def _send(self, operations: Sequence[Asked], answer: Answer) -> None:
        async def run() -> None:
            try:
                outcomes = await self.execute(operations)
            except Exception as error:
                outcomes = [NoAnswer(repr(error))] * len(operations)
            answer(outcomes)

        task = asyncio.create_task(run())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def wait(self, ticket: int, timeout: float) -> None:
        raise NotImplementedError


async def outcome_of(batcher: AsyncBatcher, operation: Asked) -> Outcome:
    return await batcher.ask(operation)
