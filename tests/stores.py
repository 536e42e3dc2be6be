"""Stores to test trackers on, and what is in them: as bytes, and as a count of what is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["STORES", "Place"]


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


def _file(folder: Path) -> Place:
    def files() -> list[Path]:
        return [path for path in sorted(folder.rglob("*")) if path.is_file()]

    def dump() -> bytes:
        return b"\n".join(str(path).encode() + b"\n" + path.read_bytes() for path in files())

    return Place("file", {"url": str(folder)}, dump, lambda: len(files()))


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


STORES: dict[str, Callable[[Path], Place]] = {"file": _file, "sqlite": _sqlite}
"""By name, in a folder of the test's own."""
