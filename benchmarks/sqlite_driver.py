"""SQLite behind an event loop: this backend, aiosqlite, and SQLAlchemy, side by side.

    python benchmarks/sqlite_driver.py [--rounds 5] [--seconds 1.0]

Each contender updates sessions of 300 bytes in a file of its own, with the same
``synchronous = normal``: one task alone, and 64 tasks at once. Rounds are interleaved;
the figures are medians, and the ratios medians of the ratios within a round.

* own thread: the backend as it ships, batches in a thread of its own on the standard
  sqlite3, each operation checked by the machine
* aiosqlite, batches: the same statements of a batch, through aiosqlite in as few hops as
  its public API allows
* aiosqlite, autocommit: a bare ``UPDATE`` an operation, checked against nothing
* SQLAlchemy: ``async with engine.begin()`` an operation, on aiosqlite
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from time import perf_counter

import aiosqlite
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine

from sessiontracker._async.runtime import AsyncLane
from sessiontracker.backend import AsyncThreadedBackend, new_id
from sessiontracker.operations import Address, Saved, Start, Write
from sessiontracker_sql.options import Options
from sessiontracker_sql.sqlite import SQLiteStore

PAYLOAD = os.urandom(300)
TASKS = 64
WARM_UP = 0.2  # s

Update = Callable[[int], Awaitable[None]]
"""Updates one task's session."""

CREATE = "CREATE TABLE sessions (key BLOB PRIMARY KEY, payload BLOB, version INTEGER)"
INSERT = "INSERT INTO sessions VALUES (?, ?, 1)"
SELECT = "SELECT payload, version FROM sessions WHERE key = ?"
UPDATE = "UPDATE sessions SET payload = ?, version = version + 1 WHERE key = ?"


def key(task: int) -> bytes:
    return b"order-%d" % task


async def own_thread(folder: Path, stack: AsyncExitStack) -> Update:
    backend = AsyncThreadedBackend(SQLiteStore(Options(path=folder / "own.db")))
    await backend.open()
    stack.push_async_callback(backend.close)
    lane = AsyncLane(backend.execute, backend.batch)
    stack.push_async_callback(lane.close)
    addresses = [Address("checkout", "", f"korder-{task}") for task in range(TASKS)]
    metas = []
    for address in addresses:
        started = await lane.ask(Start(address, new_id(), PAYLOAD, idle=1_800_000))
        assert isinstance(started, Saved), started
        metas.append(started.meta)

    async def update(task: int) -> None:
        saved = await lane.ask(Write(addresses[task], new_id(), metas[task].stamp, PAYLOAD))
        assert isinstance(saved, Saved), saved
        metas[task] = saved.meta

    return update


async def connect(path: Path, stack: AsyncExitStack) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None)
    stack.push_async_callback(connection.close)
    await connection.execute_fetchall("PRAGMA journal_mode = WAL")
    await connection.execute_fetchall("PRAGMA synchronous = normal")
    await connection.execute_fetchall(CREATE)
    await connection.executemany(INSERT, [(key(task), PAYLOAD) for task in range(TASKS)])
    return connection


async def aiosqlite_batches(folder: Path, stack: AsyncExitStack) -> Update:
    connection = await connect(folder / "batches.db", stack)
    waiting: list[tuple[int, asyncio.Future[None]]] = []
    runner: asyncio.Task[None] | None = None

    async def run() -> None:
        while waiting:
            batch = waiting.copy()
            waiting.clear()
            await connection.execute_fetchall("BEGIN IMMEDIATE")
            # No public call takes several statements with parameters and returns rows.
            marks = ", ".join("?" * len(batch))
            await connection.execute_fetchall(
                f"SELECT payload, version FROM sessions WHERE key IN ({marks})",
                [key(task) for task, _ in batch],
            )
            await connection.executemany(UPDATE, [(PAYLOAD, key(task)) for task, _ in batch])
            await connection.execute_fetchall("COMMIT")
            for _, done in batch:
                done.set_result(None)
            await asyncio.sleep(0)

    async def update(task: int) -> None:
        nonlocal runner
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        waiting.append((task, done))
        if runner is None or runner.done():
            runner = loop.create_task(run())
        await done

    return update


async def aiosqlite_autocommit(folder: Path, stack: AsyncExitStack) -> Update:
    connection = await connect(folder / "autocommit.db", stack)

    async def update(task: int) -> None:
        await connection.execute_fetchall(UPDATE, (PAYLOAD, key(task)))

    return update


async def sqlalchemy_begin(folder: Path, stack: AsyncExitStack) -> Update:
    path = folder / "sqlalchemy.db"
    async with AsyncExitStack() as preparing:
        await connect(path, preparing)
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=TASKS, connect_args={"timeout": 60}
    )
    stack.push_async_callback(engine.dispose)

    @event.listens_for(engine.sync_engine, "connect")
    def _(connection: object, record: object) -> None:
        connection.execute("PRAGMA synchronous = normal")  # type: ignore[attr-defined]

    statement = text(
        "UPDATE sessions SET payload = :payload, version = version + 1 WHERE key = :key"
    )

    async def update(task: int) -> None:
        async with engine.begin() as connection:
            await connection.execute(statement, {"payload": PAYLOAD, "key": key(task)})

    return update


CONTENDERS = {
    "own thread": own_thread,
    "aiosqlite, batches": aiosqlite_batches,
    "aiosqlite, autocommit": aiosqlite_autocommit,
    "SQLAlchemy, begin()": sqlalchemy_begin,
}


async def rate(update: Update, tasks: int, seconds: float) -> float:
    """Updates a second by so many tasks."""
    done = 0
    begin = perf_counter() + WARM_UP
    end = begin + seconds

    async def user(task: int) -> None:
        nonlocal done
        while (now := perf_counter()) < end:
            await update(task)
            done += now >= begin

    await asyncio.gather(*(user(task) for task in range(tasks)))
    return done / (perf_counter() - begin)


async def main(rounds: int, seconds: float) -> None:
    rates: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for name, prepare in CONTENDERS.items():
                place = Path(folder) / f"{number}-{name}"
                place.mkdir()
                async with AsyncExitStack() as stack:
                    update = await prepare(place, stack)
                    for tasks in (1, TASKS):
                        rates.setdefault((name, tasks), []).append(
                            await rate(update, tasks, seconds)
                        )
    print(f"{'':24}{'alone, µs':>12}{'of own':>9}{'@64, ops/s':>13}{'own is':>9}")
    for name in CONTENDERS:
        alone, many = rates[name, 1], rates[name, TASKS]
        own_alone, own_many = rates["own thread", 1], rates["own thread", TASKS]
        slower = median(a / b for a, b in zip(own_alone, alone, strict=True))
        faster = median(b / a for a, b in zip(many, own_many, strict=True))
        print(
            f"{name:24}{1e6 / median(alone):12.0f}{slower:8.2f}×{median(many):13,.0f}{faster:8.1f}×"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    asyncio.run(main(**vars(parser.parse_args())))
