"""What a database holds in our tables: rows of which a column, or the place, is spoilt."""

from __future__ import annotations

import os
import secrets
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import psycopg
import pymysql
from sqlalchemy.engine import make_url

from .mutations import any_bytes, any_number, any_value, spoilt, spoilt_value
from .stored import Contents, Stored

__all__ = ["TARGETS"]

_TABLES = ("keys", "owners")
_PLACE = {"keys": ("type", "scope", "key"), "owners": ("type", "scope")}
_WAITER = [7, "web-1", 1000, 1_800_000_000_000]
_DEPTHS = (100, 2_000, 100_000)


class _Database(Stored):
    """One database, through a connection of the tests' own: ``execute`` says what rows came."""

    mark = "%s"
    steps = 30

    def open(self) -> None:
        self._prefix = f"fuzz{secrets.token_hex(3)}_"
        self._columns: dict[str, list[str]] = {}
        self.connect()
        super().open()

    def connect(self) -> None:
        """Make ready what `execute` needs."""

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> tuple[list[str], list[Any]]:
        """The columns' names, and the rows."""
        raise NotImplementedError

    def quoted(self, name: str) -> str:
        return f'"{name}"'

    def contents(self) -> Contents:
        rows: Contents = {}
        for table in _TABLES:
            self._columns[table], found = self.execute(f"SELECT * FROM {self._prefix}{table}")
            for number, row in enumerate(sorted(found, key=repr)):
                rows[table, number] = tuple(row)
        return rows

    def put(self, contents: Contents) -> None:
        for table in _TABLES:
            self.execute(f"DELETE FROM {self._prefix}{table}")
        for (table, _), row in contents.items():
            names = ", ".join(map(self.quoted, self._columns[table]))
            marks = ", ".join([self.mark] * len(row))
            self.execute(f"INSERT INTO {self._prefix}{table} ({names}) VALUES ({marks})", row)

    def spoil(self, random: Random, contents: Mapping[Any, Any]) -> Contents:
        rows = dict(contents)
        for _ in range(random.choice((1, 1, 1, 2))):
            at = table, _ = random.choice(list(rows))
            row, names = list(rows[at]), self._columns[table]
            column = random.randrange(len(row))
            name = names[column]
            if name in _PLACE[table]:
                if random.random() < 0.5:
                    continue
                row[column] = random.choice((b"\xff\xfe", any_bytes(random)[:60]))
            elif name == "queue":
                row[column] = self._queue(random)
            else:
                row[column] = self.value(random, name, row[column])
            rows[at] = tuple(row)
        return rows

    def _queue(self, random: Random) -> bytes | None:
        if random.random() < 0.2:
            bomb = b"\x91" * random.choice(_DEPTHS) + b"\xc0"
            waiter = b"\x95" + msgspec.msgpack.encode(_WAITER)[1:]  # and one item too many
            return random.choice((bomb, b"\x91" + waiter + bomb))
        try:
            queue = msgspec.msgpack.encode(spoilt_value(random, [_WAITER, list(_WAITER)]))
        except (OverflowError, RecursionError, TypeError, ValueError):
            queue = any_bytes(random)
        return spoilt(random, queue) if random.random() < 0.3 else queue

    def value(self, random: Random, name: str, value: Any) -> Any:
        """Of the type that the column has, whatever the database thinks of that otherwise."""
        if name.endswith(("payload", "owner", "holder")):
            return random.choice((None, any_bytes(random), spoilt(random, _as_bytes(value))))
        if name in ("due", "revision"):
            return _int64(random)
        more = value + 1 if isinstance(value, int) else 1
        return random.choice((None, _int64(random), _int64(random), more))


def _as_bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else b"x"


def _int64(random: Random) -> int:
    return max(-(2**63), min(any_number(random), 2**63 - 1))


class SQLiteStore(_Database):
    """A file, whose columns hold whatever they are given."""

    name = "sqlite"
    share = 12_000
    few = 8
    mark = "?"

    def connect(self) -> None:
        self._path = Path(self.using(tempfile.TemporaryDirectory())) / "sessions.db"
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._left.callback(self._connection.close)

    def config(self) -> dict[str, Any]:
        return {"use": "sql", "url": f"sqlite:///{self._path}", "table_prefix": self._prefix}

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> tuple[list[str], list[Any]]:
        cursor = self._connection.execute(statement, values)
        return [column[0] for column in cursor.description or ()], cursor.fetchall()

    def put(self, contents: Contents) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            super().put(contents)
        finally:
            self._connection.execute("COMMIT")

    def value(self, random: Random, name: str, value: Any) -> Any:
        if name in ("due", "revision") or random.random() < 0.5:
            return super().value(random, name, value)
        other = any_value(random, 0)
        if isinstance(other, int):
            return _int64(random)
        if isinstance(other, str):
            return other.encode(errors="replace").decode()
        return other if isinstance(other, float | bytes | None) else b""


class PostgreSQLStore(_Database):
    """The one that the environment names."""

    name = "postgresql"
    share = 5_000
    few = 4
    variable = "SESSIONTRACKER_TEST_POSTGRESQL_URL"

    def connect(self) -> None:
        self._url = os.environ[self.variable]
        self._connection = self._connected()
        self._left.callback(self._connection.close)
        self._left.callback(self._drop)

    def _connected(self) -> Any:
        return psycopg.connect(self._url, autocommit=True)

    def _drop(self) -> None:
        for table in (*_TABLES, "schema"):
            self.execute(f"DROP TABLE IF EXISTS {self._prefix}{table}")

    def config(self) -> dict[str, Any]:
        return {"use": "sql", "url": self._url, "table_prefix": self._prefix}

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> tuple[list[str], list[Any]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            if cursor.description is None:
                return [], []
            return [column[0] for column in cursor.description], list(cursor.fetchall())


class MariaDBStore(PostgreSQLStore):
    """As well."""

    name = "mariadb"
    variable = "SESSIONTRACKER_TEST_MARIADB_URL"

    def _connected(self) -> Any:
        url = make_url(self._url)
        return pymysql.connect(
            host=url.host or "127.0.0.1", port=url.port or 3306, user=url.username,
            password=url.password or "", database=url.database, autocommit=True,
        )  # fmt: skip

    def quoted(self, name: str) -> str:
        return f"`{name}`"


_SERVERS: list[type[PostgreSQLStore]] = [PostgreSQLStore, MariaDBStore]
TARGETS = [SQLiteStore, *(each for each in _SERVERS if each.variable in os.environ)]
