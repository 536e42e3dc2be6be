"""SQLite behind an event loop: this backend, both drivers bare, and SQLAlchemy, side by side.

    python -m benchmarks.sqlite_driver [--rounds 12] [--seconds 0.2]

Each contender updates sessions of 300 bytes in a file of its own, with the same
``synchronous = normal``: one task alone, and 64 tasks at once. All are open from the
beginning, and take short turns in an order that is drawn anew each round; the figures are
medians, and the ratios medians of the ratios within a round.

* tracker: ``tracker.update(session)``, typed, encoded and checked, as a user calls it
* backend: what is below the tracker, with the payload ready; each update is checked by the
  machine
* bare, our hop: an UPDATE an operation, checked against nothing, in the thread of a backend of
  ours: what is left when a store does nothing more than aiosqlite does
* bare, own thread: a batch as SELECT and UPDATE in one transaction, checked against nothing,
  by the standard sqlite3 in one hop to a thread of its own
* bare, aiosqlite: the same statements through aiosqlite, one hop for each that its public
  API takes at once
* aiosqlite, autocommit: an UPDATE an operation, no batches
* SQLAlchemy: ``async with engine.begin()`` an operation, on aiosqlite
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from time import perf_counter

import aiosqlite
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine

from sessiontracker import AsyncSessionTracker, Session
from sessiontracker._async.runtime import AsyncLane
from sessiontracker.backend import Asked, AsyncThreadedBackend, new_id
from sessiontracker.operations import Address, Meta, Outcome, Saved, Stamp, Start, Write
from sessiontracker_sql.options import Options
from sessiontracker_sql.sqlite import SQLiteStore

PAYLOAD = os.urandom(300)
TASKS = 64
WARM_UP = 0.05  # s

Update = Callable[[int], Awaitable[None]]
"""Updates one task's session."""

CREATE = "CREATE TABLE sessions (key BLOB PRIMARY KEY, payload BLOB, version INTEGER)"
INSERT = "INSERT INTO sessions VALUES (?, ?, 1)"
SELECT = "SELECT payload, version FROM sessions WHERE key = ?"
UPDATE = "UPDATE sessions SET payload = ?, version = version + 1 WHERE key = ?"


def key(task: int) -> bytes:
    return b"order-%d" % task


class Parcel(Session):
    content: bytes = b""


async def tracker(folder: Path, stack: AsyncExitStack) -> Update:
    opened = await stack.enter_async_context(
        AsyncSessionTracker(backend="sql", url=f"sqlite:///{folder / 'tracker.db'}")
    )
    parcels = [
        await opened.start(Parcel(key=f"order-{task}", content=PAYLOAD)) for task in range(TASKS)
    ]

    async def update(task: int) -> None:
        await opened.update(parcels[task])

    return update


async def shipped(folder: Path, stack: AsyncExitStack) -> Update:
    backend = AsyncThreadedBackend(SQLiteStore(Options(path=folder / "own.db")))
    await backend.open()
    stack.push_async_callback(backend.close)
    lane = AsyncLane(backend)
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


class BareStore:
    """A `BlockingStore` that knows one statement."""

    look_every = 1.0
    poll_every = 1.0
    batch = 256

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self) -> None:
        self._cursor = sqlite3.connect(self._path, isolation_level=None).cursor()
        self._cursor.execute("PRAGMA synchronous = normal")

    def close(self) -> None:
        self._cursor.connection.close()

    def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        for operation in operations:
            assert isinstance(operation, Write)
            self._cursor.execute(UPDATE, (operation.payload, operation.address.key.encode()))
        return [SAVED] * len(operations)

    def claims(self) -> Sequence[int]:
        return ()

    def look(self, waiting: Mapping[int, Address]) -> Collection[int]:
        return ()


SAVED = Saved(Meta(1, 1, 1, "", 0, 0, 0, 0, 0, 0))


async def bare_hop(folder: Path, stack: AsyncExitStack) -> Update:
    path = folder / "hop.db"
    async with AsyncExitStack() as preparing:
        await connect(path, preparing)
    backend = AsyncThreadedBackend(BareStore(path))
    await backend.open()
    stack.push_async_callback(backend.close)
    lane = AsyncLane(backend)
    stack.push_async_callback(lane.close)
    addresses = [Address("", "", key(task).decode()) for task in range(TASKS)]
    stamp = Stamp(1, 1, 1)

    async def update(task: int) -> None:
        await lane.ask(Write(addresses[task], new_id(), stamp, PAYLOAD))

    return update


async def connect(path: Path, stack: AsyncExitStack) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None)
    stack.push_async_callback(connection.close)
    await connection.execute_fetchall("PRAGMA journal_mode = WAL")
    await connection.execute_fetchall("PRAGMA synchronous = normal")
    await connection.execute_fetchall(CREATE)
    await connection.executemany(INSERT, [(key(task), PAYLOAD) for task in range(TASKS)])
    return connection


Carry = Callable[[Sequence[int]], Awaitable[None]]
"""Updates the sessions of these tasks in one transaction."""


def batching(carry: Carry) -> Update:
    """What tasks ask for while a batch is under way makes the next one."""
    waiting: list[tuple[int, asyncio.Future[None]]] = []
    runner: asyncio.Task[None] | None = None

    async def run() -> None:
        while waiting:
            batch = waiting.copy()
            waiting.clear()
            await carry([task for task, _ in batch])
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


async def bare_own_thread(folder: Path, stack: AsyncExitStack) -> Update:
    path = folder / "thread.db"
    async with AsyncExitStack() as preparing:
        await connect(path, preparing)
    thread = stack.enter_context(ThreadPoolExecutor(1))

    def open_here() -> sqlite3.Cursor:
        cursor = sqlite3.connect(path, isolation_level=None).cursor()
        cursor.execute("PRAGMA synchronous = normal")
        return cursor

    loop = asyncio.get_running_loop()
    cursor = await loop.run_in_executor(thread, open_here)

    def transact(tasks: Sequence[int]) -> None:
        cursor.execute("BEGIN IMMEDIATE")
        for task in tasks:
            cursor.execute(SELECT, (key(task),)).fetchall()
        cursor.executemany(UPDATE, [(PAYLOAD, key(task)) for task in tasks])
        cursor.execute("COMMIT")

    async def carry(tasks: Sequence[int]) -> None:
        await loop.run_in_executor(thread, transact, tasks)

    async def close() -> None:
        await loop.run_in_executor(thread, cursor.connection.close)

    stack.push_async_callback(close)
    return batching(carry)


async def bare_aiosqlite(folder: Path, stack: AsyncExitStack) -> Update:
    connection = await connect(folder / "batches.db", stack)

    async def carry(tasks: Sequence[int]) -> None:
        await connection.execute_fetchall("BEGIN IMMEDIATE")
        for task in tasks:
            await connection.execute_fetchall(SELECT, (key(task),))
        await connection.executemany(UPDATE, [(PAYLOAD, key(task)) for task in tasks])
        await connection.execute_fetchall("COMMIT")

    return batching(carry)


async def aiosqlite_autocommit(folder: Path, stack: AsyncExitStack) -> Update:
    connection = await connect(folder / "autocommit.db", stack)

    async def update(task: int) -> None:
        await connection.execute_fetchall(UPDATE, (PAYLOAD, key(task)))

    return update


async def sqlalchemy_begin(folder: Path, stack: AsyncExitStack) -> Update:
    path = folder / "sqlalchemy.db"
    async with AsyncExitStack() as preparing:
        await connect(path, preparing)
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"timeout": 60})
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
    "tracker": tracker,
    "backend": shipped,
    "bare, our hop": bare_hop,
    "bare, own thread": bare_own_thread,
    "bare, aiosqlite": bare_aiosqlite,
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
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        updates: dict[str, Update] = {}
        for name, prepare in CONTENDERS.items():
            place = folder / name
            place.mkdir()
            updates[name] = await prepare(place, stack)
        for _ in range(rounds):
            for tasks in (1, TASKS):
                for name in random.sample(list(updates), len(updates)):
                    measured = await rate(updates[name], tasks, seconds)
                    rates.setdefault((name, tasks), []).append(measured)
    print(f"{'':24}{'alone, µs':>12}{'is slower':>12}{'@64, ops/s':>12}{'is faster':>12}")
    for name in CONTENDERS:
        alone, many = rates[name, 1], rates[name, TASKS]
        slower = median(a / b for a, b in zip(alone, rates["tracker", 1], strict=True))
        faster = median(b / a for a, b in zip(many, rates["tracker", TASKS], strict=True))
        print(
            f"{name:24}{1e6 / median(alone):12.0f}{slower:11.2f}×{median(many):12,.0f}"
            f"{faster:11.1f}×"
        )
    print("how much slower and faster than each the tracker is")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.2)
    asyncio.run(main(**vars(parser.parse_args())))
