"""What is exchanged over a connection. By hand; ``_sync`` has its twin of threads.

redis-py makes the connection, authenticates and closes it. In between, bytes go past redis-py,
which would spend more on one command than all else costs.
"""

from __future__ import annotations

import asyncio
from asyncio import Future, TimerHandle
from collections.abc import Callable
from functools import partial
from typing import Any

from ..replies import Replies
from .runtime import AsyncConnection, drop, is_outdated, transport_of

__all__ = ["AsyncWire"]


class AsyncWire(asyncio.Protocol):
    """A connection of redis-py's, for one exchange at a time; ended by whatever breaks one."""

    __slots__ = (
        "_asked", "_done", "_former", "_loop", "_replies", "_timer", "_transport", "_until",
        "_wakes_at", "connection", "lost",
    )  # fmt: skip

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self._loop = asyncio.get_running_loop()
        self._replies = Replies()
        self._asked = 0
        self._done: Callable[[list[Any]], None] | None = None
        self._until = self._wakes_at = 0.0
        self._timer: TimerHandle | None = None
        self.lost = False
        """Whether it has ended."""
        self._transport = transport_of(connection)
        self._former: Any = self._transport.get_protocol()
        self._transport.set_protocol(self)

    def is_usable(self) -> bool:
        """Whether it is idle, and still there as far as one can see."""
        return not (
            self.lost
            or self._done is not None
            or self._transport.is_closing()
            or is_outdated(self.connection)
        )

    def send(
        self, data: bytes, count: int, timeout: float, done: Callable[[list[Any]], None]
    ) -> None:
        """Send ``data``, and call ``done`` with its ``count`` replies; errors are replies, too.

        They are fewer where the connection is lost, or after ``timeout`` seconds; it has ended
        then, and must be dropped.
        """
        if self.lost:
            done([])
            return
        self._asked, self._done = count, done
        self._until = self._loop.time() + timeout
        # One timer watches over batch after batch.
        if self._timer is None or self._until < self._wakes_at:
            self._watch()
        self._transport.write(data)

    async def exchange(self, data: bytes, count: int, timeout: float) -> list[Any]:
        """As `send`. It must be dropped as well if whoever waits here is cancelled."""
        replies: Future[list[Any]] = self._loop.create_future()
        self.send(data, count, timeout, partial(_resolve, replies))
        return await replies

    async def drop(self) -> None:
        """Close it, whatever is under way."""
        self._end()
        await drop(self.connection)

    def _watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = self._until
        self._timer = self._loop.call_at(self._until, self._check)

    def _check(self) -> None:
        self._timer = None
        if self._done is None:
            return
        if self._loop.time() < self._until:
            self._watch()
        else:
            self._end()

    def _end(self) -> None:
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()
        self._answer()

    def _answer(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(self._replies.taken())

    # As a protocol -----------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        try:
            count = self._replies.feed(data, len(data))
        except Exception:  # this is no Redis
            self._end()
            return
        if self._done is not None and count == self._asked:
            self._answer()
        elif count > self._asked or (self._done is None and count):
            self._replies.taken()  # nobody asked: there is no telling whose replies are whose
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._former.connection_lost(exc)  # redis-py may wait for that
        self._end()


def _resolve(replies: Future[list[Any]], received: list[Any]) -> None:
    if not replies.done():
        replies.set_result(received)
