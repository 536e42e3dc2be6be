"""Dedicated connections out of redis-py's pool: taken for a batch, made anew when lost."""

from __future__ import annotations

import random
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from ..failures import NotConnectedError, without_arguments
from .runtime import AsyncConnection, drop
from .wire import AsyncWire

__all__ = ["AsyncConnections"]

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


class AsyncConnections:
    """As many connections as there are batches in flight; those between batches are kept.

    After a failure, also of a server that cannot be used yet, nobody connects again before a
    pause is over, which grows and is never twice the same: a server that comes back is not run
    over by all its clients.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._closed = False
        self._idle: list[AsyncWire] = []
        self._failure: Exception | None = None
        self._pause = 0.0
        self._next_try = 0.0
        self.made = 0
        """How many times a connection was made."""

    async def take(self) -> AsyncWire:
        """A connection for one exchange. Raises: NotConnectedError."""
        while (wire := self.take_idle()) is not None:
            if wire.is_usable():
                return wire
            await self.drop(wire)
        return AsyncWire(await self.connect())

    def take_idle(self) -> AsyncWire | None:
        """A connection that was kept, usable or not."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def keep(self, wire: AsyncWire) -> bool:
        """Whether ``wire``, which did well, is kept for whoever takes one next; else it must be
        dropped."""
        if self._closed:
            return False
        if self._failure is not None:
            self._failure, self._pause = None, 0.0
        self._idle.append(wire)
        return True

    async def connect(self) -> AsyncConnection:
        """A new connection, to read and write as redis-py does. Raises: NotConnectedError."""
        if self._failure is not None and monotonic() < self._next_try:
            raise NotConnectedError(self._failure)
        try:
            connection = await self._pool.get_connection()
        except Exception as error:  # a credential provider raises what it likes
            failure = without_arguments(error)
            self.failed(failure)
            if not isinstance(error, RedisError):
                # redis-py leaves it open then, and would not greet the server anew.
                await self._pool.disconnect(inuse_connections=False)
        else:
            self.made += 1
            return connection
        raise NotConnectedError(failure) from failure  # here, where it has no other context

    def failed(self, error: Exception) -> None:
        """The server cannot be used, because of ``error``: leave it alone for a while."""
        self._failure = error
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._next_try = monotonic() + self._pause * random.uniform(0.5, 1.0)

    async def drop(self, wire: AsyncWire) -> None:
        """Close a connection, whose state is not known or which is of no use any more."""
        await wire.drop()
        await self.release(wire.connection)

    async def release(self, connection: AsyncConnection) -> None:
        """Close what `connect` gave."""
        await drop(connection)
        await self._pool.release(connection)

    async def close(self) -> None:
        """Keep no connection; one that is in use still goes when it is given back."""
        self._closed = True
        while (wire := self.take_idle()) is not None:
            await self.drop(wire)
        await self._pool.disconnect(inuse_connections=False)
