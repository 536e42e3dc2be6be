"""A transaction of the application's own: time that passes in it, and what goes wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier
from time import sleep

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from sessiontracker import (
    LockLostError,
    StaleSessionError,
)
from tests.conditions import eventually

from .callers import Checkout, Login
from .conftest import Admin, await_waiter
from .shops import Shop

CLOCK = {
    True: "SELECT extract(epoch FROM clock_timestamp()) * 1000",
    False: "SELECT UNIX_TIMESTAMP(SYSDATE(6)) * 1000",
}
"""In ms, by whether it is PostgreSQL's."""

# Time, and what the caller has set ------------------------------------------------------


def test_a_lease_that_ran_out_behind_a_locked_row_is_lost(
    shop: Shop, stranger: Admin, thread: ThreadPoolExecutor, admin: Admin
) -> None:
    shop.tracker.start(Checkout(key="order-42"))
    prefix = shop.application.orders.name.removesuffix("orders")

    finished: list[str] = []

    def finish() -> None:
        with suppress(LockLostError), shop.tracker.lock(Checkout, "order-42", lease="3s") as lock:
            stranger.execute("BEGIN")
            stranger.execute(f"SELECT due FROM {prefix}keys FOR UPDATE")
            with shop.begin() as (_, bound):
                bound.finish(Checkout, "order-42", lock=lock)
                finished.append("order-42")

    work = thread.submit(finish)
    await_waiter(admin, work)
    until = admin.execute(f"SELECT lease_until FROM {prefix}keys")[0][0]
    while admin.execute(CLOCK[shop.is_postgresql])[0][0] <= until:
        sleep(0.05)
    stranger.execute("ROLLBACK")
    work.result()
    assert not finished


def test_a_transaction_that_is_open_for_longer_than_a_lease_loses_the_lock(shop: Shop) -> None:
    """It keeps everybody from the row, and so from renewing: what it did is done all the same."""
    shop.tracker.start(Checkout(key="order-42"))
    tracker = shop.tracker
    with (
        pytest.raises(LockLostError),
        tracker.get_locked(Checkout, "order-42", lease="3s") as checkout,
        shop.begin() as (_, bound),
    ):
        checkout.paid = True
        bound.update(checkout)
        eventually(lambda: tracker.lock_of(checkout).lost)
    assert tracker.get(Checkout, "order-42").paid


def test_time_zones_and_schemas_of_the_callers_change_nothing(shop: Shop) -> None:
    zone = "SET TIME ZONE '-11:30'" if shop.is_postgresql else "SET time_zone = '-11:30'"
    engine = shop.engine.execution_options(schema_translate_map={None: "nowhere"})
    with engine.begin() as connection:
        connection.execute(text(zone))
        bound = shop.tracker.bind(connection)
        mine = bound.start(Checkout(key="order-1"), idle_timeout="1h")
        bound.start(Login(owner="alice"))
    yours = shop.tracker.start(Checkout(key="order-2"), idle_timeout="1h")
    assert abs(yours.expires_at - mine.expires_at) < timedelta(minutes=1)


# What goes wrong --------------------------------------------------------------------------


def end_connection(admin: Admin, connection: Connection) -> None:
    if admin.is_postgresql:
        own = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        admin.execute(f"SELECT pg_terminate_backend({own})")
    else:
        admin.execute(f"KILL {connection.execute(text('SELECT CONNECTION_ID()')).scalar()}")


def test_a_connection_that_is_lost_takes_all_with_it(shop: Shop, admin: Admin) -> None:
    checkout = shop.tracker.start(Checkout(key="order-42"))
    shop.application.observed.told()
    with pytest.raises(DBAPIError), shop.begin() as (connection, bound):
        bound.update(checkout)
        bound.start(Login(owner="alice"))
        end_connection(admin, connection)
        bound.update(checkout)
    assert shop.application.observed.told() == []
    assert shop.tracker.get(Checkout, "order-42").version == 1
    assert shop.tracker.count_sessions(Login, "alice") == 0
    with pytest.raises(StaleSessionError):
        shop.tracker.update(checkout)


def test_of_two_that_wait_for_each_other_one_is_undone(
    shop: Shop, thread: ThreadPoolExecutor, admin: Admin
) -> None:
    """Even if it goes on as if nothing had been."""
    keys = ["order-1", "order-2"]
    for key in keys:
        shop.tracker.start(Checkout(key=key))
    shop.application.observed.told()
    undone: list[str] = []

    def finish(keys: list[str]) -> None:
        with shop.engine.connect() as connection:
            bound = shop.tracker.bind(connection)
            bound.finish(Checkout, keys[0])
            together.wait()
            try:
                bound.finish(Checkout, keys[1])
            except DBAPIError:
                undone.append(keys[0])
            connection.commit()

    together = Barrier(2, timeout=60)
    work = [thread.submit(finish, order) for order in (keys, keys[::-1])]
    for each in work:
        each.result()
    assert len(undone) == 1
    assert shop.application.observed.told() == ["SessionFinished"] * 2
    assert not shop.tracker.get_many(Checkout, keys)


def test_a_statement_that_fails_leaves_half_of_nothing(
    shop: Shop, stranger: Admin, admin: Admin
) -> None:
    """The caller may go on, on MariaDB, where but the statement was rolled back."""
    if shop.is_postgresql:
        pytest.skip("the transaction is over, on PostgreSQL")
    shop.tracker.start(Login(owner="alice", key="ios"))
    shop.tracker.start(Login(owner="alice", key="web"))
    prefix = shop.application.orders.name.removesuffix("orders")
    stranger.execute("BEGIN")
    stranger.execute(f"SELECT due FROM {prefix}keys WHERE `key` = 'kweb' FOR UPDATE")
    with shop.begin() as (connection, bound):
        connection.execute(text("SET innodb_lock_wait_timeout = 1"))
        with pytest.raises(OperationalError):
            bound.finish_all(Login, "alice")
        connection.execute(text("SET innodb_lock_wait_timeout = DEFAULT"))
    stranger.execute("ROLLBACK")
    assert shop.tracker.count_sessions(Login, "alice") == 2
