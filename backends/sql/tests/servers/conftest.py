"""Servers: a PostgreSQL of the tests' own, and those that the environment names."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from time import sleep
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy import Engine, create_engine

from database_servers import MARIADB, MariaDB, PostgreSQL, Server
from drivers import with_driver
from sessiontracker.backend import BackendOptions, operations
from sessiontracker.keys import new_scope
from sessiontracker_sql._sync import connections
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.server_options import ServerOptions
from sessiontracker_sql.servers import server_of
from sessiontracker_sql.talk import Query

from .shops import Shop, opened

NAMED = {
    "postgresql": "SESSIONTRACKER_TEST_POSTGRESQL_URL",
    "mariadb": "SESSIONTRACKER_TEST_MARIADB_URL",
}
SERVERS = ["own", *(name for name, variable in NAMED.items() if variable in os.environ)]
POSTGRESQL = [name for name in SERVERS if name != "mariadb"]


OWN = ["postgresql", "mariadb"]


def pytest_report_header() -> list[str]:
    lines = ["sessiontracker-sql: on a PostgreSQL of its own"]
    if MARIADB is None:
        lines.append("sessiontracker-sql: NOT on a MariaDB of its own: mariadbd is not installed")
    for variable in NAMED.values():
        said = "and on the server at" if variable in os.environ else "NOT on another: not set is"
        lines.append(f"sessiontracker-sql: {said} {variable}")
    return lines


def pytest_itemcollected(item: pytest.Item) -> None:
    """One worker asks all tests of these servers."""
    item.add_marker(pytest.mark.xdist_group("databases"))


@pytest.fixture(scope="session")
def own_postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL that the tests may stop and reconfigure."""
    server = PostgreSQL().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def own_mariadb() -> Iterator[MariaDB]:
    """A MariaDB that the tests may stop and reconfigure."""
    if MARIADB is None:
        pytest.skip("mariadbd is not installed: install MariaDB's server")
    server = MariaDB().start()
    yield server
    server.stop()


@pytest.fixture(params=OWN)
def own(request: pytest.FixtureRequest) -> Server:
    """Each of them in turn."""
    server: Server = request.getfixturevalue(f"own_{request.param}")
    return server


@pytest.fixture(scope="session")
def own_url(own_postgresql: PostgreSQL) -> str:
    return own_postgresql.url


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> str:
    """Of each server in turn."""
    return named_url(request.param, request)


def named_url(name: str, request: pytest.FixtureRequest) -> str:
    """The URL of the server of this name in `SERVERS`."""
    if name == "own":
        return str(request.getfixturevalue("own_url"))
    return os.environ[NAMED[name]]


class Admin:
    """An administrator's own connection, in autocommit mode."""

    def __init__(self, url: str, prefix: str = "") -> None:
        """Whose tables' names begin with ``prefix``."""
        self.prefix = prefix
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

    def others(self) -> list[int]:
        """The numbers of all other clients' connections."""
        statement = (
            "SELECT pid FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            if self.is_postgresql
            else "SELECT id FROM information_schema.processlist "
            "WHERE id <> CONNECTION_ID() AND user <> 'system user'"
        )
        return [number for (number,) in self.execute(statement)]

    def end_others(self) -> None:
        for number in self.others():
            self.end(number)

    def end(self, number: int) -> None:
        """End one of them."""
        if self.is_postgresql:
            self.execute(f"SELECT pg_terminate_backend({number})")
        else:
            with suppress(pymysql.OperationalError):  # it has gone by itself
                self.execute(f"KILL {number}")

    def close(self) -> None:
        self._driver.close()


def await_waiter(admin: Admin, work: Future[Any] | None = None) -> None:
    """Until somebody waits for a row of ``admin``'s tables, who does ``work``."""
    waiters = (
        "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        if admin.is_postgresql
        # Where MariaDB says who waits for rows, it says what was so a while ago.
        else "SELECT info FROM information_schema.processlist WHERE time_ms > 200"
    )
    while not any(admin.prefix in (query or "") for (query,) in admin.execute(waiters)):
        assert work is None or not work.done(), work.result()
        sleep(0.02)


@pytest.fixture
def admin(url: str, prefix: str) -> Iterator[Admin]:
    admin = Admin(url, prefix)
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
    drop_tables(url, prefix)


def drop_tables(url: str, prefix: str) -> None:
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


class Asked(list[Query]):
    """What a server was asked, and how many rows it brought."""

    rows = 0


def have_asked_through(
    monkeypatch: pytest.MonkeyPatch, through: Callable[[Query, Callable[[], Any]], Any]
) -> None:
    """Have connections that are made from now on ask ``through`` that, which is given each query,
    and what asks it."""
    connect = connections.connect

    def connected(options: Any) -> Any:
        connection = connect(options)
        ask = connection.ask
        connection.ask = lambda query, timeout: through(  # type: ignore[method-assign]
            query, lambda: ask(query, timeout)
        )
        return connection

    monkeypatch.setattr(connections, "connect", connected)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the server is asked by connections that are made from then on."""
    queries = Asked()

    def noting(query: Query, ask: Callable[[], Any]) -> Any:
        queries.append(query)
        answer = ask()
        queries.rows += len(answer.rows)
        return answer

    have_asked_through(monkeypatch, noting)
    return queries


@pytest.fixture
def backend(open_backend: OpenBackend) -> ServerBackend:
    """Open, with the server's own clock."""
    return open_backend()


def options_of(url: str, **options: Any) -> ServerOptions:
    return ServerOptions.of(BackendOptions("ledger", url, options))


@pytest.fixture
def address() -> operations.Address:
    return operations.Address("checkout", "", "korder-42")


@pytest.fixture
def owner() -> operations.Address:
    """Whose sessions are of the type ``login``."""
    return operations.Address("login", new_scope(), "")


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(with_driver(url, asynchronous=False))
    yield engine
    engine.dispose()


@pytest.fixture
def patience() -> str:
    """For how long a call of a shop's tracker may take: a test may set it."""
    return "30s"


@pytest.fixture
def shop(url: str, prefix: str, patience: str) -> Iterator[Shop]:
    with opened(url, prefix, patience) as shop:
        yield shop


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool
