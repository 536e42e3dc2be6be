"""The stores that are tried, on servers of their own, and how what they keep is counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pymysql

from database_servers import MariaDB, PostgreSQL
from redis_servers import Cluster, Server

__all__ = ["STORES", "Store", "store_of"]


class Store(NamedTuple):
    """Where processes keep sessions and locks. ``count`` says how many rows, keys or files there
    are, and how many connections but its own: none is told of what is in each process alone.
    ``pids`` are those of its servers."""

    backends: dict[str, dict[str, Any]]
    count: Callable[[], tuple[int, int]] | None
    database: str | None = None
    storage: str = "place"
    locking: str = "place"
    pids: Sequence[int] = ()


# But for the row of the lock of who reaps, which stays for an hour.
ROWS = ("keys WHERE type <> ''", "owners")


def _memory(folder: Path) -> Iterator[Store]:
    yield Store({"place": {"use": "memory"}}, None)


def _file(folder: Path) -> Iterator[Store]:
    def count() -> tuple[int, int]:
        """But for what locks a directory, and what says whose it is."""
        files = (path for path in folder.rglob("*") if path.is_file())
        return sum(not path.name.startswith(".") for path in files), 0

    yield Store({"place": {"use": "file", "url": str(folder / "files")}}, count)


def _sqlite(folder: Path) -> Iterator[Store]:
    url = f"sqlite:///{folder / 'sessions.db'}"
    yield Store({"place": {"use": "sql", "url": url}}, _rows_of(folder), url)


def _rows_of(folder: Path) -> Callable[[], tuple[int, int]]:
    def count() -> tuple[int, int]:
        with closing(sqlite3.connect(folder / "sessions.db", timeout=30)) as database:
            asked = "SELECT count(*) FROM sessiontracker_{}"
            return sum(database.execute(asked.format(rows)).fetchone()[0] for rows in ROWS), 0

    return count


def _postgresql(folder: Path) -> Iterator[Store]:
    server = PostgreSQL()
    server.set(synchronous_commit="off")  # the disk has others to serve
    server.start()

    def count() -> tuple[int, int]:
        with psycopg.connect(server.url, autocommit=True) as admin:
            return _asked(
                lambda text: admin.execute(text).fetchone(),  # type: ignore[arg-type]
                "pg_stat_activity WHERE backend_type = 'client backend'",
            )

    try:
        place = {"place": {"use": "sql", "url": server.url}}
        yield Store(place, count, server.url, pids=[server.pid])
    finally:
        server.stop()


def _mariadb(folder: Path) -> Iterator[Store]:
    server = MariaDB(None, "--innodb-flush-log-at-trx-commit=2").start()

    def count() -> tuple[int, int]:
        with closing(pymysql.connect(**server.where, database="test")) as admin:
            cursor = admin.cursor()

            def ask(text: str) -> Any:
                cursor.execute(text)
                return cursor.fetchone()

            return _asked(ask, "information_schema.processlist WHERE user = 'root'")

    try:
        place = {"place": {"use": "sql", "url": server.url}}
        yield Store(place, count, server.url, pids=[server.pid])
    finally:
        server.stop()


def _asked(ask: Callable[[str], Any], connections: str) -> tuple[int, int]:
    tables = [f"sessiontracker_{rows}" for rows in ROWS]
    *rows, connected = (ask(f"SELECT count(*) FROM {what}")[0] for what in (*tables, connections))
    return sum(rows), connected - 1


def _valkey(folder: Path) -> Iterator[Store]:
    server = Server("valkey").start()
    try:
        place = {"place": {"use": "redis", "url": server.url}}
        yield Store(place, lambda: _keys([server]), pids=[server.pid])
    finally:
        server.stop()


def _cluster(folder: Path) -> Iterator[Store]:
    cluster = Cluster("valkey").start()
    try:
        place = {"place": {"use": "redis", "url": cluster.url}}
        pids = [server.pid for server in cluster.primaries]
        yield Store(place, lambda: _keys(cluster.primaries), pids=pids)
    finally:
        cluster.stop()


def _keys(servers: Sequence[Server]) -> tuple[int, int]:
    keys = connections = 0
    for server in servers:
        keys += server.ask("DBSIZE")
        connections += server.ask("INFO", "clients")["connected_clients"] - 1
    return keys, connections


def _apart(folder: Path) -> Iterator[Store]:
    """Locks in one store and sessions in another."""
    server = Server("valkey").start()
    url = f"sqlite:///{folder / 'sessions.db'}"
    backends = {
        "sessions": {"use": "sql", "url": url},
        "locks": {"use": "redis", "url": server.url},
    }
    rows = _rows_of(folder)

    def count() -> tuple[int, int]:
        keys, connections = _keys([server])
        return keys + rows()[0], connections

    try:
        yield Store(backends, count, url, "sessions", "locks", [server.pid])
    finally:
        server.stop()


STORES: dict[str, Callable[[Path], Iterator[Store]]] = {
    "memory": _memory,
    "file": _file,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mariadb": _mariadb,
    "valkey": _valkey,
    "cluster": _cluster,
    "apart": _apart,
}


@contextmanager
def store_of(name: str, folder: Path) -> Iterator[Store]:
    """One of `STORES`, with what it keeps in ``folder``, if that is a place of files."""
    folder.mkdir(parents=True)
    yield from STORES[name](folder)
