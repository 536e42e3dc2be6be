"""An event loop's tasks, and threads: what a client needs of either, behind one face."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from sessiontracker import AsyncSessionTracker, SessionTracker

from ..trackers import _Awaited

__all__ = ["SIDES", "Side"]

Call = Callable[[], Coroutine[Any, Any, None]]


class Side(Protocol):
    """Where clients run."""

    def run(self, call: Call) -> None: ...
    def tracker(self, config: Any, types: Any) -> Any: ...
    def engine(self, url: str) -> Any:
        """An application's own, for transactions of its own."""

    def begin(self, engine: Any, tracker: Any) -> AbstractAsyncContextManager[Any]:
        """A tracker that is bound to a transaction of ``engine``."""

    async def dispose(self, engine: Any) -> None: ...
    async def pause(self, seconds: float) -> None: ...
    async def at_once(self, *calls: Call) -> None: ...
    async def cut_short(self, call: Call, after: float) -> None:
        """Begin ``call`` and cancel it ``after`` so many seconds, where that can be done."""


class Tasks:
    def run(self, call: Call) -> None:
        asyncio.run(call())

    def tracker(self, config: Any, types: Any) -> Any:
        return AsyncSessionTracker(config, types=types)

    def engine(self, url: str) -> Any:
        from sqlalchemy.ext.asyncio import create_async_engine

        from drivers import with_driver

        return create_async_engine(with_driver(url, asynchronous=True), pool_size=1, max_overflow=0)

    @asynccontextmanager
    async def begin(self, engine: Any, tracker: Any) -> Any:
        async with engine.begin() as connection:
            yield tracker.bind(connection)

    async def dispose(self, engine: Any) -> None:
        await engine.dispose()

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def at_once(self, *calls: Call) -> None:
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(call())

    async def cut_short(self, call: Call, after: float) -> None:
        task = asyncio.create_task(call())
        await asyncio.sleep(after)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass


class Threads:
    """Nothing here is ever suspended: what is written for tasks runs through without a loop."""

    def run(self, call: Call) -> None:
        try:
            call().send(None)
        except StopIteration:
            return
        raise RuntimeError("threads block, and never suspend")

    def tracker(self, config: Any, types: Any) -> Any:
        return _Awaited(SessionTracker(config, types=types))

    def engine(self, url: str) -> Any:
        from sqlalchemy import create_engine

        from drivers import with_driver

        return create_engine(with_driver(url, asynchronous=False), pool_size=1, max_overflow=0)

    @asynccontextmanager
    async def begin(self, engine: Any, tracker: Any) -> Any:
        with engine.begin() as connection:
            yield _Awaited(tracker.tracker.bind(connection))

    async def dispose(self, engine: Any) -> None:
        engine.dispose()

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251

    async def at_once(self, *calls: Call) -> None:
        failed: list[BaseException] = []

        def run(call: Call) -> None:
            try:
                self.run(call)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=run, args=[call]) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]

    async def cut_short(self, call: Call, after: float) -> None:
        """A thread cannot be cancelled: it is done."""
        await call()


SIDES: dict[str, Callable[[], Side]] = {"async": Tasks, "sync": Threads}
