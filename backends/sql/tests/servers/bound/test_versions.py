"""Calls within a transaction of the application's own: versions and locks hold as ever."""

from __future__ import annotations

from typing import Any

import pytest

from sessiontracker import (
    SessionLockedError,
    SessionNotFoundError,
    StaleSessionError,
)

from ..callers import Application, Checkout, UndoError


async def test_a_refusal_leaves_the_transaction_as_it_was(application: Application) -> None:
    tracker = application.tracker
    checkout = await tracker.start(Checkout(key="order-42"))
    await tracker.update(await tracker.get(Checkout, "order-42"))
    async with application.begin() as connection:
        bound = application.bind(connection)
        await application.order(connection, "order-42")
        with pytest.raises(StaleSessionError):
            await bound.update(checkout)
        with pytest.raises(SessionNotFoundError):
            await bound.finish(Checkout, "no")
        await bound.start(Checkout(key="order-43"))
    assert await application.ordered() == ["order-42"]
    assert (await tracker.get(Checkout, "order-43")).version == 1


async def test_a_lock_of_somebody_elses_is_kept_to(application: Application) -> None:
    tracker = application.tracker
    await tracker.start(Checkout(key="order-42"))
    async with holding(application) as checkout, application.begin() as connection:
        bound = application.bind(connection)
        with pytest.raises(SessionLockedError):
            await bound.finish(Checkout, "order-42")
        assert (await bound.get(Checkout, "order-42")).version == 1
        checkout.count += 1
        await bound.update(checkout)  # by the very object
        lock = application.own.lock_of(checkout)
        await bound.finish(Checkout, "order-42", lock=lock)
    assert (await tracker.get_finished(Checkout, "order-42")).count == 1


async def test_a_lock_may_live_elsewhere(url: str, prefix: str, application: Application) -> None:
    hot = {"sessions": {"checkout": {"locking": "hot"}}}
    backends = {"ledger": {"use": "sql", "url": url, "table_prefix": prefix}}
    elsewhere = {"backends": {**backends, "hot": {"use": "memory"}}, **hot}
    elsewhere |= {"defaults": {"storage": "ledger"}}
    other = Application(url, asynchronous=application.asynchronous, prefix=prefix, **elsewhere)
    await other.tracker.open()
    await other.tracker.start(Checkout(key="order-42"))
    async with holding(other) as checkout:
        checkout.count += 1
        async with other.begin() as connection:
            await other.bind(connection).update(checkout)
        checkout.count += 1
    assert (await other.tracker.get(Checkout, "order-42")).count == 2
    await other.tracker.close()
    await other.dispose(other.engine)


async def test_what_was_saved_under_a_lock_in_vain_is_not_taken_for_saved(
    application: Application,
) -> None:
    tracker = application.tracker
    await tracker.start(Checkout(key="order-42"))
    with pytest.raises(StaleSessionError):
        async with holding(application) as checkout:
            checkout.count += 1
            with pytest.raises(UndoError):
                async with application.begin() as connection:
                    await application.bind(connection).update(checkout)
                    raise UndoError
    with pytest.raises(StaleSessionError):
        async with holding(application) as checkout:
            checkout.count += 1
            with pytest.raises(UndoError):
                async with application.begin() as connection:
                    await application.bind(connection).finish(checkout)
                    raise UndoError
    async with holding(application) as checkout:
        checkout.count += 1
        with pytest.raises(UndoError):
            async with application.begin() as connection:
                lock = application.own.lock_of(checkout)
                await application.bind(connection).finish(Checkout, "order-42", lock=lock)
                raise UndoError
    assert (await tracker.get(Checkout, "order-42")).count == 1


async def test_nor_what_a_savepoint_took_back(application: Application) -> None:
    await application.tracker.start(Checkout(key="order-42"))
    with pytest.raises(StaleSessionError):
        async with holding(application) as checkout, application.begin() as connection:
            bound = application.bind(connection)
            await bound.start(Checkout(key="order-43"))
            checkout.count += 1
            with pytest.raises(UndoError):
                async with application.nested(connection):
                    await bound.update(checkout)
                    raise UndoError
    assert (await application.tracker.get(Checkout, "order-43")).version == 1


def holding(application: Application) -> Any:
    """The block in which the order's session is locked."""
    block = application.own.get_locked(Checkout, "order-42")
    return block if application.asynchronous else Entered(block)


class Entered:
    """A block of threads', to be entered with ``async with``."""

    def __init__(self, block: Any) -> None:
        self._block = block

    async def __aenter__(self) -> Any:
        return self._block.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self._block.__exit__(*error)
