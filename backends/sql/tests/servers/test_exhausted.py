"""An application's engine whose pool others have taken: it makes our connections all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from drivers import with_driver
from round_of_calls import async_round_of_calls, round_of_calls
from sessiontracker import AsyncSessionTracker, SessionTracker

from .conftest import Admin
from .counting import PATIENCE

# Who waits for one of these waits longer than any test.
POOL: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 3600}


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(with_driver(url, asynchronous=False), **POOL)
    yield engine
    engine.dispose()


@pytest.fixture
def async_engine(url: str) -> AsyncEngine:
    return create_async_engine(with_driver(url, asynchronous=True), **POOL)


def ours(tracker: Any) -> set[int]:
    """The server's numbers of the connections that a tracker keeps."""
    [asker] = tracker._askers.values()
    numbers = {connection.own for connection in asker.backend._connections._idle}
    assert numbers
    return numbers


def end(admin: Admin, tracker: Any) -> set[int]:
    """End them, as others do; which."""
    numbers = ours(tracker)
    for number in numbers:
        admin.end(number)
    return numbers


def until_gone(admin: Admin, numbers: set[int]) -> None:
    deadline = monotonic() + PATIENCE
    while numbers & set(admin.others()):
        assert monotonic() < deadline, "connections that are not closed"
        sleep(0.01)


def test_threads_need_none_of_a_pool_that_is_exhausted(
    engine: Engine, prefix: str, admin: Admin
) -> None:
    with engine.connect():
        with SessionTracker(backend="sql", engine=engine, table_prefix=prefix) as tracker:
            round_of_calls(tracker)
            used = end(admin, tracker)
            round_of_calls(tracker)
            used |= ours(tracker)
        until_gone(admin, used)


async def test_tasks_need_none_of_a_pool_that_is_exhausted(
    async_engine: AsyncEngine, prefix: str, admin: Admin
) -> None:
    async with async_engine.connect():
        tracker = AsyncSessionTracker(backend="sql", engine=async_engine, table_prefix=prefix)
        async with tracker:
            await async_round_of_calls(tracker)
            used = end(admin, tracker)
            await async_round_of_calls(tracker)
            used |= ours(tracker)
        await asyncio.to_thread(until_gone, admin, used)
    await async_engine.dispose()
