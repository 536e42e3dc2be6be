"""An application's own Engine or AsyncEngine in the place of a URL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from drivers import with_driver
from sessiontracker import (
    AsyncSessionTracker,
    Config,
    ConfigurationError,
    Session,
    SessionTracker,
    StaleSessionError,
)
from sessiontracker.errors import BackendUnavailableError

LEVELS = [None, "REPEATABLE READ", "SERIALIZABLE"]


class Tally(Session):
    count: int = 0


@pytest.fixture(params=LEVELS, ids=str)
def engine(url: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    level = {} if request.param is None else {"isolation_level": request.param}
    engine = create_engine(
        with_driver(url, asynchronous=False), pool_size=1, max_overflow=0, **level
    )
    yield engine
    engine.dispose()


@pytest.fixture(params=LEVELS, ids=str)
def async_engine(url: str, request: pytest.FixtureRequest) -> AsyncEngine:
    level = {} if request.param is None else {"isolation_level": request.param}
    return create_async_engine(
        with_driver(url, asynchronous=True), pool_size=1, max_overflow=0, **level
    )


def test_threads_count_by_an_engine(engine: Engine, prefix: str) -> None:
    with SessionTracker(backend="sql", engine=engine, table_prefix=prefix) as tracker:
        tracker.start(Tally(key="tally"))

        def count_up(times: int) -> None:
            for n in range(times):
                with tracker.get_locked(Tally, "tally", wait="60s") as tally:
                    tally.count += 1
                mine = tracker.get_or_start(Tally(key=f"k{n % 3}"))
                try:
                    mine.count += 1
                    tracker.update(mine)
                except StaleSessionError:
                    pass

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count_up, [8] * 4))
        assert tracker.get(Tally, "tally").count == 32
        with engine.connect() as connection:  # its pool has its own connection still
            assert connection.execute(text("SELECT 1")).scalar() == 1


async def test_tasks_count_by_an_engine(async_engine: AsyncEngine, prefix: str) -> None:
    config = Config(
        backends={"ledger": {"use": "sql", "engine": async_engine, "table_prefix": prefix}}
    )
    async with AsyncSessionTracker(config) as tracker:
        await tracker.start(Tally(key="tally"))

        async def count_up(times: int) -> None:
            for n in range(times):
                async with tracker.get_locked(Tally, "tally", wait="60s") as tally:
                    tally.count += 1
                await tracker.get_or_start(Tally(key=f"k{n % 3}"))

        await asyncio.gather(*(count_up(8) for _ in range(4)))
        assert (await tracker.get(Tally, "tally")).count == 32
        async with async_engine.connect() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    await async_engine.dispose()


def test_it_connects_as_the_engine_does(url: str, prefix: str) -> None:
    """With a password, for instance, that is made anew for each connection."""
    wrong = with_driver(url, asynchronous=False).set(database="elsewhere")
    right = make_url(url)
    engine = create_engine(wrong)
    asked: list[object] = []

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, named: dict[str, Any]) -> None:
        asked.append(named)
        name = "dbname" if "dbname" in named else "database" if "database" in named else "db"
        named[name] = right.database

    with SessionTracker(backend="sql", engine=engine, table_prefix=prefix) as tracker:
        tracker.start(Tally(key="tally"))
    assert asked
    engine.dispose()


def test_a_server_that_is_not_there_is_unavailable(url: str) -> None:
    there = with_driver(url, asynchronous=False)
    engine = create_engine(there.set(host="127.0.0.1", port=1, query={}))
    with pytest.raises(BackendUnavailableError, match="does not answer"):
        SessionTracker(backend="sql", engine=engine).open()


async def test_a_server_that_is_not_there_is_unavailable_from_an_event_loop(url: str) -> None:
    there = with_driver(url, asynchronous=True)
    engine = create_async_engine(there.set(host="127.0.0.1", port=1, query={}))
    with pytest.raises(BackendUnavailableError, match="does not answer"):
        await AsyncSessionTracker(backend="sql", engine=engine).open()


async def test_an_engine_that_does_not_fit_is_refused(url: str) -> None:
    blocking = create_engine(with_driver(url, asynchronous=False))
    with pytest.raises(ConfigurationError, match=r"engine: AsyncSessionTracker wants an AsyncEng"):
        await AsyncSessionTracker(backend="sql", engine=blocking).open()
    not_blocking = create_async_engine(with_driver(url, asynchronous=True))
    with pytest.raises(ConfigurationError, match=r"engine: SessionTracker wants an Engine of"):
        SessionTracker(backend="sql", engine=not_blocking).open()
    for more, message in (
        ({"url": url}, "not both"),
        ({"connect_args": {}}, "create_engine"),
        ({"engine": "sqlite://"}, "no Engine"),
        ({"engine": create_engine("sqlite://")}, "give a url"),
    ):
        options: dict[str, Any] = {"engine": blocking, **more}
        with pytest.raises(ConfigurationError, match=message):
            SessionTracker(backend="sql", **options).open()
