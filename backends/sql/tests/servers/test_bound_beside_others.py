"""A transaction of the application's own, and what others do meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier
from time import sleep
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from drivers import with_driver
from sessiontracker import (
    OutcomeUnknownError,
    SessionInProgressError,
    SessionLimitError,
    SessionNotFoundError,
    StaleSessionError,
)
from sessiontracker.backend import operations
from sessiontracker.errors import BackendUnavailableError
from sessiontracker_sql._sync.backend import ServerBackend

from .callers import Checkout, Login
from .conftest import Admin, await_waiter
from .shops import Shop, opened, snapshot


@pytest.fixture
def file(tmp_path: Path, patience: str) -> Iterator[Shop]:
    with opened(f"sqlite:///{tmp_path / 'shop.db'}", "t_", patience) as shop:
        yield shop


# Two transactions ------------------------------------------------------------------


def test_who_comes_second_waits_and_sees_what_was_committed(
    shop: Shop, thread: ThreadPoolExecutor, admin: Admin
) -> None:
    shop.tracker.start(Checkout(key="order-42"))

    def count_up() -> None:
        with shop.begin() as (_, bound):
            checkout = bound.get(Checkout, "order-42")
            checkout.count += 1
            bound.update(checkout)

    with shop.begin() as (_, bound):
        checkout = bound.get(Checkout, "order-42")
        other = thread.submit(count_up)
        await_waiter(admin, other)
        checkout.count += 1
        bound.update(checkout)
    other.result()
    assert shop.tracker.get(Checkout, "order-42").count == 2


def test_who_read_before_is_refused(shop: Shop, thread: ThreadPoolExecutor, admin: Admin) -> None:
    shop.tracker.start(Checkout(key="order-42"))
    mine, yours = (shop.tracker.get(Checkout, "order-42") for _ in range(2))

    def update() -> None:
        with shop.begin() as (_, bound):
            bound.update(yours)

    with shop.begin() as (_, bound):
        bound.update(mine)
        other = thread.submit(update)
        await_waiter(admin, other)
    with pytest.raises(StaleSessionError):
        other.result()


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("type", [Checkout, Login])
def test_of_two_that_start_one_waits_for_the_other(
    shop: Shop, thread: ThreadPoolExecutor, admin: Admin, end: str, type: Any
) -> None:
    named = {"key": "order-42"} if type is Checkout else {"key": "ios", "owner": "alice"}

    def start() -> int:
        with shop.begin() as (_, bound):
            return int(bound.start(type(**named)).version)

    with shop.engine.connect() as connection:
        shop.tracker.bind(connection).start(type(**named))
        other = thread.submit(start)
        await_waiter(admin, other)
        getattr(connection, end)()
        if end == "commit":
            with pytest.raises(SessionInProgressError):
                other.result()
        else:
            assert other.result() == 1


def test_a_limit_holds_between_transactions(
    shop: Shop, thread: ThreadPoolExecutor, admin: Admin
) -> None:
    def start() -> None:
        with shop.begin() as (_, bound):
            bound.start(Login(owner="alice"))

    start()
    with shop.begin() as (_, bound):
        bound.start(Login(owner="alice"))
        other = thread.submit(start)
        await_waiter(admin, other)
    with pytest.raises(SessionLimitError):
        other.result()
    assert shop.tracker.count_sessions(Login, "alice") == 2


def count_together(shop: Shop, thread: ThreadPoolExecutor, times: int) -> None:
    """By transactions, and by locks."""
    shop.tracker.start(Checkout(key="order-42"))

    def in_transactions() -> None:
        for _ in range(times):
            with shop.begin() as (_, bound):
                checkout = bound.get(Checkout, "order-42")
                checkout.count += 1
                bound.update(checkout)

    def by_version() -> None:
        done = 0
        while done < times:
            with suppress(StaleSessionError, BackendUnavailableError):
                checkout = shop.tracker.get(Checkout, "order-42")
                checkout.count += 1
                shop.tracker.update(checkout)
                done += 1

    work = [thread.submit(each) for each in (in_transactions, in_transactions, by_version)]
    for each in work:
        each.result()
    assert shop.tracker.get(Checkout, "order-42").count == 3 * times


def test_no_increment_is_lost(shop: Shop, thread: ThreadPoolExecutor) -> None:
    count_together(shop, thread, 25)


def test_no_increment_is_lost_in_a_file(file: Shop, thread: ThreadPoolExecutor) -> None:
    count_together(file, thread, 25)


def test_two_that_read_many_in_whatever_order_never_wait_for_each_other(
    shop: Shop, thread: ThreadPoolExecutor
) -> None:
    """One waits for the other, and not both for ever: their rows are locked in one order."""
    keys = [f"order-{n}" for n in range(8)]
    for key in keys:
        shop.tracker.start(Checkout(key=key))
    together = Barrier(2, timeout=60)

    def read(keys: list[str]) -> None:
        for _ in range(20):
            together.wait()
            with shop.begin() as (_, bound):
                assert len(bound.get_many(Checkout, keys)) == 8

    for work in [thread.submit(read, order) for order in (keys, keys[::-1])]:
        work.result()


# Those who take no part ------------------------------------------------------------------


# Whoever is in somebody's way is told so; a last try that was cut short may have been done.
TOLD = (BackendUnavailableError, OutcomeUnknownError)


def once_more(
    told: pytest.ExceptionInfo[Exception], refusal: type[Exception], call: Callable[[], object]
) -> None:
    """What could not be done, can be now: unless it was done after all, which nobody knew."""
    try:
        call()
    except refusal:
        assert told.type is OutcomeUnknownError


@pytest.mark.parametrize("patience", ["2s"])
def test_the_tracker_itself_goes_on_beside_a_transaction(shop: Shop) -> None:
    tracker = shop.tracker
    for key in ("order-1", "order-2"):
        tracker.start(Checkout(key=key))
    alice = tracker.start(Login(owner="alice"))
    carol = tracker.start(Login(owner="carol"))
    with shop.begin() as (_, bound):
        bound.update(bound.get(Checkout, "order-1"))
        with pytest.raises(SessionNotFoundError):
            bound.get(Checkout, "order-15")  # a gap between rows, which is nobody's
        bound.list_sessions(alice)
        bound.count_sessions(Login, "nobody")
        # Reading is not stopped
        assert tracker.get(Checkout, "order-1").version == 1
        assert tracker.get(Login, alice.key).device == ""
        assert tracker.count_sessions(Login, "alice") == 1
        # Other rows are written
        tracker.update(tracker.get(Checkout, "order-2"))
        for n in range(10, 20):
            if n != 15:
                tracker.start(Checkout(key=f"order-{n}"))
        tracker.update(carol)
        for n in range(20):
            tracker.start(Login(owner=f"owner-{n}"))
        # That row, and that owner's, are not, and who tries is told within its time
        with pytest.raises(TOLD, match="end the transaction"):
            tracker.update(tracker.get(Checkout, "order-1"))
        with pytest.raises(TOLD, match="end the transaction") as told:
            tracker.start(Login(owner="alice"))
    tracker.update(tracker.get(Checkout, "order-1"))
    once_more(told, SessionLimitError, lambda: tracker.start(Login(owner="alice")))
    assert tracker.count_sessions(Login, "alice") == 2
    tracker.start(Checkout(key="order-15"))


@pytest.mark.parametrize("patience", ["2s"])
def test_a_file_has_but_one_lock(file: Shop) -> None:
    tracker = file.tracker
    tracker.start(Checkout(key="order-1"))
    with file.begin() as (_, bound):
        bound.get(Checkout, "order-1")
        assert tracker.get(Checkout, "order-1", touch=False).version == 1
        with pytest.raises(TOLD, match="locked by another") as told:
            tracker.start(Checkout(key="order-2"))
    once_more(told, SessionInProgressError, lambda: tracker.start(Checkout(key="order-2")))
    assert tracker.get(Checkout, "order-2").version == 1


def test_a_file_is_locked_before_it_is_read(file: Shop) -> None:
    """What was read before another wrote is refused, by SQLite: at once, and to the caller."""
    file.tracker.start(Checkout(key="order-1"))
    with pytest.raises(OperationalError, match="locked"), file.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        snapshot(file, connection)
        file.tracker.update(file.tracker.get(Checkout, "order-1"))
        file.tracker.bind(connection).finish(Checkout, "order-1")


def test_what_is_remembered_of_a_file_is_what_was_committed(file: Shop) -> None:
    tracker = file.tracker
    tracker.start(Checkout(key="order-1"))
    for n in range(3):
        tracker.get(Checkout, "order-1")  # from memory, if nobody wrote
        with file.engine.connect() as connection:
            checkout = file.tracker.bind(connection).get(Checkout, "order-1")
            checkout.count += 1
            file.tracker.bind(connection).update(checkout)
            assert tracker.get(Checkout, "order-1", touch=False).count == 0
            connection.rollback()
        assert tracker.get(Checkout, "order-1").version == n + 1
        tracker.update(tracker.get(Checkout, "order-1"))


def test_nothing_is_left_of_what_was_looked_for_in_vain(shop: Shop, admin: Admin) -> None:
    with shop.begin() as (_, bound):
        for call in (bound.get, bound.finish, bound.resume):
            with pytest.raises(SessionNotFoundError):
                call(Checkout, "order-42")
        assert not bound.delete(Checkout, "order-42")
        with pytest.raises(SessionNotFoundError):
            bound.get(Login, "ios", owner="alice")
        assert bound.count_sessions(Login, "alice") == 0
        assert bound.finish_all(Login, "alice") == 0
    prefix = shop.application.orders.name.removesuffix("orders")
    for table in ("keys", "owners"):
        assert admin.execute(f"SELECT COUNT(*) FROM {prefix}{table}")[0][0] == 0


def test_who_waits_for_a_lock_is_given_it_by_the_commit(
    backend: ServerBackend, url: str, address: operations.Address
) -> None:
    """A lease that has run out passes on in the transaction, to who is first in line."""
    [started] = backend.execute([operations.Start(address, 1, b"payload")])
    assert isinstance(started, operations.Saved)
    [granted] = backend.execute([operations.Acquire(address, 7, lease=60_000)])
    assert isinstance(granted, operations.Granted)
    look = operations.Acquire(address, 8, 60_000, look_every=60_000)
    assert isinstance(backend.execute([look])[0], operations.Queued)
    if url.startswith("postgres"):
        backend.wait(8, 600.0)  # it listens from now on, and looks once more
        assert isinstance(backend.execute([look])[0], operations.Queued)
    backend.execute([operations.Renew(address, 7, granted.token, 1_000)])
    engine = create_engine(with_driver(url, asynchronous=False))
    with engine.begin() as connection:
        transaction = backend.bind(connection)
        write = operations.Write(address, 9, started.meta.stamp, b"new")
        locked = transaction.execute(write)
        while isinstance(locked, operations.Locked) and locked.expires_in <= 1_000:
            sleep(0.01)
            locked = transaction.execute(write)
        assert isinstance(locked, operations.Locked)  # not by the one who held it
        transaction.execute(operations.Touch(address))  # what is refused leaves all as it is
    engine.dispose()
    backend.wait(8, 600.0)
    assert isinstance(backend.execute([look])[0], operations.Granted)
