"""What redis-py offers threads. By hand; ``_async`` has its twin of an event loop."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from time import sleep
from typing import Any, TypeVar

import redis
from redis import connection as redis_connection
from redis import retry as redis_retry
from redis import sentinel as redis_sentinel
from redis._parsers.hiredis import NOT_ENOUGH_DATA, _HiredisParser
from redis.exceptions import RedisError

from ..replies import Bounded, error_of

__all__ = [
    "CLIENT",
    "Connection",
    "ConnectionPool",
    "Parser",
    "PrimaryConnection",
    "PrimarySSLConnection",
    "Redis",
    "RedisCluster",
    "Retry",
    "Sentinel",
    "SentinelConnectionPool",
    "Worker",
    "all_of",
    "drop",
    "is_outdated",
    "is_silent",
    "kwargs_of_cluster",
    "next_push",
    "parse_url",
    "sleep",
    "socket_of",
    "take_your_time",
]

# redis-py says of its types only a part.
Redis: Any = redis.Redis
RedisCluster: Any = redis.RedisCluster
ConnectionPool: Any = redis.ConnectionPool
Connection = Any
Retry: Any = redis_retry.Retry
SentinelConnectionPool: Any = redis_sentinel.SentinelConnectionPool
parse_url: Any = redis_connection.parse_url

T = TypeVar("T")
CLIENT = "redis.Redis"
_STOPPING = 5.0  # s


class Sentinel(redis_sentinel.Sentinel):
    """Asks the sentinels for one at a time: redis-py sorts its list of them when they answer, and
    where two do so at once, it loses some."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._asking = threading.Lock()

    def discover_master(self, service_name: str) -> Any:
        with self._asking:
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]


class PrimaryConnection(redis_sentinel.SentinelManagedConnection):
    """To whom the sentinels name. That it became a replica is an answer like any other."""

    read_response: Any = redis_connection.Connection.read_response


class PrimarySSLConnection(PrimaryConnection, redis_connection.SSLConnection):
    """The same, through TLS."""


def kwargs_of_cluster(client: Any) -> dict[str, Any]:
    """How a client of a cluster connects to its nodes."""
    pool = client.get_default_node().redis_connection.connection_pool
    return {"connection_class": pool.connection_class, **pool.connection_kwargs}


def all_of(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What each of ``calls`` comes to, one after the other."""
    return [call() for call in calls]


# What follows knows of redis-py's connections what redis-py does not promise. Where that has
# changed, tests/test_wire.py fails.


class Parser(_HiredisParser):
    """redis-py's own, which believes no server all that it announces."""

    parse_error = staticmethod(error_of)

    def on_connect(self, connection: Connection, **kwargs: Any) -> None:
        super().on_connect(connection, **kwargs)  # type: ignore[no-untyped-call]
        self._reader: Any = Bounded(self._reader, NOT_ENOUGH_DATA, connection.socket_timeout)


def is_outdated(connection: Connection) -> bool:
    """Whether ``connection`` should be made anew: the server moves, or wants newer credentials."""
    connection = _plain(connection)
    return connection._re_auth_token is not None or connection.should_reconnect()


def is_silent(connection: Connection) -> bool:
    """Whether ``connection`` is there, and nothing has arrived."""
    try:
        return connection.is_connected and not connection.can_read(timeout=0)
    except (RedisError, OSError):
        return False


def socket_of(connection: Connection) -> socket.socket:
    """What ``connection`` writes to; nothing is under way in it."""
    connected: socket.socket = _plain(connection)._sock
    return connected


def _plain(connection: Connection) -> Connection:
    """The connection behind one that caches."""
    return getattr(connection, "_conn", connection)


def next_push(connection: Connection) -> Any:
    """The next message of a connection that subscribes."""
    return connection.read_response(disable_decoding=True, timeout=None, push_request=True)


def take_your_time(connection: Connection) -> None:
    """Let whoever listens on ``connection`` wait for as long as nothing is said."""
    reader = _plain(connection)._parser._reader
    if isinstance(reader, Bounded):
        reader.take_your_time()


def drop(connection: Connection) -> None:
    """Close ``connection``, whatever is under way in it."""
    try:
        connection.disconnect()
    except (RedisError, OSError):
        pass


class Worker:
    """One daemon thread, which works until what it waits for is closed."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Begin ``work``, unless some is being done."""
        with self._mutex:
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = threading.Thread(target=work, name="sessiontracker redis", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_STOPPING)
