"""Applications that use a database of their own through SQLAlchemy, from threads or an event loop.

Tests are written once, with ``await``; what blocks is called where it stands, and its answer
awaited.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, insert, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session as OrmSession

from drivers import with_driver
from sessiontracker import AsyncSessionTracker, OwnedSession, Session, SessionTracker


class Checkout(Session):
    paid: bool = False
    count: int = 0


class Login(OwnedSession):
    device: str = ""


class UndoError(Exception):
    """Rolls a transaction back."""


class Observed:
    """An observer."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def notify(self, event: Any, /) -> None:
        self.events.append(event)

    def told(self) -> list[str]:
        """Of what kinds the events were, since this was last asked."""
        events, self.events = self.events, []
        return [type(event).__name__ for event in events]


class Awaited:
    """Whatever ``it`` answers at once, to be awaited."""

    def __init__(self, it: Any) -> None:
        self.it = it

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.it, name)

        async def call(*given: Any, **settings: Any) -> Any:
            return method(*given, **settings)

        return call


class Application:
    """One engine and one tracker, on the same database, which has a table of orders."""

    def __init__(self, url: str, *, asynchronous: bool, prefix: str, **options: Any) -> None:
        self.asynchronous = asynchronous
        self.url = with_driver(url, asynchronous=asynchronous)
        self.kind = self.url.get_backend_name()
        self.orders = Table(
            f"{prefix}orders", MetaData(), Column("id", String(40), primary_key=True),
            Column("count", Integer, nullable=False),
        )  # fmt: skip
        self.observed = Observed()
        self.engine = self.new_engine()
        kind: Any = AsyncSessionTracker if asynchronous else SessionTracker
        config = {
            "backends": {"ledger": {"use": "sql", "url": url, "table_prefix": prefix}},
            "sessions": {"login": {"max_per_owner": 2}},
            **options,
        }
        self.own = kind(config, observers=[self.observed])
        self.tracker: Any = self.own if asynchronous else Awaited(self.own)

    def new_engine(self, **options: Any) -> Any:
        create: Any = create_async_engine if self.asynchronous else create_engine
        return create(self.url, **options)

    async def open(self) -> None:
        await self.tracker.open()
        async with self.begin() as connection:
            if self.asynchronous:
                await connection.run_sync(self.orders.metadata.create_all)
            else:
                self.orders.metadata.create_all(connection.it)

    async def close(self) -> None:
        async with self.begin() as connection:
            if self.asynchronous:
                await connection.run_sync(self.orders.metadata.drop_all)
            else:
                self.orders.metadata.drop_all(connection.it)
        await self.tracker.close()
        await self.dispose(self.engine)

    async def dispose(self, engine: Any) -> None:
        if self.asynchronous:
            await engine.dispose()
        else:
            engine.dispose()

    def bind(self, connection: Any) -> Any:
        if self.asynchronous:
            return self.own.bind(connection)
        return Awaited(self.own.bind(connection.it))

    @asynccontextmanager
    async def connect(self, engine: Any = None, **options: Any) -> AsyncIterator[Any]:
        """A connection, to be committed as one goes."""
        engine = engine or self.engine
        if self.asynchronous:
            async with engine.connect() as connection:
                if options:
                    await connection.execution_options(**options)
                yield connection
        else:
            with engine.connect() as connection:
                if options:
                    connection.execution_options(**options)
                yield Awaited(connection)

    @asynccontextmanager
    async def begin(self, engine: Any = None) -> AsyncIterator[Any]:
        """A connection, in a transaction that is committed unless there is an error."""
        engine = engine or self.engine
        if self.asynchronous:
            async with engine.begin() as connection:
                yield connection
        else:
            with engine.begin() as connection:
                yield Awaited(connection)

    @asynccontextmanager
    async def nested(self, connection: Any) -> AsyncIterator[None]:
        """A savepoint, which is rolled back to if there is an error."""
        if self.asynchronous:
            async with connection.begin_nested():
                yield
        else:
            with connection.it.begin_nested():
                yield

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        """SQLAlchemy's own."""
        if self.asynchronous:
            async with AsyncSession(self.engine) as session:
                yield session
        else:
            with OrmSession(self.engine) as session:
                yield Awaited(session)

    async def order(self, connection: Any, id: str) -> None:
        await connection.execute(insert(self.orders).values(id=id, count=1))

    async def ordered(self) -> list[str]:
        """The orders that there are."""
        async with self.connect() as connection:
            return sorted((await connection.execute(select(self.orders.c.id))).scalars())
