"""What redis-py offers an event loop. By hand; ``_sync`` has its twin of threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from math import inf
from typing import Any, TypeVar

from redis import asyncio as redis_asyncio
from redis._parsers.hiredis import NOT_ENOUGH_DATA, _AsyncHiredisParser
from redis.asyncio import connection as redis_connection
from redis.asyncio import retry as redis_retry
from redis.asyncio import sentinel as redis_sentinel
from redis.exceptions import RedisError

from ..replies import Bounded, error_of

__all__ = [
    "CLIENT",
    "AsyncConnection",
    "AsyncConnectionPool",
    "AsyncParser",
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
    "is_outdated",
    "kwargs_of_cluster",
    "next_push",
    "parse_url",
    "sleep",
    "take_your_time",
    "transport_of",
]

# redis-py says of its types only a part.
AsyncRedis: Any = redis_asyncio.Redis
AsyncRedisCluster: Any = redis_asyncio.RedisCluster
AsyncConnectionPool: Any = redis_asyncio.ConnectionPool
AsyncConnection = Any
AsyncRetry: Any = redis_retry.Retry
AsyncSentinelConnectionPool: Any = redis_sentinel.SentinelConnectionPool
parse_url: Any = redis_connection.parse_url

sleep = asyncio.sleep
T = TypeVar("T")

CLIENT = "redis.asyncio.Redis"


class AsyncSentinel(redis_sentinel.Sentinel):
    """Asks the sentinels for one at a time: redis-py sorts its list of them when they answer, and
    where two do so at once, it loses some."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._asking = asyncio.Lock()

    async def discover_master(self, service_name: str) -> Any:
        async with self._asking:
            return await super().discover_master(service_name)


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


# What follows knows of redis-py's connections what redis-py does not promise. Where that has
# changed, tests/test_wire.py fails.


class AsyncParser(_AsyncHiredisParser):
    """redis-py's own, which believes no server all that it announces."""

    parse_error = staticmethod(error_of)

    def on_connect(self, connection: AsyncConnection, **kwargs: Any) -> None:
        super().on_connect(connection, **kwargs)  # type: ignore[no-untyped-call]
        self._reader: Any = Bounded(self._reader, NOT_ENOUGH_DATA, connection.socket_timeout)


def is_outdated(connection: AsyncConnection) -> bool:
    """Whether ``connection`` should be made anew: the server moves, or wants newer credentials."""
    return connection._re_auth_token is not None or connection.should_reconnect()


def transport_of(connection: AsyncConnection) -> asyncio.Transport:
    """What ``connection`` writes to; nothing is under way in it."""
    transport: asyncio.Transport = connection._writer.transport
    return transport


async def next_push(connection: AsyncConnection) -> Any:
    """The next message of a connection that subscribes."""
    return await connection.read_response(disable_decoding=True, timeout=inf, push_request=True)


def take_your_time(connection: AsyncConnection) -> None:
    """Let whoever listens on ``connection`` wait for as long as nothing is said."""
    reader = connection._parser._reader
    if isinstance(reader, Bounded):
        reader.take_your_time()


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

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin ``work``, unless some is being done."""
        if self._task is not None and not self._task.done():
            return
        self._task = asyncio.get_running_loop().create_task(work())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
