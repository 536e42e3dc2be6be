"""The stores that are loaded, on servers of their own, and how many bytes each of them takes.

With ``scripts`` on PYTHONPATH.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import psycopg
import pymysql

from database_servers import MariaDB, PostgreSQL
from redis_servers import Server

__all__ = ["PLACES", "Place", "place_of"]


class Place(NamedTuple):
    """A tracker's options, and the bytes that the store holds outside of the process."""

    options: dict[str, Any]
    size: Callable[[], int]


def _memory(folder: Path) -> Iterator[Place]:
    yield Place({"backend": "memory"}, lambda: 0)


def _files(folder: Path) -> int:
    """As allocated on the disk."""
    return sum(path.stat().st_blocks for path in folder.rglob("*")) * 512


def _file(folder: Path) -> Iterator[Place]:
    yield Place({"backend": "file", "url": str(folder / "files")}, lambda: _files(folder))


def _sqlite(folder: Path) -> Iterator[Place]:
    url = f"sqlite:///{folder / 'sessions.db'}"
    yield Place({"backend": "sql", "url": url}, lambda: _files(folder))


def _valkey(folder: Path) -> Iterator[Place]:
    server = Server("valkey").start()
    try:
        options = {"backend": "redis", "url": server.url}
        yield Place(options, lambda: int(server.ask("INFO", "memory")["used_memory"]))
    finally:
        server.stop()


def _postgresql(folder: Path) -> Iterator[Place]:
    server = PostgreSQL().start()

    def size() -> int:
        with psycopg.connect(server.url) as admin:
            asked = "SELECT pg_total_relation_size('sessiontracker_keys')"
            [found] = admin.execute(asked).fetchone() or [0]
            return int(found)

    try:
        yield Place({"backend": "sql", "url": server.url}, size)
    finally:
        server.stop()


def _mariadb(folder: Path) -> Iterator[Place]:
    server = MariaDB(None, "--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M").start()

    def size() -> int:
        with closing(pymysql.connect(**server.where)) as admin, admin.cursor() as cursor:
            cursor.execute("ANALYZE TABLE test.sessiontracker_keys")
            cursor.execute(
                "SELECT data_length + index_length FROM information_schema.tables "
                "WHERE table_name = 'sessiontracker_keys'"
            )
            return int((cursor.fetchone() or [0])[0])

    try:
        yield Place({"backend": "sql", "url": server.url}, size)
    finally:
        server.stop()


PLACES: dict[str, Callable[[Path], Iterator[Place]]] = {
    "memory": _memory,
    "file": _file,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mariadb": _mariadb,
    "valkey": _valkey,
}


@contextmanager
def place_of(name: str) -> Iterator[Place]:
    """One of `PLACES`, empty."""
    with TemporaryDirectory() as folder:
        yield from PLACES[name](Path(folder))
