"""A connection that subscribes to a channel."""

from __future__ import annotations

from redis.exceptions import InvalidResponse

from ..transaction import wire
from .connections import AsyncConnections
from .runtime import AsyncConnection, drop, next_push, take_your_time

__all__ = ["AsyncSubscriber"]


class AsyncSubscriber:
    """Hears what is published through its channel while the connection lasts."""

    def __init__(self, connections: AsyncConnections, connection: AsyncConnection) -> None:
        self._connections = connections
        self._connection = connection
        self._closed = False

    async def subscribe(self, channel: bytes) -> None:
        """Raises: RedisError, OSError."""
        take_your_time(self._connection)
        await self._connection.send_packed_command(
            [wire((b"SUBSCRIBE", channel))], check_health=False
        )

    async def next(self) -> bytes | None:
        """The next message; None once subscribed: what was published before has passed us by.

        Raises: RedisError or OSError once the connection is lost, or interrupted.
        """
        message = await next_push(self._connection)
        match message:
            case [b"message", _, bytes(text)]:
                return text
            case [bytes(), _, _]:
                return None
            case _:
                raise InvalidResponse(f"{type(message).__name__} where a message must be")

    async def interrupt(self) -> None:
        """End what is waiting in `next`, in whichever thread."""
        if not self._closed:  # else somebody else has the connection
            await drop(self._connection)

    async def close(self) -> None:
        self._closed = True
        await self._connections.release(self._connection)
