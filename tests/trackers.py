"""Trackers to test: asynchronous and synchronous behind one face, on every arrangement of backends.

A test that is the same for both is written once, as if for `AsyncSessionTracker`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, NamedTuple

from sessiontracker import AsyncSessionTracker, LockNotAcquiredError, Session, SessionTracker
from sessiontracker.settings import TRACKER
from tests.clock import Clock

__all__ = [
    "ALL",
    "FUSED",
    "KEY",
    "MEMORY",
    "Arrangement",
    "Checkout",
    "at",
    "holding",
    "is_free",
    "opened",
]

KEY = "order-42"


class Checkout(Session):
    items: list[str] = []
    paid: bool = False
    count: int = 0


def at(clock: Clock, seconds: float = 0) -> datetime:
    """``seconds`` from now on, as sessions tell it."""
    ms = clock.now // 1000
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms, seconds=seconds)


class Arrangement(NamedTuple):
    """Which tracker, and which backends keep sessions and locks."""

    mode: str
    storage: str
    locking: str

    @property
    def fused(self) -> bool:
        return self.storage == self.locking

    def config(
        self, clock: Clock | None, folder: str | None = None, **settings: Any
    ) -> dict[str, Any]:
        options = {} if clock is None else {"clock": clock}
        top = {name: settings.pop(name) for name in TRACKER if name in settings}
        return {
            "backends": {
                name: {"use": name.rstrip("12"), **options, **_place(name, folder)}
                for name in {self.storage, self.locking}
            },
            "defaults": {"storage": self.storage, "locking": self.locking, **settings},
            **top,
        }


def _place(name: str, folder: str | None) -> dict[str, str]:
    return {"url": f"{folder}/{name}"} if name.startswith("file") else {}


MEMORY = [
    Arrangement(mode, "memory1", locking)
    for mode in ("async", "sync")
    for locking in ("memory1", "memory2")
]
ALL = [
    *MEMORY,
    Arrangement("async", "file1", "file1"),
    Arrangement("sync", "file1", "file1"),
    Arrangement("async", "file1", "memory1"),
]
FUSED = [arrangement for arrangement in ALL if arrangement.fused]


class _Block:
    """A context manager of threads as one of an event loop."""

    def __init__(self, block: Any) -> None:
        self.block = block

    async def __aenter__(self) -> Any:
        return self.block.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        return self.block.__exit__(kind, error, traceback)


class _Awaited:
    """A `SessionTracker` with the face of an `AsyncSessionTracker`."""

    def __init__(self, tracker: SessionTracker) -> None:
        self.tracker = tracker

    def lock(self, *arguments: Any, **named: Any) -> _Block:
        return _Block(self.tracker.lock(*arguments, **named))

    def get_locked(self, *arguments: Any, **named: Any) -> _Block:
        return _Block(self.tracker.get_locked(*arguments, **named))

    def edit_shared(self, *arguments: Any, **named: Any) -> _Block:
        return _Block(self.tracker.edit_shared(*arguments, **named))

    def lock_of(self, session: Session) -> Any:
        return self.tracker.lock_of(session)

    async def scan(self, *arguments: Any, **named: Any) -> AsyncIterator[Any]:
        for session in self.tracker.scan(*arguments, **named):
            yield session

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.tracker, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            return method(*arguments, **named)

        return call


@asynccontextmanager
async def opened(
    arrangement: Arrangement, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Any]:
    """A tracker of ``arrangement``, with ``settings`` for all session types."""
    with TemporaryDirectory() as folder:
        config = arrangement.config(clock, folder, **settings)
        if arrangement.mode == "async":
            async with AsyncSessionTracker(config) as tracker:
                yield tracker
        else:
            with SessionTracker(config) as tracker:
                yield _Awaited(tracker)


async def is_free(tracker: Any, key: str = KEY) -> bool:
    try:
        async with tracker.lock(Checkout, key, wait=0):
            return True
    except LockNotAcquiredError:
        return False


async def holding(tracker: Any, key: str, entered: asyncio.Event, lease: float = 30) -> None:
    """Hold the lock of ``key`` until cancelled."""
    async with tracker.lock(Checkout, key, lease=lease):
        entered.set()
        await asyncio.sleep(60)
