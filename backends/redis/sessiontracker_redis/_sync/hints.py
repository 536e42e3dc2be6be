# Generated from backends/redis/sessiontracker_redis/_async/hints.py by scripts/generate_sync.py: edit that.
"""Hints to look again, through one connection that subscribes to this process's channel."""

from __future__ import annotations

import random
from collections.abc import Callable

from redis.exceptions import RedisError

from sessiontracker.backend import Wakes, operations

from ..failures import NotConnectedError
from .runtime import Worker, sleep
from .subscriber import Subscriber

__all__ = ["Hints"]

_PAUSE = 0.5


class Hints:
    """Who waits here. The first that does makes the connection; losing it costs only looks."""

    def __init__(self, subscribe: Callable[[bytes], Subscriber], channel: str) -> None:
        self._subscribe = subscribe
        self._channel = channel.encode()
        self._wakes = Wakes()
        self._worker = Worker()
        self._subscriber: Subscriber | None = None
        self._closed = False

    def expect(self, operation: operations.Operation) -> None:
        """Before an `Acquire` goes out: its hint may be here before its answer is."""
        if self._subscriber is not None and type(operation) is operations.Acquire:
            if operation.queue:
                self._wakes.note(operation, operations.Queued("", 0, 0))

    def note(self, operation: operations.Operation, outcome: operations.Outcome) -> None:
        self._wakes.note(operation, outcome)
        if type(outcome) is operations.Queued and not self._closed:
            self._worker.start(self._listen)

    def wait(self, ticket: int, timeout: float) -> None:
        self._wakes.wait(ticket, timeout)

    def _listen(self) -> None:
        while not self._closed:
            try:
                self._hear()
            except (NotConnectedError, RedisError, OSError):
                pass
            finally:
                self._unsubscribe()
            if not self._closed:
                sleep(_PAUSE * random.uniform(0.5, 1.0))

    def _hear(self) -> None:
        """Pass hints on until the connection is lost."""
        subscriber = self._subscriber = self._subscribe(self._channel)
        while not self._closed:
            text = subscriber.next()
            if text is None:
                for ticket in list(self._wakes):
                    self._wakes.wake(ticket)
            else:
                self._wakes.wake(int.from_bytes(text, "big"))

    def _unsubscribe(self) -> None:
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            subscriber.close()

    def close(self) -> None:
        self._closed = True
        subscriber = self._subscriber
        if subscriber is not None:
            subscriber.interrupt()
        self._worker.stop()
