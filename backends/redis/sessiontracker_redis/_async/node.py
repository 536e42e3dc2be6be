"""A node: one server, the connections to it, and what is exchanged over them."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from ..failures import is_stale_connection, needs_script
from ..packing import Command, with_scripts
from ..packing import wire as wired
from .connections import AsyncConnections
from .subscriber import AsyncSubscriber
from .wire import AsyncWire

__all__ = ["AsyncNode"]


class AsyncNode:
    """The server that ``pool``, one of redis-py's, leads to."""

    def __init__(self, pool: Any, *, owned: bool) -> None:
        self.connections = AsyncConnections(pool, owned=owned)

    async def ask(self, timeout: float, *commands: Command) -> list[Any]:
        """As `exchange`."""
        return await self.exchange(commands, [wired(each) for each in commands], timeout)

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
        wire = await self.connections.take()
        try:
            left = max(0.001, until - monotonic())  # to connect took its time
            replies = await wire.exchange(b"".join(packed), len(packed), left)
        except BaseException:
            await self.connections.drop(wire)
            raise
        return await self.settled(wire, commands, replies, until, tail)

    async def settled(
        self,
        wire: AsyncWire,
        commands: Sequence[Command],
        replies: list[Any],
        until: float,
        tail: int = 0,
    ) -> list[Any]:
        """As many replies as ``commands``, of which ``wire`` brought ``replies``.

        Scripts that the server did not know are sent to it, by ``until``.
        """
        try:
            unknown = [index for index, reply in enumerate(replies) if needs_script(reply)]
            if unknown and len(replies) == len(commands):
                unknown += range(len(commands) - tail, len(commands))
                await self._load(wire, commands, unknown, until - monotonic(), replies)
        except BaseException:
            await self.connections.drop(wire)
            raise
        replies += [None] * (len(commands) - len(replies))
        is_stale = wire.lost or any(is_stale_connection(reply) for reply in replies)
        if is_stale or not self.connections.keep(wire):
            await self.connections.drop(wire)
        return replies

    async def _load(
        self,
        wire: AsyncWire,
        commands: Sequence[Command],
        unknown: Sequence[int],
        timeout: float,
        replies: list[Any],
    ) -> None:
        """Ask once more, with the texts, what the server had no script for: it was restarted."""
        packed = [wired(each) for each in with_scripts([commands[index] for index in unknown])]
        for index in unknown:
            replies[index] = None
        answers = await wire.exchange(b"".join(packed), len(packed), max(0.001, timeout))
        for index, answer in zip(unknown, answers, strict=False):
            replies[index] = answer

    async def subscribe(self, channel: bytes) -> AsyncSubscriber:
        """A connection of its own that hears ``channel``. Raises: NotConnectedError, RedisError,
        OSError."""
        subscriber = AsyncSubscriber(self.connections, await self.connections.connect())
        try:
            await subscriber.subscribe(channel)
        except BaseException:
            await subscriber.close()
            raise
        return subscriber

    async def close(self) -> None:
        await self.connections.close()
