# Generated from backends/redis/sessiontracker_redis/_async/node.py by scripts/generate_sync.py: edit that.
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
from .connections import Connections
from .subscriber import Subscriber
from .wire import Wire

__all__ = ["Node"]


class Node:
    """The server that ``pool``, one of redis-py's, leads to."""

    def __init__(self, pool: Any) -> None:
        self.connections = Connections(pool)
        self._subscribers: WeakSet[Subscriber] = WeakSet()

    def ask(self, timeout: float, *commands: Command) -> list[Any]:
        """As `exchange`."""
        return self.exchange(commands, [wired(each) for each in commands], timeout)

    def exchange(
        self, commands: Sequence[Command], packed: Sequence[bytes], timeout: float, tail: int = 0
    ) -> list[Any]:
        """As many replies as ``commands``, whose wire form is ``packed``, over one connection.

        An error of the server is a reply, too; None where no reply came within ``timeout``
        seconds, or because the connection was lost. Where the server needs scripts, all are
        sent, once, and the last ``tail`` commands again behind what is about a slot.
        Raises: NotConnectedError if nothing was sent.
        """
        until = monotonic() + timeout
        wire = self.connections.take()
        try:
            left = max(0.001, until - monotonic())  # to connect took its time
            received = wire.exchange(b"".join(packed), sum(map(count, commands)), left)
        except BaseException:
            self.connections.drop(wire)
            raise
        return self.settled(wire, commands, together(commands, received), until, tail)

    def settled(
        self,
        wire: Wire,
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
                self._load(wire, commands, again, until - monotonic(), replies)
        except BaseException:
            self.connections.drop(wire)
            raise
        replies += [None] * (len(commands) - len(replies))
        stale = stale_error(replies)
        if stale is not None:
            self.connections.failed(stale)
        if stale is not None or wire.lost or not self.connections.keep(wire):
            self.connections.drop(wire)
        return replies

    def _load(
        self,
        wire: Wire,
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
        answers = wire.exchange(data, len(asked), max(0.001, timeout))
        for index, answer in zip(again, answers, strict=False):
            replies[index] = answer

    def subscribe(self, channel: bytes) -> Subscriber:
        """A connection of its own that hears ``channel``. Raises: NotConnectedError, RedisError,
        OSError."""
        subscriber = Subscriber(self.connections, self.connections.connect())
        self._subscribers.add(subscriber)
        try:
            subscriber.subscribe(channel)
        except BaseException:
            subscriber.close()
            raise
        return subscriber

    def close(self) -> None:
        """Let go of every connection. Who hears nothing here any more is told by an error."""
        for subscriber in list(self._subscribers):
            subscriber.interrupt()
        self.connections.close()
