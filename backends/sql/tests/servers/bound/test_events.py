"""Calls within a transaction of the application's own: events count from the commit."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from sessiontracker import (
    SessionLimitError,
    SessionNotFoundError,
)

from ..callers import Application, Checkout, Login, UndoError


async def test_events_count_from_the_commit(application: Application) -> None:
    told = application.observed.told
    async with application.connect() as connection:
        bound = application.bind(connection)
        checkout = await bound.start(Checkout(key="order-42"))
        await bound.update(checkout)
        await bound.start(Login(owner="alice"))
        await bound.finish_all(Login, "alice")
        assert told() == []
        await connection.commit()
        await connection.execute(text("SELECT 1"))  # at the latest
        assert told() == ["SessionStarted", "SessionUpdated", "SessionStarted", "OwnerLoggedOut"]
        await bound.finish(Checkout, "order-42")
        await connection.rollback()
        await bound.delete(Checkout, "order-42")
        assert told() == []
        await connection.commit()
    assert told() == ["SessionDeleted"]


async def test_events_of_a_savepoint_count_unless_it_is_rolled_back(
    application: Application,
) -> None:
    told = application.observed.told
    async with application.begin() as connection:
        bound = application.bind(connection)
        await bound.start(Checkout(key="order-1"))
        async with application.nested(connection):
            await bound.start(Checkout(key="order-2"))
            with pytest.raises(UndoError):
                async with application.nested(connection):
                    await bound.start(Checkout(key="order-3"))
                    raise UndoError
        with pytest.raises(UndoError):
            async with application.nested(connection):
                async with application.nested(connection):
                    await bound.finish(Checkout, "order-1")
                raise UndoError
        await bound.delete(Checkout, "order-2")
        assert told() == []
    assert told() == ["SessionStarted", "SessionStarted", "SessionDeleted"]
    keys = [f"order-{n}" for n in range(1, 4)]
    assert list(await application.tracker.get_many(Checkout, keys)) == ["order-1"]


async def test_a_savepoint_from_before_the_first_call_counts(application: Application) -> None:
    told = application.observed.told
    async with application.begin() as connection:
        bound = application.bind(connection)
        await application.order(connection, "order-1")
        with pytest.raises(UndoError):
            async with application.nested(connection):
                await bound.start(Checkout(key="order-1"))
                raise UndoError
        await bound.start(Checkout(key="order-2"))
    assert told() == ["SessionStarted"]
    with pytest.raises(SessionNotFoundError):
        await application.tracker.get(Checkout, "order-1")


async def test_a_refusal_by_the_limit_is_told_at_once(application: Application) -> None:
    with pytest.raises(SessionLimitError):
        async with application.begin() as connection:
            bound = application.bind(connection)
            for _ in range(3):
                await bound.start(Login(owner="alice"))
    assert application.observed.told() == ["SessionLimitReached"]


async def test_a_commit_that_fails_is_none(application: Application) -> None:
    told = application.observed.told
    if application.kind == "mysql" and application.asynchronous:
        pytest.skip("aiomysql leaves a connection that was killed unclosed")
    async with application.connect() as connection:
        if application.kind == "mysql":
            kill = f"KILL {(await connection.execute(text('SELECT CONNECTION_ID()'))).scalar()}"
        else:
            if application.kind == "sqlite":
                await connection.execute(text("PRAGMA foreign_keys = ON"))
            wrong = (
                "CREATE TEMPORARY TABLE parts (id int PRIMARY KEY, whole int "
                "REFERENCES parts DEFERRABLE INITIALLY DEFERRED)"
            )
            await connection.execute(text(wrong))
            await connection.commit()
        bound = application.bind(connection)
        await bound.start(Checkout(key="order-42"))
        if application.kind == "mysql":
            async with application.begin() as other:
                await other.execute(text(kill))
        else:
            await connection.execute(text("INSERT INTO parts VALUES (1, 2)"))
        with pytest.raises(DBAPIError):
            await connection.commit()
        if application.kind == "sqlite":  # which goes on, and SQLAlchemy does not know
            await connection.rollback()
            await connection.execute(text("ROLLBACK"))
    assert told() == []
    with pytest.raises(SessionNotFoundError):
        await application.tracker.get(Checkout, "order-42")


@pytest.mark.parametrize("where", ["in the transaction", "in a savepoint"])
async def test_a_transaction_that_failed_is_told_of_as_it_ends(
    application: Application, where: str
) -> None:
    """PostgreSQL rolls back when it is told to commit, and the others commit."""
    async with application.connect() as connection:
        bound = application.bind(connection)
        await bound.start(Checkout(key="order-42"))
        await application.order(connection, "order-42")
        with pytest.raises(DBAPIError):
            if where == "in a savepoint":
                async with application.nested(connection):
                    await bound.start(Checkout(key="order-43"))
                    await application.order(connection, "order-42")
            else:
                await application.order(connection, "order-42")
        await connection.commit()
    there = await application.tracker.get_many(Checkout, ["order-42", "order-43"])
    assert application.observed.told() == ["SessionStarted"] * len(there)
    is_undone = application.kind == "postgresql" and where == "in the transaction"
    assert list(there) == ([] if is_undone else ["order-42"])
