"""Connections to a database server: none is left open behind one who closes."""

from __future__ import annotations

from typing import Any

import pytest

from sessiontracker import AsyncSessionTracker, SessionTracker
from sessiontracker.backend import BackendError
from sessiontracker_sql._async import runtime
from sessiontracker_sql._sync.backend import ServerBackend
from tests.sweep.striking import Moment, struck

from .conftest import options_of


def test_one_that_is_under_way_while_all_are_closed_is_closed_as_well(
    backend: ServerBackend,
) -> None:
    connections = backend._connections
    [connection] = connections._idle

    def talk() -> Any:
        now = yield from backend._server.clock()
        backend.close()
        return now

    assert connections.hold(talk()) > 0
    assert not connections._idle
    assert not connection.is_usable


def test_one_that_is_of_no_use_any_more_is_closed(backend: ServerBackend) -> None:
    connections = backend._connections
    [connection] = connections._idle
    dropped: list[bool] = []
    drop = connection.drop

    def noted() -> None:
        dropped.append(True)
        drop()

    connection.drop = noted  # type: ignore[method-assign]

    def talk() -> Any:
        now = yield from backend._server.clock()
        drop()  # as by the server
        return now

    assert connections.hold(talk()) > 0
    assert not connections._idle
    assert dropped


async def test_whoever_is_cancelled_while_it_connects_is_told(url: str) -> None:
    """Also in the turn in which the server accepts: `asyncio.wait_for` may keep that to itself."""
    options = options_of(url)

    async def connect() -> None:
        connection = await runtime.connect(options)
        await connection.close()

    for point in range(1, 100):
        done = await struck(connect(), point, Moment(answered=True))
        if done.is_beyond:
            break


async def test_what_the_driver_does_not_take_is_said(url: str, prefix: str) -> None:
    options: dict[str, Any] = {"url": url, "table_prefix": prefix, "connect_args": {"nonsense": 1}}
    with pytest.raises(BackendError, match=r"backends\.sql: connect_args: .*nonsense"):
        SessionTracker(backend="sql", **options).open()
    with pytest.raises(BackendError, match=r"backends\.sql: connect_args: .*nonsense"):
        await AsyncSessionTracker(backend="sql", **options).open()
