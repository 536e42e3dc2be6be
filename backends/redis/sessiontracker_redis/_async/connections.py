"""Dedicated connections out of redis-py's pool: taken for a batch, made anew when lost."""

from __future__ import annotations

import random
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from ..failures import NotConnectedError
from .runtime import AsyncConnection, drop, is_usable, without_timeouts

__all__ = ["AsyncConnections"]

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


class AsyncConnections:
    """As many connections as there are batches in flight; those between batches are kept.

    After a failure to connect, nobody tries again before a pause is over, which grows and is
    never twice the same: a server that comes back is not run over by all its clients.
    """

    def __init__(self, pool: Any, *, owned: bool) -> None:
        self._pool = pool
        self._owned = owned
        self._closed = False
        self._idle: list[AsyncConnection] = []
        self._failure: Exception | None = None
        self._pause = 0.0
        self._next_try = 0.0
        self.made = 0
        """How many times a connection was made."""

    async def take(self) -> AsyncConnection:
        """A connection for one exchange. Raises: NotConnectedError."""
        while self._idle:
            connection = self._idle.pop()
            if await is_usable(connection):
                return connection
            await self.drop(connection)
        return await self.connect()

    async def give_back(self, connection: AsyncConnection) -> None:
        if self._closed:
            await self.drop(connection)
        else:
            self._idle.append(connection)

    async def connect(self) -> AsyncConnection:
        """A new connection. Raises: NotConnectedError."""
        if self._failure is not None and monotonic() < self._next_try:
            raise NotConnectedError(self._failure)
        try:
            connection = await self._pool.get_connection()
        except (RedisError, OSError) as error:
            self._failure = error
            self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            self._next_try = monotonic() + self._pause * random.uniform(0.5, 1.0)
            raise NotConnectedError(error) from error
        self._failure, self._pause = None, 0.0
        self.made += 1
        without_timeouts(connection)
        return connection

    async def drop(self, connection: AsyncConnection) -> None:
        """Close a connection, whose state is not known or which is of no use any more."""
        await drop(connection)
        await self._pool.release(connection)

    async def close(self) -> None:
        """Keep no connection; one that is in use still goes when it is given back."""
        self._closed = True
        while self._idle:
            await self.drop(self._idle.pop())
        if self._owned:
            await self._pool.disconnect(inuse_connections=False)
