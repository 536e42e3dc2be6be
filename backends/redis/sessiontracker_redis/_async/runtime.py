"""What redis-py offers an event loop. By hand; ``_sync`` has its twin of threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from math import inf
from typing import Any, TypeVar

from redis import asyncio as redis_asyncio
from redis.asyncio import connection as redis_connection
from redis.asyncio import retry as redis_retry
from redis.asyncio import sentinel as redis_sentinel
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
    "AsyncPrimaryConnection",
    "AsyncPrimarySSLConnection",
    "AsyncRedis",
    "AsyncRedisCluster",
    "AsyncRetry",
    "AsyncSentinel",
    "AsyncSentinelConnectionPool",
    "AsyncWorker",
    "all_of",
    "drop",
    "exchange",
    "is_usable",
    "kwargs_of_cluster",
    "next_push",
    "parse_url",
    "sleep",
    "without_timeouts",
]

# redis-py says of its types only a part.
AsyncRedis: Any = redis_asyncio.Redis
AsyncRedisCluster: Any = redis_asyncio.RedisCluster
AsyncConnectionPool: Any = redis_asyncio.ConnectionPool
AsyncConnection = Any
AsyncRetry: Any = redis_retry.Retry
AsyncSentinel: Any = redis_sentinel.Sentinel
AsyncSentinelConnectionPool: Any = redis_sentinel.SentinelConnectionPool
parse_url: Any = redis_connection.parse_url

sleep = asyncio.sleep
T = TypeVar("T")

CLIENT = "redis.asyncio.Redis"
_ANSWERS = (ResponseError, BusyLoadingError, AuthenticationError, AuthorizationError)
"""Errors that the server sent: the connection goes on."""


class AsyncPrimaryConnection(redis_sentinel.SentinelManagedConnection):
    """To whom the sentinels name. That it became a replica is an answer like any other."""

    read_response: Any = redis_connection.Connection.read_response


class AsyncPrimarySSLConnection(AsyncPrimaryConnection, redis_connection.SSLConnection):
    """The same, through TLS."""


def kwargs_of_cluster(client: Any) -> dict[str, Any]:
    """How a client of a cluster connects to its nodes."""
    kwargs: dict[str, Any] = client.connection_kwargs
    return kwargs


async def all_of(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """What each of ``calls`` comes to, all at once."""
    if len(calls) == 1:
        return [await calls[0]()]
    return await asyncio.gather(*(call() for call in calls))


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
