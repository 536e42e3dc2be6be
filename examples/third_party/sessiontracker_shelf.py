"""A backend of one's own: sessions and locks in one file, by the standard library's sqlite3.

All that a store must be able to do is load a blob, and store it if it is still as it was
loaded; `CompareAndSwapBackend` makes every promise of sessiontracker out of that.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing

from sessiontracker.backend import (
    AsyncCompareAndSwapBackend,
    BackendOptions,
    Capability,
    CompareAndSwapBackend,
    ConfigurationError,
    LockingPlugin,
    StoragePlugin,
    hookimpl,
)

Clock = Callable[[], int]  # µs since 1970; the conformance kit brings one that it moves
Loaded = tuple[bytes | None, bytes | None, int]


class ShelfBackend(CompareAndSwapBackend):
    """For threads. A blob is its own tag: what has become the same again is the same."""

    def __init__(self, path: str, clock: Clock) -> None:
        super().__init__()
        self._path = path
        self._clock = clock

    def _ask(self, statement: str, *values: object) -> tuple[list[tuple[bytes]], int]:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as database:
            cursor = database.execute(statement, values)
            return cursor.fetchall(), cursor.rowcount

    def open(self) -> None:
        self._ask("PRAGMA journal_mode = WAL")
        self._ask("CREATE TABLE IF NOT EXISTS slots (name TEXT PRIMARY KEY, blob BLOB NOT NULL)")
        super().open()

    def load(self, slot: str) -> Loaded:
        rows, _ = self._ask("SELECT blob FROM slots WHERE name = ?", slot)
        blob = rows[0][0] if rows else None
        return blob, blob, self._clock()  # one file, one machine, one clock

    def store(self, slot: str, blob: bytes | None, if_tag: bytes | None) -> bool:
        if if_tag is None:
            statement, values = "INSERT OR IGNORE INTO slots VALUES (?, ?)", [slot, blob]
        elif blob is None:
            statement, values = "DELETE FROM slots WHERE name = ? AND blob = ?", [slot, if_tag]
        else:
            statement = "UPDATE slots SET blob = ? WHERE name = ? AND blob = ?"
            values = [blob, slot, if_tag]
        return self._ask(statement, *values)[1] == 1

    def slots(self, after: str, limit: int) -> Sequence[str]:
        statement = "SELECT name FROM slots WHERE name > ? ORDER BY name LIMIT ?"
        return [str(name) for (name,) in self._ask(statement, after, limit)[0]]


class AsyncShelfBackend(AsyncCompareAndSwapBackend):
    """For event loops: the same, in threads."""

    def __init__(self, path: str, clock: Clock) -> None:
        super().__init__()
        self._shelf = ShelfBackend(path, clock)

    async def open(self) -> None:
        await asyncio.to_thread(self._shelf.open)

    async def load(self, slot: str) -> Loaded:
        return await asyncio.to_thread(self._shelf.load, slot)

    async def store(self, slot: str, blob: bytes | None, if_tag: bytes | None) -> bool:
        return await asyncio.to_thread(self._shelf.store, slot, blob, if_tag)

    async def slots(self, after: str, limit: int) -> Sequence[str]:
        return await asyncio.to_thread(self._shelf.slots, after, limit)


# The plugin ------------------------------------------------------------------


def _real_clock() -> int:
    return time.time_ns() // 1000


def _checked(options: BackendOptions) -> tuple[str, Clock]:
    if not options.url or options.options.keys() - {"clock"}:
        raise ConfigurationError(f'backends.{options.name}: write url = "FILE", and no more')
    return options.url, options.options.get("clock", _real_clock)


_CAPABILITIES = frozenset(Capability)


@hookimpl
def sessiontracker_storage() -> StoragePlugin:
    return StoragePlugin(
        name="shelf",
        open_async=lambda options: AsyncShelfBackend(*_checked(options)),
        open_sync=lambda options: ShelfBackend(*_checked(options)),
        api_version=1,
        capabilities=_CAPABILITIES,
    )


@hookimpl
def sessiontracker_locking() -> LockingPlugin:
    return LockingPlugin(
        name="shelf",
        open_async=lambda options: AsyncShelfBackend(*_checked(options)),
        open_sync=lambda options: ShelfBackend(*_checked(options)),
        api_version=1,
        capabilities=_CAPABILITIES,
    )
