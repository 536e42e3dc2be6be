"""Hints to look again, through one connection that subscribes to this process's channel."""

from __future__ import annotations

import random
from typing import Any

from redis.exceptions import RedisError

from sessiontracker.backend import AsyncWakes, operations

from ..packing import wire
from .connections import AsyncConnections, NotConnectedError
from .runtime import AsyncWorker, drop, next_push, sleep

__all__ = ["AsyncHints"]

_PAUSE = 0.5


class AsyncHints:
    """Who waits here. The first that does makes the connection; losing it costs only looks."""

    def __init__(self, connections: AsyncConnections, channel: str) -> None:
        self._connections = connections
        self._channel = channel.encode()
        self._wakes = AsyncWakes()
        self._worker = AsyncWorker()
        self._connection: Any = None
        self._closed = False

    def expect(self, operation: operations.Operation) -> None:
        """Before an `Acquire` goes out: its hint may be here before its answer is."""
        if self._connection is not None and type(operation) is operations.Acquire:
            if operation.queue:
                self._wakes.note(operation, operations.Queued("", 0, 0))

    def note(self, operation: operations.Operation, outcome: operations.Outcome) -> None:
        self._wakes.note(operation, outcome)
        if type(outcome) is operations.Queued and not self._worker.is_running and not self._closed:
            self._worker.start(self._listen)

    async def wait(self, ticket: int, timeout: float) -> None:
        await self._wakes.wait(ticket, timeout)

    async def _listen(self) -> None:
        while not self._closed:
            try:
                await self._subscribe()
            except (NotConnectedError, RedisError, OSError):
                pass
            finally:
                await self._unsubscribe()
            if not self._closed:
                await sleep(_PAUSE * random.uniform(0.5, 1.0))

    async def _subscribe(self) -> None:
        """Pass hints on until the connection is lost."""
        connection = self._connection = await self._connections.connect()
        await connection.send_packed_command(
            [wire((b"SUBSCRIBE", self._channel))], check_health=False
        )
        while not self._closed:
            kind, _, text = await next_push(connection)
            if kind == b"message":
                self._wakes.wake(int.from_bytes(text, "big"))
            else:  # subscribed: what was published before has passed us by
                for ticket in list(self._wakes):
                    self._wakes.wake(ticket)

    async def _unsubscribe(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._connections.drop(connection)

    async def close(self) -> None:
        self._closed = True
        connection = self._connection
        if connection is not None:
            await drop(connection)
        await self._worker.stop()
