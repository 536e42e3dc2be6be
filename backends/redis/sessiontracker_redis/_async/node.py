"""A node: one server, the connections to it, and what is exchanged over them."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any
from weakref import WeakSet

from ..failures import is_error, needs_script, stale_error
from ..order import sendable
from ..packing import LOADS, Command, with_scripts
from ..transaction import count, is_transaction, together
from ..transaction import wire as wired
from .connections import AsyncConnections
from .subscriber import AsyncSubscriber
from .wire import AsyncWire

__all__ = ["AsyncNode"]


class AsyncNode:
    """The server that ``pool``, one of redis-py's, leads to."""

    def __init__(self, pool: Any) -> None:
        self.connections = AsyncConnections(pool)
        self._subscribers: WeakSet[AsyncSubscriber] = WeakSet()

    async def ask(self, timeout: float, *commands: Command) -> list[Any]:
        """As `exchange`."""
        return await self.exchange(commands, [wired(each) for each in commands], timeout)

    async def exchange(
        self, commands: Sequence[Command], packed: Sequence[bytes], timeout: float, tail: int = 0
    ) -> list[Any]:
        """As many replies as ``commands``, whose wire form is ``packed``, over one connection.

        An error of the server is a reply, too; None where no reply came within ``timeout``
        seconds, or because the connection was lost. Where the server needs scripts, all are
        sent, once, and the last ``tail`` commands again behind what is about a slot.
        Raises: NotConnectedError if nothing was sent.
        """
        until = monotonic() + timeout
        wire = await self.connections.take()
        try:
            left = max(0.001, until - monotonic())  # to connect took its time
            received = await wire.exchange(b"".join(packed), sum(map(count, commands)), left)
        except BaseException:
            await self.connections.drop(wire)
            raise
        return await self.settled(wire, commands, together(commands, received), until, tail)

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
        is_whole = len(replies) == len(commands) and not wire.lost
        if is_whole and not any(map(is_error, replies)) and self.connections.keep(wire):
            return replies
        try:
            unknown = [
                index
                for index, (command, reply) in enumerate(zip(commands, replies, strict=False))
                if needs_script(reply, of_transaction=is_transaction(command))
            ]
            if unknown and len(replies) == len(commands):
                first_of_tail = len(commands) - tail
                again = sendable(commands[:first_of_tail], set(unknown))
                again += range(first_of_tail, len(commands))
                await self._load(wire, commands, again, until - monotonic(), replies)
        except BaseException:
            await self.connections.drop(wire)
            raise
        replies += [None] * (len(commands) - len(replies))
        stale = stale_error(replies)
        if stale is not None:
            self.connections.failed(stale)
        if stale is not None or wire.lost or not self.connections.keep(wire):
            await self.connections.drop(wire)
        return replies

    async def _load(
        self,
        wire: AsyncWire,
        commands: Sequence[Command],
        again: Sequence[int],
        timeout: float,
        replies: list[Any],
    ) -> None:
        """Ask ``again``, with the texts, what the server had no script for: it was restarted.

        Those that nobody asked for go there as well, so that it knows all or none.
        """
        asked = [*with_scripts([commands[index] for index in again]), *LOADS]
        for index in again:
            replies[index] = None
        data = b"".join(map(wired, asked))
        answers = await wire.exchange(data, len(asked), max(0.001, timeout))
        for index, answer in zip(again, answers, strict=False):
            replies[index] = answer

    async def subscribe(self, channel: bytes) -> AsyncSubscriber:
        """A connection of its own that hears ``channel``. Raises: NotConnectedError, RedisError,
        OSError."""
        subscriber = AsyncSubscriber(self.connections, await self.connections.connect())
        self._subscribers.add(subscriber)
        try:
            await subscriber.subscribe(channel)
        except BaseException:
            await subscriber.close()
            raise
        return subscriber

    async def close(self) -> None:
        """Let go of every connection. Who hears nothing here any more is told by an error."""
        for subscriber in list(self._subscribers):
            await subscriber.interrupt()
        await self.connections.close()
