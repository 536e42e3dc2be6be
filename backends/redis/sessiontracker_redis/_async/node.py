"""A node: one server, the connections to it, and what is exchanged over them."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from ..failures import is_stale_connection, needs_script
from ..packing import Command, wire, with_scripts
from .connections import AsyncConnections
from .runtime import AsyncConnection, exchange
from .subscriber import AsyncSubscriber

__all__ = ["AsyncNode"]


class AsyncNode:
    """The server that ``pool``, one of redis-py's, leads to."""

    def __init__(self, pool: Any, *, owned: bool) -> None:
        self._connections = AsyncConnections(pool, owned=owned)

    async def ask(self, timeout: float, *commands: Command) -> list[Any]:
        """As `exchange`."""
        return await self.exchange(commands, [wire(each) for each in commands], timeout)

    async def exchange(
        self, commands: Sequence[Command], packed: Sequence[bytes], timeout: float, tail: int = 0
    ) -> list[Any]:
        """As many replies as ``commands``, whose wire form is ``packed``, over one connection.

        An error of the server is a reply, too; None where no reply came within ``timeout``
        seconds, or because the connection was lost. A script that the server does not know is
        sent, once, and the last ``tail`` commands again behind it.
        Raises: NotConnectedError if nothing was sent.
        """
        until = monotonic() + timeout
        connection = await self._connections.take()
        replies: list[Any] = []
        try:
            await exchange(connection, b"".join(packed), len(packed), timeout, replies)
            unknown = [index for index, reply in enumerate(replies) if needs_script(reply)]
            if unknown:
                unknown += range(len(commands) - tail, len(commands))
                left = max(0.0, until - monotonic())
                await self._load(connection, commands, unknown, left, replies)
        except (RedisError, OSError):
            await self._connections.drop(connection)
            return replies + [None] * (len(commands) - len(replies))
        except BaseException:
            await self._connections.drop(connection)
            raise
        if any(is_stale_connection(reply) for reply in replies):
            await self._connections.drop(connection)
        else:
            await self._connections.give_back(connection)
        return replies

    async def _load(
        self,
        connection: AsyncConnection,
        commands: Sequence[Command],
        unknown: Sequence[int],
        timeout: float,
        replies: list[Any],
    ) -> None:
        """Ask once more, with the texts, what the server had no script for: it was restarted."""
        again = with_scripts([commands[index] for index in unknown])
        packed = [wire(command) for command in again]
        answers: list[Any] = []
        for index in unknown:
            replies[index] = None
        try:
            await exchange(connection, b"".join(packed), len(packed), timeout, answers)
        finally:
            for index, answer in zip(unknown, answers, strict=False):
                replies[index] = answer

    async def subscribe(self, channel: bytes) -> AsyncSubscriber:
        """A connection of its own that hears ``channel``. Raises: NotConnectedError, RedisError,
        OSError."""
        subscriber = AsyncSubscriber(self._connections, await self._connections.connect())
        try:
            await subscriber.subscribe(channel)
        except BaseException:
            await subscriber.close()
            raise
        return subscriber

    async def close(self) -> None:
        await self._connections.close()
