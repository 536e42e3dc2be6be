"""Batches without a task for each, as long as nothing goes wrong. By hand; threads need no twin."""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from time import monotonic
from typing import Any, cast

from sessiontracker.backend import Answer, Asked, operations

from ..batch import Batch
from ..failures import is_error
from ..options import Options
from ..transaction import together
from .backend import AsyncRedisBackend
from .node import AsyncNode
from .topology import AsyncSingle
from .wire import AsyncWire

__all__ = ["AsyncSendingBackend"]


class AsyncSendingBackend(AsyncRedisBackend):
    """Sends a batch where a connection is ready for it, and answers when the replies are there.

    To connect, to load scripts, to wait for replicas and to ask several servers take a task.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.send = self._send
        self._flying: dict[AsyncWire, AsyncNode] = {}
        self._tasks: set[Task[None]] = set()

    def _send(self, asked: Sequence[Asked], answer: Answer) -> None:
        batch = self._packed(asked)
        ready = self._ready(batch)
        if ready is None:
            self._start(partial(self._executed, batch), batch, answer)
            return
        node, wire = ready
        self._flying[wire] = node
        timeout = self._options.timeout
        done = partial(self._received, batch, wire, monotonic() + timeout, answer)
        wire.send(b"".join(batch.packed), batch.expects, timeout, done)

    def _ready(self, batch: Batch) -> tuple[AsyncNode, AsyncWire] | None:
        """A server and a connection to it, if to send ``batch`` there is all that is to be done."""
        topology = self._topology
        if not isinstance(topology, AsyncSingle) or not batch.is_whole or self._confirms(batch):
            return None
        connections = topology.node.connections
        wire = connections.take_idle()
        if wire is None or wire.is_usable():
            return None if wire is None else (topology.node, wire)
        connections.keep(wire)
        return None

    def _received(
        self, batch: Batch, wire: AsyncWire, until: float, answer: Answer, replies: list[Any]
    ) -> None:
        node = self._flying.pop(wire)
        if batch.expects != len(batch.commands):
            replies = together(batch.commands, replies)
        if (
            len(replies) == len(batch.commands)
            and not any(map(is_error, replies))
            and node.connections.keep(wire)
        ):
            answer(cast("list[operations.Outcome]", self._outcomes(batch, replies)))
        else:
            self._start(partial(self._settled, batch, node, wire, until, replies), batch, answer)

    async def _settled(
        self, batch: Batch, node: AsyncNode, wire: AsyncWire, until: float, replies: list[Any]
    ) -> list[operations.Outcome]:
        settled = await node.settled(wire, batch.commands, replies, until)
        return cast("list[operations.Outcome]", self._outcomes(batch, settled))

    def _start(
        self,
        work: Callable[[], Coroutine[Any, Any, list[operations.Outcome]]],
        batch: Batch,
        answer: Answer,
    ) -> None:
        async def run() -> None:
            try:
                outcomes = await work()
            except Exception as error:
                outcomes = [operations.NoAnswer(repr(error))] * len(batch.operations)
            answer(outcomes)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, answer))

    def _ended(self, answer: Answer, task: Task[None]) -> None:
        self._tasks.discard(task)
        answer([])  # in case that it was cancelled; a second answer is none

    async def close(self) -> None:
        for wire, node in list(self._flying.items()):
            await node.connections.drop(wire)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await super().close()
