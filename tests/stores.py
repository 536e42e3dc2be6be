"""Stores to test trackers on, and what is in them: as bytes, and as a count of what is kept.

Servers are those that the environment names.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["STORES", "Place", "place_of"]

SERVERS = {
    "redis": "SESSIONTRACKER_TEST_REDIS_URL",
    "postgresql": "SESSIONTRACKER_TEST_POSTGRESQL_URL",
    "mariadb": "SESSIONTRACKER_TEST_MARIADB_URL",
}
STORES = ["file", "sqlite", *(name for name, variable in SERVERS.items() if variable in os.environ)]


class Place(NamedTuple):
    """Where a test's own store is. ``dump`` is all that it holds, ``count`` how many things."""

    use: str
    options: dict[str, Any]
    dump: Callable[[], bytes]
    count: Callable[[], int]

    def config(self, **settings: Any) -> dict[str, Any]:
        """With ``settings`` for all session types."""
        return {
            "backends": {"place": {"use": self.use, **self.options}},
            "defaults": {"storage": "place", "locking": "place", **settings},
        }


@contextmanager
def place_of(name: str, folder: Path) -> Iterator[Place]:
    """One of `STORES`, in a ``folder`` of the test's own or under a prefix; nothing is left behind
    on a server."""
    if name == "file":
        yield _file(folder)
    elif name == "sqlite":
        yield _sqlite(folder)
    elif name == "redis":
        yield from _redis(os.environ[SERVERS[name]])
    else:
        yield from _server(os.environ[SERVERS[name]])


def _file(folder: Path) -> Place:
    def files() -> list[Path]:
        return [path for path in sorted(folder.rglob("*")) if path.is_file()]

    def dump() -> bytes:
        return b"\n".join(str(path).encode() + b"\n" + path.read_bytes() for path in files())

    def count() -> int:
        """But for what locks a directory, and what says whose it is."""
        return sum(not path.name.startswith(".") for path in files())

    return Place("file", {"url": str(folder)}, dump, count)


def _sqlite(folder: Path) -> Place:
    path = folder / "sessions.db"

    def dump() -> bytes:
        with closing(sqlite3.connect(path)) as database:
            text = "\n".join(database.iterdump()).encode()
        return text + b"".join(file.read_bytes() for file in sorted(folder.iterdir()))

    def count() -> int:
        with closing(sqlite3.connect(path)) as database:
            tables = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            names = [name for (name,) in tables if not name.endswith("schema")]
            counts = [database.execute(f"SELECT count(*) FROM {name}") for name in names]
            return sum(count.fetchone()[0] for count in counts)

    return Place("sql", {"url": f"sqlite:///{path}"}, dump, count)


def _redis(url: str) -> Iterator[Place]:
    from redis import Redis

    prefix = f"test-{secrets.token_hex(6)}:"
    with Redis.from_url(url) as client:

        def names() -> list[bytes]:
            return sorted(client.scan_iter(f"{prefix}*", count=1000))

        def dump() -> bytes:
            return b"\n".join(part for name in names() for part in (name, *_values(client, name)))

        def count() -> int:
            return sum(len(_values(client, name)) for name in names())

        yield Place("redis", {"url": url, "prefix": prefix}, dump, count)
        for name in names():
            client.delete(name)


def _values(client: Any, name: bytes) -> list[bytes]:
    if client.type(name) == b"hash":
        return [part for pair in client.hgetall(name).items() for part in pair]
    return [client.get(name) or b""]


def _server(url: str) -> Iterator[Place]:
    from sqlalchemy import create_engine, make_url, text

    prefix = f"t{secrets.token_hex(4)}_"
    driver = "postgresql+psycopg" if url.startswith("postgres") else "mysql+pymysql"
    engine = create_engine(make_url(url).set(drivername=driver), isolation_level="AUTOCOMMIT")

    def rows() -> list[Any]:
        """But for the one that says who is reaping."""
        with engine.connect() as connection:
            tables = [f"{prefix}keys", f"{prefix}owners"]
            found = [connection.execute(text(f"SELECT * FROM {table}")) for table in tables]
            return [row for result in found for row in result if bytes(row[0])]

    def dump() -> bytes:
        values = [value for row in rows() for value in row]
        return b"\n".join(
            bytes(value) if isinstance(value, (bytes, memoryview)) else repr(value).encode()
            for value in values
        )

    yield Place("sql", {"url": url, "table_prefix": prefix}, dump, lambda: len(rows()))
    with engine.connect() as connection:
        for table in ("keys", "owners", "schema"):
            connection.execute(text(f"DROP TABLE IF EXISTS {prefix}{table}"))
    engine.dispose()
