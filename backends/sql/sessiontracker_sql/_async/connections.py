"""Dedicated connections: taken for a batch, made anew when lost, checked whenever made."""

from __future__ import annotations

import os
import random
from time import monotonic
from typing import TypeVar

from sessiontracker.backend import BackendError

from ..server import Server
from ..server_options import ServerOptions
from ..talk import LostError, NotConnectedError, Pause, ServerError, Talk
from .runtime import AsyncConnection, connect, sleep

__all__ = ["AsyncConnections"]

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0  # s

# A parent's connections, in a child: closing them would end them for the parent, too.
_abandoned: list[AsyncConnection] = []


class AsyncConnections:
    """As many connections as there are batches in flight; those between batches are kept.

    After a failure to connect, nobody tries again before a pause is over, which grows and is
    never twice the same: a server that comes back is not run over by all its clients.
    """

    def __init__(self, server: Server, options: ServerOptions) -> None:
        self._server = server
        self._options = options
        self._idle: list[AsyncConnection] = []
        self._process = os.getpid()
        self._closed = False
        self._failure: Exception | None = None
        self._pause = 0.0
        self._next_try = 0.0

    async def _take(self) -> AsyncConnection:
        """A connection for one talk. Raises: NotConnectedError."""
        if self._process != os.getpid():
            _abandoned.extend(self._idle)
            self._idle = []
            self._process = os.getpid()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.drop()
        return await self.connect()

    def _give_back(self, connection: AsyncConnection) -> None:
        if self._process != os.getpid():
            return
        if not connection.is_usable:
            connection.drop()
            return
        self._idle.append(connection)
        if self._closed:  # while this one was under way
            while self._idle:
                self._idle.pop().drop()

    async def connect(self) -> AsyncConnection:
        """A new connection, to a server that can be written to. Raises: NotConnectedError."""
        if self._failure is not None and monotonic() < self._next_try:
            raise NotConnectedError(self._failure)
        try:
            connection = await self._connect()
        except NotConnectedError as error:
            self._fail(error.error)
            raise
        except (ServerError, LostError, BackendError) as error:
            self._fail(error)
            raise NotConnectedError(error) from error
        self._failure, self._pause = None, 0.0
        return connection

    async def _connect(self) -> AsyncConnection:
        connection = await connect(self._options)
        try:
            greeting = self._server.greet(connection.own)
            connection.prepares = await self._talk(greeting, connection)
        except BaseException:
            connection.drop()
            raise
        return connection

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._next_try = monotonic() + self._pause * random.uniform(0.5, 1.0)

    async def hold(self, talk: Talk[T], timeout: float | None = None) -> T:
        """What ``talk`` comes to, on one connection; each answer is waited for ``timeout`` s, or
        as long as the options say. Raises: NotConnectedError; what it raises."""
        connection = await self._take()
        try:
            return await self._talk(talk, connection, timeout)
        finally:
            self._give_back(connection)

    async def _talk(
        self, talk: Talk[T], connection: AsyncConnection, timeout: float | None = None
    ) -> T:
        """Ask what ``talk`` wants to know, and tell it."""
        if timeout is None:
            timeout = self._options.timeout
        try:
            said = next(talk)
            while True:
                try:
                    if isinstance(said, Pause):
                        await sleep(said.seconds)
                        said = next(talk)
                        continue
                    answer = await connection.ask(said, timeout)
                except ServerError as error:
                    if self._server.is_stale(error):
                        connection.drop()
                    said = talk.throw(error)
                except LostError as error:
                    said = talk.throw(error)
                else:
                    said = talk.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        except (BackendError, ServerError, LostError):
            raise
        except BaseException:  # in the middle of whatever it was
            connection.drop()
            raise

    async def close(self) -> None:
        self._closed = True
        while self._idle:
            await self._idle.pop().close()
