"""An application of threads, in whose transactions others are in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from .callers import Application

__all__ = ["Shop", "opened", "snapshot"]


class Shop:
    """An application whose threads are the tests' own."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.is_postgresql = application.kind == "postgresql"
        self.engine: Any = application.engine
        self.tracker: Any = application.own

    @contextmanager
    def begin(self, level: str | None = None) -> Iterator[Any]:
        """A transaction, and the tracker that is bound to it."""
        with self.engine.connect() as connection:
            if level is not None:
                connection = connection.execution_options(isolation_level=level)
            with connection.begin():
                yield connection, self.tracker.bind(connection)


@contextmanager
def opened(url: str, prefix: str, patience: str) -> Iterator[Shop]:
    """``patience`` is for how long a call of the tracker's may take."""
    options = {"operation_timeout": patience}
    application = Application(url, asynchronous=False, prefix=prefix, **options)
    asyncio.run(application.open())
    yield Shop(application)
    asyncio.run(application.close())


def snapshot(shop: Shop, connection: Connection) -> None:
    """Take it."""
    connection.execute(shop.application.orders.select()).all()
