"""A node: one server, the connections to it, and what is exchanged over them."""

from __future__ import annotations

from collections.abc import Sequence
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

    def __init__(self, pool: Any, timeout: float, *, owned: bool) -> None:
        self._connections = AsyncConnections(pool, owned=owned)
        self._timeout = timeout

    async def ask(self, *commands: Command) -> list[Any]:
        """As `exchange`."""
        return await self.exchange(commands, [wire(each) for each in commands])

    async def exchange(self, commands: Sequence[Command], packed: Sequence[bytes]) -> list[Any]:
        """As many replies as ``commands``, whose wire form is ``packed``, over one connection.

        An error of the server is a reply, too; None where no reply came, because the connection
        was lost or time was up. A script that the server does not know is sent, once.
        Raises: NotConnectedError if nothing was sent.
        """
        connection = await self._connections.take()
        replies: list[Any] = []
        try:
            await exchange(connection, b"".join(packed), len(packed), self._timeout, replies)
            unknown = [index for index, reply in enumerate(replies) if needs_script(reply)]
            if unknown:
                await self._load(connection, commands, unknown, replies)
        except (RedisError, OSError):
            await self._connections.drop(connection)
            return replies + [None] * (len(commands) - len(replies))
        except BaseException:
            await self._connections.drop(connection)
            raise
        if any(is_stale_connection(reply) for reply in replies):
            await self._connections.drop(connection)
        else:
            self._connections.give_back(connection)
        return replies

    async def _load(
        self,
        connection: AsyncConnection,
        commands: Sequence[Command],
        unknown: Sequence[int],
        replies: list[Any],
    ) -> None:
        """Ask once more, with the texts, what the server had no script for: it was restarted."""
        again = with_scripts([commands[index] for index in unknown])
        packed = [wire(command) for command in again]
        answers: list[Any] = []
        for index in unknown:
            replies[index] = None
        try:
            await exchange(connection, b"".join(packed), len(packed), self._timeout, answers)
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
