# Generated from backends/redis/sessiontracker_redis/_async/connections.py by scripts/generate_sync.py: edit that.
"""Dedicated connections out of redis-py's pool: taken for a batch, made anew when lost."""

from __future__ import annotations

import random
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from ..failures import NotConnectedError
from .runtime import Connection, drop, is_usable, without_timeouts

__all__ = ["Connections"]

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


class Connections:
    """As many connections as there are batches in flight; those between batches are kept.

    After a failure to connect, nobody tries again before a pause is over, which grows and is
    never twice the same: a server that comes back is not run over by all its clients.
    """

    def __init__(self, pool: Any, *, owned: bool) -> None:
        self._pool = pool
        self._owned = owned
        self._closed = False
        self._idle: list[Connection] = []
        self._failure: Exception | None = None
        self._pause = 0.0
        self._next_try = 0.0
        self.made = 0
        """How many times a connection was made."""

    def take(self) -> Connection:
        """A connection for one exchange. Raises: NotConnectedError."""
        while self._idle:
            connection = self._idle.pop()
            if is_usable(connection):
                return connection
            self.drop(connection)
        return self.connect()

    def give_back(self, connection: Connection) -> None:
        if self._closed:
            self.drop(connection)
        else:
            self._idle.append(connection)

    def connect(self) -> Connection:
        """A new connection. Raises: NotConnectedError."""
        if self._failure is not None and monotonic() < self._next_try:
            raise NotConnectedError(self._failure)
        try:
            connection = self._pool.get_connection()
        except (RedisError, OSError) as error:
            self._failure = error
            self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            self._next_try = monotonic() + self._pause * random.uniform(0.5, 1.0)
            raise NotConnectedError(error) from error
        self._failure, self._pause = None, 0.0
        self.made += 1
        without_timeouts(connection)
        return connection

    def drop(self, connection: Connection) -> None:
        """Close a connection, whose state is not known or which is of no use any more."""
        drop(connection)
        self._pool.release(connection)

    def close(self) -> None:
        """Keep no connection; one that is in use still goes when it is given back."""
        self._closed = True
        while self._idle:
            self.drop(self._idle.pop())
        if self._owned:
            self._pool.disconnect(inuse_connections=False)
