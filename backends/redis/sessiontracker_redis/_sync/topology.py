# Generated from backends/redis/sessiontracker_redis/_async/topology.py by scripts/generate_sync.py: edit that.
"""Which servers there are, and how to connect to them."""

from __future__ import annotations

from typing import Any

from redis.maint_notifications import MaintNotificationsConfig

from sessiontracker.backend import ConfigurationError

from ..options import Options
from .runtime import CLIENT, ConnectionPool, Redis, RedisCluster

__all__ = ["pool_of"]


def pool_of(options: Options) -> Any:
    """redis-py's pool of connections to the server. Raises: ConfigurationError."""
    client = options.client
    if client is None:
        return ConnectionPool.from_url(
            options.url,
            socket_timeout=options.timeout,
            socket_connect_timeout=options.timeout,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            **options.connect,
        )
    if isinstance(client, RedisCluster):
        raise ConfigurationError(
            f"{options.where}.client: a Redis Cluster, which this version of sessiontracker-redis "
            "does not support: use a standalone server"
        )
    if not isinstance(client, Redis):
        raise ConfigurationError(f"{options.where}.client: give a {CLIENT}, not {type(client)}")
    return client.connection_pool
