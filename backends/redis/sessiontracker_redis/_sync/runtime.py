"""What redis-py offers threads. By hand; ``_async`` has its twin of an event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

import redis
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    RedisError,
    ResponseError,
)

__all__ = [
    "CLIENT",
    "Connection",
    "ConnectionPool",
    "Redis",
    "RedisCluster",
    "Worker",
    "drop",
    "exchange",
    "is_usable",
    "next_push",
    "sleep",
    "without_timeouts",
]

# redis-py says of its types only a part.
Redis: Any = redis.Redis
RedisCluster: Any = redis.RedisCluster
ConnectionPool: Any = redis.ConnectionPool
Connection = Any

CLIENT = "redis.Redis"
_ANSWERS = (ResponseError, BusyLoadingError, AuthenticationError, AuthorizationError)
"""Errors that the server sent: the connection goes on."""

_STOPPING = 5.0  # s


def without_timeouts(connection: Connection) -> None:
    """What is exchanged has a deadline of its own, and a subscriber waits for ever."""
    connection.health_check_interval = 0


def is_usable(connection: Connection) -> bool:
    """Whether an idle ``connection`` is still there, as far as one can see."""
    try:
        return connection.is_connected and not connection.can_read(timeout=0)
    except (RedisError, OSError):
        return False


def exchange(
    connection: Connection, data: bytes, count: int, timeout: float, replies: list[Any]
) -> None:
    """Send ``data`` and add its ``count`` replies to ``replies``; errors are replies, too.

    Raises: RedisError or OSError if the connection is lost, or after ``timeout`` seconds; it
    must be dropped then.
    """
    until = monotonic() + timeout
    connection.send_packed_command([data], check_health=False)
    for _ in range(count):
        left = max(0.001, until - monotonic())
        try:
            reply = connection.read_response(
                disable_decoding=True, timeout=left, disconnect_on_error=False
            )
        except _ANSWERS as error:
            reply = error
        replies.append(reply)


def next_push(connection: Connection) -> Any:
    """The next message of a connection that subscribes."""
    return connection.read_response(disable_decoding=True, timeout=None, push_request=True)


def drop(connection: Connection) -> None:
    """Close ``connection``, whatever is under way in it."""
    try:
        connection.disconnect()
    except (RedisError, OSError):
        pass


class Worker:
    """One daemon thread, which works until what it waits for is closed."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=work, name="sessiontracker redis", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_STOPPING)
