"""A task that is cancelled in a transaction of its own; and what bound trackers leave behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sessiontracker import ConfigurationError, StaleSessionError
from sessiontracker_sql import endings

from .callers import Application, Checkout, Login
from .conftest import Admin, await_waiter


@pytest_asyncio.fixture
async def shop(url: str, prefix: str) -> AsyncIterator[Application]:
    application = Application(url, asynchronous=True, prefix=prefix)
    await application.open()
    yield application
    await application.close()


@pytest.mark.parametrize("table", ["keys", "owners"])
async def test_a_task_that_is_cancelled_leaves_nothing(
    shop: Application, prefix: str, stranger: Admin, admin: Admin, table: str
) -> None:
    tracker = shop.tracker
    checkout = await tracker.start(Checkout(key="order-42"))
    login = await tracker.start(Login(owner="alice"))
    stranger.execute("BEGIN")
    stranger.execute(f"SELECT due FROM {prefix}{table} FOR UPDATE")

    async def work() -> None:
        async with shop.begin() as connection:
            await shop.order(connection, "order-42")
            bound = shop.bind(connection)
            if table == "owners":
                await bound.update(checkout)
                await bound.rotate(login)
            else:
                await bound.rotate(login)
                await bound.update(checkout)

    task = asyncio.create_task(work())
    await asyncio.to_thread(await_waiter, admin)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stranger.execute("ROLLBACK")
    assert await shop.ordered() == []
    assert (await tracker.get(Checkout, "order-42")).version == 1
    assert len(await tracker.list_sessions(Login, "alice")) == 1
    assert shop.observed.told() == ["SessionStarted"] * 2
    async with shop.begin() as connection:
        await shop.bind(connection).finish(Checkout, "order-42")


async def test_two_calls_at_once_on_one_connection_are_refused(shop: Application) -> None:
    """Its locks would keep neither of them from what the other is about to change."""
    one = await shop.tracker.start(Checkout(key="order-42"))
    other = await shop.tracker.get(Checkout, "order-42")
    async with shop.begin() as connection:
        bounds = [shop.bind(connection) for _ in range(2)]
        await bounds[0].get(Checkout, "order-42")  # it knows the database from now on
        calls = [bound.update(each) for bound, each in zip(bounds, (one, other), strict=True)]
        done, refused = await asyncio.gather(*calls, return_exceptions=True)
        assert done is one
        assert isinstance(refused, ConfigurationError)
        with pytest.raises(StaleSessionError):
            await bounds[0].update(other)
    assert (await shop.tracker.get(Checkout, "order-42")).version == 2


async def test_a_bound_tracker_leaves_nothing_behind(shop: Application) -> None:
    for n in range(20):
        async with shop.begin() as connection:
            await shop.bind(connection).start(Checkout(key=f"order-{n}"))
    del connection
    gc.collect()
    assert not len(endings._endings)
