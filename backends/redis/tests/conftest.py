"""Servers: Valkeys and Redises of the tests' own, and what SESSIONTRACKER_TEST_REDIS_URL names."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis, RedisCluster

from redis_servers import Cluster, Server
from sessiontracker.backend import BackendOptions, operations
from sessiontracker_redis._async.backend import AsyncRedisBackend
from sessiontracker_redis._sync.backend import RedisBackend
from sessiontracker_redis.options import Options

NAMED = "SESSIONTRACKER_TEST_REDIS_URL"
KINDS = ["valkey", *["redis"] * (shutil.which("redis-server") is not None)]
SINGLES = ["valkey", *["redis"] * (NAMED in os.environ)]
CLUSTERS = [f"{kind} cluster" for kind in KINDS]


def pytest_report_header() -> list[str]:
    lines = ["sessiontracker-redis: on Valkey, standalone and as a Cluster"]
    if NAMED not in os.environ:
        lines.append(f"sessiontracker-redis: NOT on a Redis: {NAMED} is not set")
    if "redis" not in KINDS:
        lines.append("sessiontracker-redis: NOT on a Redis Cluster: redis-server is not on PATH")
    return lines


def pytest_itemcollected(item: pytest.Item) -> None:
    """One worker asks all tests of these servers."""
    item.add_marker(pytest.mark.xdist_group("redis"))


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """A server that the tests may flush and reconfigure."""
    server = Server("valkey").start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def cluster_of() -> Iterator[Callable[[str], Cluster]]:
    """The cluster of each kind: three primaries, each with a replica."""
    clusters: dict[str, Cluster] = {}

    def started(kind: str) -> Cluster:
        if kind not in clusters:
            clusters[kind] = Cluster(kind, replicas=1).start()
        return clusters[kind]

    yield started
    for cluster in clusters.values():
        cluster.stop()


@pytest.fixture(params=KINDS)
def cluster(request: pytest.FixtureRequest, cluster_of: Callable[[str], Cluster]) -> Cluster:
    """Of each kind in turn; a test leaves it well."""
    return cluster_of(request.param)


@pytest.fixture
def server_of() -> Iterator[Callable[..., Server]]:
    """Starts servers of one's own."""
    servers: list[Server] = []

    def start(kind: str = "valkey", *, wait: bool = True, **config: object) -> Server:
        server = Server(kind, **config)
        servers.append(server)
        return server.start(wait=wait)

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def url(valkey: Server) -> str:
    return valkey.url


@pytest.fixture(params=[*SINGLES, *CLUSTERS])
def any_url(request: pytest.FixtureRequest, url: str, cluster_of: Callable[[str], Cluster]) -> str:
    """Of each server and cluster in turn."""
    kind, _, topology = request.param.partition(" ")
    if topology:
        return cluster_of(kind).url
    return os.environ[NAMED] if kind == "redis" else url


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
def options_of(prefix: str) -> Callable[..., Options]:
    """As a configuration says it, under the test's own prefix."""

    def of(url: str | None, **options: Any) -> Options:
        return Options.of(BackendOptions("hot", url, {"prefix": prefix, **options}))

    return of


@pytest.fixture
def open_backend(options_of: Callable[..., Options]) -> Iterator[OpenBackend]:
    backends: list[RedisBackend] = []

    def open_one(url: str | None, **options: Any) -> RedisBackend:
        backend = RedisBackend(options_of(url, **options))
        backends.append(backend)
        backend.open()
        return backend

    yield open_one
    for backend in backends:
        backend.close()


@pytest.fixture
async def open_async(options_of: Callable[..., Options]) -> Any:
    backends: list[AsyncRedisBackend] = []

    async def open_one(url: str | None, **options: Any) -> AsyncRedisBackend:
        backend = AsyncRedisBackend(options_of(url, **options))
        backends.append(backend)
        await backend.open()
        return backend

    yield open_one
    for backend in backends:
        await backend.close()


@pytest.fixture
def backend(open_backend: OpenBackend, url: str) -> RedisBackend:
    """Open, on the tests' own server."""
    return open_backend(url)


@pytest.fixture
def address() -> operations.Address:
    return operations.Address("checkout", "", "korder-42")


@pytest.fixture
def client(any_url: str, prefix: str) -> Iterator[Any]:
    """redis-py's own client of each server; nothing under the prefix is left behind."""
    kind = RedisCluster if "cluster" in any_url else Redis
    with kind.from_url(any_url.replace("+cluster", "").partition(",")[0]) as client:
        yield client
        for name in client.scan_iter(f"{prefix}*", count=1000):
            client.delete(name)


@pytest.fixture
def ask(
    client: Any, any_url: str, open_backend: OpenBackend
) -> Callable[[operations.Operation], operations.Outcome]:
    backend = open_backend(any_url)
    return lambda operation: backend.execute([operation])[0]
