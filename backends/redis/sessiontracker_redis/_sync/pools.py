# Generated from backends/redis/sessiontracker_redis/_async/pools.py by scripts/generate_sync.py: edit that.
"""How connections are made: redis-py's pools, from what the configuration says or a client does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from sessiontracker.backend import ConfigurationError, mask

from ..options import Options
from ..slots import Endpoint
from .node import Node
from .runtime import (
    CLIENT,
    ConnectionPool,
    Parser,
    PrimaryConnection,
    PrimarySSLConnection,
    Redis,
    RedisCluster,
    Retry,
    Sentinel,
    SentinelConnectionPool,
    kwargs_of_cluster,
    parse_url,
)

__all__ = ["Pools"]

_PLACE = {"host", "path", "port"}
# What a pool tells its own connections alone.
_OF_POOL = {"maint_notifications_pool_handler", "oss_cluster_maint_notifications_handler"}
_SENTINEL_TIMEOUT = 1.0  # s: there are others to ask
# How all nodes of a cluster are connected to; and ssl_….
_SHARED = {
    "connection_class",
    "client_name",
    "credential_provider",
    "driver_info",
    "password",
    "protocol",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
    "socket_read_size",
    "socket_timeout",
    "username",
}


class Pools:
    """Makes the nodes of one tracker, each with its pool. A client's own pool stays the client's:
    it may be exhausted, and whoever waits for it waits for others.

    Raises: ConfigurationError.
    """

    def __init__(self, options: Options) -> None:
        client = self._client = options.client
        if client is not None and not isinstance(client, (Redis, RedisCluster)):
            raise ConfigurationError(
                f"{options.where}.client: give a {CLIENT} or a {CLIENT}Cluster, not {type(client)}"
            )
        self.is_cluster = options.cluster or isinstance(client, RedisCluster)
        """Whether that is known already: the `only` server may turn out to be one of many."""
        self._options = options
        self._sentinel: Any = None
        wait = options.connecting
        times = {"socket_timeout": wait, "socket_connect_timeout": wait}
        if client is None:
            # In RESP3 a hash is a map, and to make a dict of it takes hiredis longer than a list.
            self._kwargs = {"protocol": 2, **times, **options.connect, **_parsed(options)}
            self._seeds = options.hosts or (_endpoint(self._kwargs),)
        elif self.is_cluster:
            self._kwargs = kwargs_of_cluster(client)
            nodes = client.nodes_manager.startup_nodes.values()
            self._seeds = tuple((node.host, int(node.port)) for node in nodes)
        else:
            pool = client.connection_pool
            known = {
                name: it for name, it in pool.connection_kwargs.items() if name not in _OF_POOL
            }
            limits = {name: known.get(name) or seconds for name, seconds in times.items()}
            self._kwargs = {"connection_class": pool.connection_class, **known, **limits}
            self._seeds = (_endpoint(self._kwargs),)

    # The one server ----------------------------------------------------------

    def only(self) -> Node:
        """The one server, or the one that sentinels say is the primary."""
        return Node(self._of_service() if self._options.service else _pool(self._kwargs))

    def _of_service(self) -> Any:
        kwargs = {name: value for name, value in self._kwargs.items() if name not in _PLACE}
        secure = kwargs.pop("connection_class", None) is not None
        sentinels = {name: value for name, value in kwargs.items() if name.startswith("ssl_")}
        try:
            self._sentinel = Sentinel(
                self._options.hosts,
                sentinel_kwargs={
                    "socket_timeout": _SENTINEL_TIMEOUT,
                    "socket_connect_timeout": _SENTINEL_TIMEOUT,
                    "retry": Retry(NoBackoff(), 0),
                    "ssl": secure,
                    **sentinels,
                    **self._options.sentinel,
                },
            )
        except TypeError as error:  # what stands in the url's query
            raise ConfigurationError(f"{self._options.where}.url: {error}") from None
        return SentinelConnectionPool(
            self._options.service,
            self._sentinel,
            connection_class=PrimarySSLConnection if secure else PrimaryConnection,
            parser_class=Parser,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            **kwargs,
        )

    # A cluster ---------------------------------------------------------------

    def seeds(self) -> Sequence[Endpoint]:
        """Nodes of the cluster that may know the others."""
        return self._seeds

    def member(self, endpoint: Endpoint) -> Node:
        """A node of the cluster."""
        shared = {
            name: value
            for name, value in self._kwargs.items()
            if name in _SHARED or name.startswith("ssl_")
        }
        host, port = self._remapped(endpoint)
        return Node(_pool({**shared, "host": host, "port": port}))

    def _remapped(self, endpoint: Endpoint) -> Endpoint:
        if isinstance(self._client, RedisCluster):
            host, port = self._client.nodes_manager.remap_host_port(*endpoint)
            return host, port
        return endpoint

    def close(self) -> None:
        if self._sentinel is not None:
            self._sentinel.close()


def _parsed(options: Options) -> dict[str, Any]:
    """What redis-py reads in the url. Raises: ConfigurationError."""
    try:
        kwargs: dict[str, Any] = parse_url(options.url)
    except ValueError as error:
        # Only of the query it says nothing that may be a piece of a password.
        said = str(error) if "connection URL" in str(error) else "its host or port is none"
        raise ConfigurationError(
            f"{options.where}.url: {mask(options.url)!r} cannot be read: {said}: write one like "
            '"redis://localhost:6379", with what is no letter or digit of a password as %40'
        ) from None
    return kwargs


def _pool(kwargs: dict[str, Any]) -> Any:
    ours = {
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "parser_class": Parser,
    }
    return ConnectionPool(**{**kwargs, **ours})


def _endpoint(kwargs: dict[str, Any]) -> Endpoint:
    return kwargs.get("host", "localhost"), int(kwargs.get("port", 6379))
