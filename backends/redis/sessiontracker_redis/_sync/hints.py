# Generated from backends/redis/sessiontracker_redis/_async/hints.py by scripts/generate_sync.py: edit that.
"""Hints to look again, through one connection that subscribes to this process's channel."""

from __future__ import annotations

import random
from typing import Any

from redis.exceptions import RedisError

from sessiontracker.backend import Wakes, operations

from ..packing import wire
from .connections import Connections, NotConnectedError
from .runtime import Worker, drop, next_push, sleep

__all__ = ["Hints"]

_PAUSE = 0.5


class Hints:
    """Who waits here. The first that does makes the connection; losing it costs only looks."""

    def __init__(self, connections: Connections, channel: str) -> None:
        self._connections = connections
        self._channel = channel.encode()
        self._wakes = Wakes()
        self._worker = Worker()
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

    def wait(self, ticket: int, timeout: float) -> None:
        self._wakes.wait(ticket, timeout)

    def _listen(self) -> None:
        while not self._closed:
            try:
                self._subscribe()
            except (NotConnectedError, RedisError, OSError):
                pass
            finally:
                self._unsubscribe()
            if not self._closed:
                sleep(_PAUSE * random.uniform(0.5, 1.0))

    def _subscribe(self) -> None:
        """Pass hints on until the connection is lost."""
        connection = self._connection = self._connections.connect()
        connection.send_packed_command([wire((b"SUBSCRIBE", self._channel))], check_health=False)
        while not self._closed:
            kind, _, text = next_push(connection)
            if kind == b"message":
                self._wakes.wake(int.from_bytes(text, "big"))
            else:  # subscribed: what was published before has passed us by
                for ticket in list(self._wakes):
                    self._wakes.wake(ticket)

    def _unsubscribe(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._connections.drop(connection)

    def close(self) -> None:
        self._closed = True
        connection = self._connection
        if connection is not None:
            drop(connection)
        self._worker.stop()
