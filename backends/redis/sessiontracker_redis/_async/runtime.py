"""What redis-py offers an event loop. By hand; ``_sync`` has its twin of threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

from redis import asyncio as redis_asyncio
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    RedisError,
    ResponseError,
)

__all__ = [
    "CLIENT",
    "AsyncConnection",
    "AsyncConnectionPool",
    "AsyncRedis",
    "AsyncRedisCluster",
    "AsyncWorker",
    "drop",
    "exchange",
    "is_usable",
    "next_push",
    "sleep",
    "without_timeouts",
]

# redis-py says of its types only a part.
AsyncRedis: Any = redis_asyncio.Redis
AsyncRedisCluster: Any = redis_asyncio.RedisCluster
AsyncConnectionPool: Any = redis_asyncio.ConnectionPool
AsyncConnection = Any

sleep = asyncio.sleep

CLIENT = "redis.asyncio.Redis"
_ANSWERS = (ResponseError, BusyLoadingError, AuthenticationError, AuthorizationError)
"""Errors that the server sent: the connection goes on."""


def without_timeouts(connection: AsyncConnection) -> None:
    """One deadline for all that is exchanged takes the place of redis-py's own, one a command."""
    connection.socket_timeout = None
    connection.health_check_interval = 0


async def is_usable(connection: AsyncConnection) -> bool:
    """Whether an idle ``connection`` is still there, as far as one can see."""
    try:
        return connection.is_connected and not await connection.can_read()
    except (RedisError, OSError):
        return False


async def exchange(
    connection: AsyncConnection, data: bytes, count: int, timeout: float, replies: list[Any]
) -> None:
    """Send ``data`` and add its ``count`` replies to ``replies``; errors are replies, too.

    Raises: RedisError, OSError or TimeoutError if the connection is lost, or after
    ``timeout`` seconds; it must be dropped then.
    """
    read = connection.read_response
    async with asyncio.timeout(timeout):
        await connection.send_packed_command([data], check_health=False)
        for _ in range(count):
            try:
                reply = await read(disable_decoding=True, disconnect_on_error=False)
            except _ANSWERS as error:
                reply = error
            replies.append(reply)


async def next_push(connection: AsyncConnection) -> Any:
    """The next message of a connection that subscribes."""
    return await connection.read_response(disable_decoding=True, timeout=inf, push_request=True)


async def drop(connection: AsyncConnection) -> None:
    """Close ``connection``, whatever is under way in it."""
    try:
        await connection.disconnect(nowait=True)
    except (RedisError, OSError):
        pass


class AsyncWorker:
    """One task that works until it is stopped."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._task = asyncio.get_running_loop().create_task(work())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
