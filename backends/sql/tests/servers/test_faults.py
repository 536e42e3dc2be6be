"""PostgreSQL that restarts, ends connections, or is set up strangely: each call ends in an answer
or in an error that says what happened, nothing is lost, and nothing is done twice.

The full size of the first is ``nox -s soak``.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from sessiontracker import (
    AsyncSessionTracker,
    BackendUnavailableError,
    LockLostError,
    LockNotAcquiredError,
    OutcomeUnknownError,
    Session,
    SessionTracker,
    StaleSessionError,
)
from sessiontracker.backend import BackendError
from sessiontracker.backend import operations as kinds

from .conftest import Admin, OpenBackend

SECONDS = 60 if "SESSIONTRACKER_SOAK" in os.environ else 2
WORKERS = 4
LATEST = 20.0  # s in which a call has ended that may take five by its configuration

NOT_DONE = (BackendUnavailableError, StaleSessionError, LockNotAcquiredError)
PERHAPS_DONE = (OutcomeUnknownError, LockLostError)


class Tally(Session):
    count: int = 0


@pytest.fixture
def url(own_url: str) -> str:
    """Of the tests' own server: another is not ours to disturb."""
    return own_url


class Score:
    """What those who count up were told."""

    def __init__(self) -> None:
        self.done = self.perhaps = 0
        self.slowest = 0.0
        self._mutex = threading.Lock()

    def add(self, began: float, error: Exception | None) -> None:
        with self._mutex:
            self.slowest = max(self.slowest, monotonic() - began)
            self.done += error is None
            self.perhaps += isinstance(error, PERHAPS_DONE)


async def by_tasks(url: str, prefix: str, score: Score, is_over: threading.Event) -> None:
    async with AsyncSessionTracker(backend="sql", url=url, table_prefix=prefix) as tracker:

        async def under_the_lock() -> None:
            async with tracker.get_locked(Tally, "tally", lease="2s", wait="20s") as tally:
                tally.count += 1

        async def by_version() -> None:
            tally = await tracker.get(Tally, "other")
            tally.count += 1
            await tracker.update(tally)

        async def count_up(how: Callable[[], Any]) -> None:
            while not is_over.is_set():
                began = monotonic()
                try:
                    await how()
                except (*NOT_DONE, *PERHAPS_DONE) as error:
                    score.add(began, error)
                else:
                    score.add(began, None)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for n in range(WORKERS):
                group.create_task(count_up(under_the_lock if n % 2 else by_version))


def by_threads(url: str, prefix: str, score: Score, is_over: threading.Event) -> None:
    with SessionTracker(backend="sql", url=url, table_prefix=prefix) as tracker:

        def under_the_lock() -> None:
            with tracker.get_locked(Tally, "tally", lease="2s", wait="20s") as tally:
                tally.count += 1

        def by_version() -> None:
            tally = tracker.get(Tally, "other")
            tally.count += 1
            tracker.update(tally)

        def count_up(how: Callable[[], None]) -> None:
            while not is_over.is_set():
                began = monotonic()
                try:
                    how()
                except (*NOT_DONE, *PERHAPS_DONE) as error:
                    score.add(began, error)
                else:
                    score.add(began, None)

        with ThreadPoolExecutor(WORKERS) as pool:
            ways = [under_the_lock if n % 2 else by_version for n in range(WORKERS)]
            list(pool.map(count_up, ways))


def count_among(url: str, prefix: str, trouble: Callable[[Score], None], threads: bool) -> None:
    """Count up, amid trouble: all that was said to be done is there, and nothing twice."""
    with SessionTracker(backend="sql", url=url, table_prefix=prefix) as tracker:
        for key in ("tally", "other"):
            tracker.start(Tally(key=key))
    score, is_over = Score(), threading.Event()

    def work() -> None:
        if threads:
            by_threads(url, prefix, score, is_over)
        else:
            asyncio.run(by_tasks(url, prefix, score, is_over))

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            trouble(score)
            calm = score.done + 20  # and it goes on afterwards
            deadline = monotonic() + 60
            while score.done < calm and not working.done():
                assert monotonic() < deadline
                sleep(0.01)
        finally:
            is_over.set()
        working.result()
    with SessionTracker(backend="sql", url=url, table_prefix=prefix) as tracker:
        total = sum(tracker.get(Tally, key).count for key in ("tally", "other"))
    assert score.done <= total <= score.done + score.perhaps
    assert score.slowest < LATEST


def until_counting(score: Score) -> None:
    deadline = monotonic() + 60
    while score.done < 20:
        assert monotonic() < deadline
        sleep(0.01)


@pytest.mark.parametrize("threads", [False, True], ids=["tasks", "threads"])
def test_connections_are_ended_again_and_again(url: str, prefix: str, threads: bool) -> None:
    def trouble(score: Score) -> None:
        until_counting(score)
        until = monotonic() + SECONDS
        with psycopg.connect(url, autocommit=True) as admin:
            while monotonic() < until:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
                sleep(0.1)

    count_among(url, prefix, trouble, threads)


@pytest.mark.parametrize("threads", [False, True], ids=["tasks", "threads"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_the_server_is_restarted(
    server: Any, url: str, prefix: str, threads: bool, how: signal.Signals
) -> None:
    def trouble(score: Score) -> None:
        until_counting(score)
        process = server.get_postmaster_info().process
        os.kill(process.pid, how)
        process.wait(30)
        sleep(0.5)
        server.ensure_postgres_running()

    count_among(url, prefix, trouble, threads)


@pytest.fixture
def role(admin: Admin) -> Iterator[str]:
    name = f"t{secrets.token_hex(4)}"
    admin.execute(f"CREATE ROLE {name} LOGIN SUPERUSER")
    yield name
    admin.execute(f"DROP OWNED BY {name}")
    admin.execute(f"DROP ROLE {name}")


def of(url: str, role: str) -> str:
    return make_url(url).set(username=role).render_as_string(hide_password=False)


@pytest.mark.parametrize(
    "setting",
    [
        "default_transaction_isolation = 'serializable'",
        "default_transaction_isolation = 'repeatable read'",
        "statement_timeout = '1ms'",
        "idle_session_timeout = '50ms'",
        "default_transaction_deferrable = on",
        "search_path = 'public'",
        "standard_conforming_strings = off",
        "bytea_output = 'escape'",
        "timezone = 'Asia/Kathmandu'",
    ],
)
def test_what_the_administrator_has_set_changes_nothing(
    admin: Admin, url: str, prefix: str, role: str, setting: str
) -> None:
    admin.execute(f"ALTER ROLE {role} SET {setting}")
    with SessionTracker(backend="sql", url=of(url, role), table_prefix=prefix) as tracker:
        tracker.start(Tally(key="tally"))

        def count_up(times: int) -> None:
            for _ in range(times):
                with tracker.get_locked(Tally, "tally", wait="60s") as tally:
                    tally.count += 1

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(count_up, [5] * 3))
        sleep(0.1)
        assert tracker.get(Tally, "tally").count == 15


def test_a_server_that_takes_no_writes_is_refused(
    admin: Admin, url: str, role: str, open_backend: OpenBackend, address: kinds.Address
) -> None:
    backend = open_backend(url=of(url, role))
    assert isinstance(backend.execute([kinds.Start(address, 1, b"payload")])[0], kinds.Saved)
    admin.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    with pytest.raises(BackendError, match="takes no writes"):
        open_backend(url=of(url, role))
    # … and so is one that turns out to be such when it is connected to anew.
    admin.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
    )
    outcomes: list[kinds.Outcome] = []
    while not outcomes or isinstance(outcomes[-1], kinds.NoAnswer):
        outcomes += backend.execute([kinds.Start(address, 2, b"payload")])
    assert isinstance(outcomes[-1], (kinds.Unavailable, kinds.Failed))
