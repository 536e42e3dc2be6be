"""A transaction of the application's own, whose snapshot is older than the lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from sessiontracker import (
    SessionInProgressError,
    SessionLimitError,
    StaleSessionError,
)

from .callers import Checkout, Login
from .shops import Shop, snapshot


@contextmanager
def refused(shop: Shop, *kinds: type[Exception]) -> Iterator[None]:
    """By the database, or as on any other day by the rules."""
    with pytest.raises((DBAPIError, *kinds)) as caught:
        yield
    if shop.is_postgresql:
        assert isinstance(caught.value, OperationalError | DBAPIError)
        assert "could not serialize access" in str(caught.value)


@pytest.fixture(params=["REPEATABLE READ", "SERIALIZABLE"])
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_write_on_an_old_snapshot_is_never_lost(shop: Shop, level: str) -> None:
    shop.tracker.start(Checkout(key="order-42"))
    checkout = shop.tracker.get(Checkout, "order-42")
    with refused(shop, StaleSessionError), shop.begin(level) as (connection, bound):
        snapshot(shop, connection)
        shop.tracker.update(shop.tracker.get(Checkout, "order-42"))
        bound.update(checkout)
    assert shop.tracker.get(Checkout, "order-42").version == 2


def test_an_increment_on_an_old_snapshot_is_made_once_or_refused(shop: Shop, level: str) -> None:
    shop.tracker.start(Checkout(key="order-42"))
    expected = 1
    with suppress(DBAPIError), shop.begin(level) as (connection, bound):
        snapshot(shop, connection)
        mine = shop.tracker.get(Checkout, "order-42")
        mine.count += 1
        shop.tracker.update(mine)
        checkout = bound.get(Checkout, "order-42")
        checkout.count += 1
        bound.update(checkout)
        expected = 2
    assert shop.tracker.get(Checkout, "order-42").count == expected
    assert expected == (1 if shop.is_postgresql else 2)


def test_a_start_on_an_old_snapshot(shop: Shop, level: str) -> None:
    with refused(shop, SessionInProgressError), shop.begin(level) as (connection, bound):
        snapshot(shop, connection)
        shop.tracker.start(Checkout(key="order-42"))
        bound.start(Checkout(key="order-42"))


def test_a_limit_on_an_old_snapshot(shop: Shop, level: str) -> None:
    shop.tracker.start(Login(owner="alice"))
    with refused(shop, SessionLimitError), shop.begin(level) as (connection, bound):
        snapshot(shop, connection)
        shop.tracker.start(Login(owner="alice"))
        bound.start(Login(owner="alice"))
    assert shop.tracker.count_sessions(Login, "alice") == 2


def test_log_out_everywhere_on_an_old_snapshot(shop: Shop, level: str) -> None:
    shop.tracker.start(Login(owner="alice"))
    ended = 0
    with suppress(DBAPIError), shop.begin(level) as (connection, bound):
        snapshot(shop, connection)
        shop.tracker.start(Login(owner="alice"))
        ended = bound.finish_all(Login, "alice")
    assert ended == (0 if shop.is_postgresql else 2)
    assert shop.tracker.count_sessions(Login, "alice") == 2 - ended
