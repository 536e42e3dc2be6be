"""What cannot be bound to a transaction, and what is refused there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, ResourceClosedError

from sessiontracker import (
    CapabilityError,
    ConfigurationError,
    SessionNotFoundError,
)

from ..callers import Application, Awaited, Checkout, Login


async def test_a_lock_cannot_be_taken_in_a_transaction(application: Application) -> None:
    async with application.begin() as connection:
        bound = application.bind(connection)
        for call in ("lock", "get_locked"):
            with pytest.raises(CapabilityError, match="before the transaction begins, and pass"):
                await called(getattr(bound, call)(Checkout, "order-42"))


async def called(answer: Any) -> Any:
    return await answer


@pytest.mark.parametrize("by", ["engine", "connection"])
async def test_autocommit_is_refused(application: Application, by: str) -> None:
    autocommit: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"}
    engine = application.new_engine(**(autocommit if by == "engine" else {}))
    options = autocommit if by == "connection" else {}
    async with application.connect(engine, **options) as connection:
        bound = application.bind(connection)
        with pytest.raises(ConfigurationError, match="autocommit"):
            await bound.start(Checkout(key="order-42"))
        with pytest.raises(ConfigurationError, match="autocommit"):
            await bound.start(Login(owner="alice"))
    await application.dispose(engine)
    with pytest.raises(SessionNotFoundError):
        await application.tracker.get(Checkout, "order-42")


async def test_what_is_no_connection_is_refused(application: Application) -> None:
    engine = application.engine
    bound = application.own.bind(engine)
    bound = bound if application.asynchronous else Awaited(bound)
    with pytest.raises(TypeError, match=r"bind\(\) takes SQLAlchemy's"):
        await bound.start(Checkout())
    bound = application.own.bind("postgresql://app:swordfish@db/app")
    bound = bound if application.asynchronous else Awaited(bound)
    with pytest.raises(TypeError, match=r"bind\(\) takes SQLAlchemy's .* not a str$"):
        await bound.start(Checkout())


async def test_a_closed_connection_is_refused(application: Application) -> None:
    async with application.connect() as connection:
        bound = application.bind(connection)
        await bound.start(Checkout(key="order-42"))
    with pytest.raises(ResourceClosedError):
        await bound.get(Checkout, "order-42")
    with pytest.raises(SessionNotFoundError):
        await application.tracker.get(Checkout, "order-42")
    assert application.observed.told() == []


async def test_another_database_is_refused(
    application: Application, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Of another kind; and of the same, where that can be told."""
    elsewhere = [f"sqlite:///{tmp_path / 'another.db'}"]
    if application.kind == "sqlite":
        elsewhere.append(request.getfixturevalue("own_url"))
    else:
        name = {"postgresql": "template1", "mysql": "mysql"}[application.kind]
        another = application.url.set(database=name, drivername=application.kind)
        elsewhere.append(another.render_as_string(hide_password=False))
    for url in elsewhere:
        other = Application(url, asynchronous=application.asynchronous, prefix="t_")
        async with other.begin() as connection:
            with pytest.raises(ConfigurationError, match=r"this connection is to"):
                await application.bind(connection).start(Checkout(key="order-42"))
        await other.dispose(other.engine)
    if application.kind == "postgresql":  # or to another schema in it
        async with application.begin() as connection:
            await connection.execute(text("SET LOCAL search_path TO pg_catalog"))
            with pytest.raises(ConfigurationError, match=r"does not see its tables"):
                await application.bind(connection).start(Checkout(key="order-42"))


async def test_how_many_statements_an_update_is(application: Application) -> None:
    checkout = await application.tracker.start(Checkout(key="order-42"))
    said: list[str] = []
    engine = getattr(application.engine, "sync_engine", application.engine)
    async with application.begin() as connection:
        bound = application.bind(connection)
        await bound.update(checkout)  # the first on an engine also asks which database it is
        event.listen(engine, "before_cursor_execute", lambda *what: said.append(what[2]))
        await bound.update(checkout)
    assert len(said) == {"sqlite": 4, "postgresql": 3, "mysql": 4}[application.kind], said


async def test_a_tracker_that_is_closed_is_closed(application: Application) -> None:
    async with application.begin() as connection:
        bound = application.bind(connection)
        await bound.start(Checkout(key="order-42"))
        await application.tracker.close()
        with pytest.raises(Exception, match="not open"):
            await bound.get(Checkout, "order-42")
    await application.tracker.open()


async def test_errors_of_the_transaction_are_the_callers(application: Application) -> None:
    """As SQLAlchemy raises them, so that whoever repeats transactions recognizes them."""
    with pytest.raises(DBAPIError):
        async with application.begin() as connection:
            await application.bind(connection).start(Checkout(key="order-42"))
            for _ in range(2):
                await application.order(connection, "order-42")
    assert application.observed.told() == []
    with pytest.raises(SessionNotFoundError):
        await application.tracker.get(Checkout, "order-42")


async def test_what_is_bound_elsewhere_is_refused(application: Application) -> None:
    asynchronous = application.asynchronous
    here = type(application.own)()
    await (here.open() if asynchronous else Awaited(here).open())
    async with application.begin() as connection:
        bound = here.bind(connection if asynchronous else connection.it)
        with pytest.raises(CapabilityError, match=r"'checkout' sessions .* use = \"sql\""):
            await (bound if asynchronous else Awaited(bound)).start(Checkout())
    await (here.close() if asynchronous else Awaited(here).close())
