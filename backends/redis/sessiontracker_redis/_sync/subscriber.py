# Generated from backends/redis/sessiontracker_redis/_async/subscriber.py by scripts/generate_sync.py: edit that.
"""A connection that subscribes to a channel."""

from __future__ import annotations

from redis.exceptions import InvalidResponse

from ..transaction import wire
from .connections import Connections
from .runtime import Connection, drop, next_push, take_your_time

__all__ = ["Subscriber"]


class Subscriber:
    """Hears what is published through its channel while the connection lasts."""

    def __init__(self, connections: Connections, connection: Connection) -> None:
        self._connections = connections
        self._connection = connection
        self._closed = False

    def subscribe(self, channel: bytes) -> None:
        """Raises: RedisError, OSError."""
        take_your_time(self._connection)
        self._connection.send_packed_command([wire((b"SUBSCRIBE", channel))], check_health=False)

    def next(self) -> bytes | None:
        """The next message; None once subscribed: what was published before has passed us by.

        Raises: RedisError or OSError once the connection is lost, or interrupted.
        """
        message = next_push(self._connection)
        match message:
            case [b"message", _, bytes(text)]:
                return text
            case [bytes(), _, _]:
                return None
            case _:
                raise InvalidResponse(f"{type(message).__name__} where a message must be")

    def interrupt(self) -> None:
        """End what is waiting in `next`, in whichever thread."""
        if not self._closed:  # else somebody else has the connection
            drop(self._connection)

    def close(self) -> None:
        self._closed = True
        self._connections.release(self._connection)
