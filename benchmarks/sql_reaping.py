"""A database server: expired sessions are reaped while users work.

    python -m benchmarks.sql_reaping postgresql://… or mysql://… [--sessions 1000000] [--rounds 5]

Of the sessions, nine in ten have expired. Users ask at fixed times, whether or not they have been
answered: half as often as this tracker could take it. What one asks is to read a session and
to save it; how long that took is counted from when it was to be sent. A round is the same users
beside a reaper that has nothing to do, and beside one that clears what expired, both in the
users' own process, as ``reap_every`` does it. What is left then is cleared beside them.

The ratio is that of the two 95th percentiles, the median over the rounds. Rows are written as the
store packs them.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from statistics import median, quantiles
from time import perf_counter, time_ns
from typing import Any

import psycopg
import pymysql
import uvloop

from sessiontracker import AsyncSessionTracker, Session, StaleSessionError
from sessiontracker.backend import BackendOptions, machine, new_id, operations, state
from sessiontracker_sql.literals import literal
from sessiontracker_sql.optimistic import place_of
from sessiontracker_sql.rows import ALL, COLUMNS, values_of
from sessiontracker_sql.server_options import ServerOptions

NAME = f"b{secrets.token_hex(3)}_"
IDLE = f"{NAME}idle_"
HOUR = 3_600_000  # ms
TASKS = 64
COLUMNS_ALL = ("type", "scope", "key", "revision", *COLUMNS)


class Cart(Session):
    count: int = 0
    note: str = "x" * 280


class Administrator:
    """A connection of its own."""

    def __init__(self, url: str) -> None:
        self.options = ServerOptions.of(BackendOptions("bare", url))
        self.is_postgresql = self.options.kind == "postgresql"
        if self.is_postgresql:
            self._driver: Any = psycopg.connect(url, autocommit=True)
        else:
            self._driver = pymysql.connect(**self.options.where_to_connect, autocommit=True)
        self._cursor = self._driver.cursor()

    def execute(self, statement: str) -> list[Any]:
        self._cursor.execute(statement)
        return list(self._cursor.fetchall()) if self._cursor.description else []

    def fill(self, rows: Iterator[list[Any]]) -> None:
        """Put ``rows`` into the table."""
        if self.is_postgresql:
            types = self._types()
            with self._cursor.copy(
                f"COPY {NAME}keys ({', '.join(COLUMNS_ALL)}) FROM STDIN (FORMAT BINARY)"
            ) as copy:
                copy.set_types(types)
                for row in rows:
                    copy.write_row(row)
            return
        names = ", ".join(f"`{name}`" for name in COLUMNS_ALL)
        while some := list(islice(rows, 1000)):
            values = ", ".join(f"({', '.join(map(literal, row))})" for row in some)
            self.execute(f"INSERT INTO {NAME}keys ({names}) VALUES {values}")

    def _types(self) -> list[str]:
        found = self.execute(
            "SELECT attname::text, atttypid::regtype::text FROM pg_attribute "
            f"WHERE attrelid = '{NAME}keys'::regclass AND attnum > 0"
        )
        types = dict(found)
        return [types[name] for name in COLUMNS_ALL]

    def count(self, condition: str = "TRUE") -> int:
        [[count]] = self.execute(f"SELECT count(*) FROM {NAME}keys WHERE {condition}")
        return int(count)

    def size(self) -> int:
        """Of the table and its indexes, in bytes."""
        if self.is_postgresql:
            self.execute(f"ANALYZE {NAME}keys")
            [[size]] = self.execute(f"SELECT pg_total_relation_size('{NAME}keys')")
        else:
            self.execute(f"ANALYZE TABLE {NAME}keys")
            [[size]] = self.execute(
                "SELECT data_length + index_length FROM information_schema.tables "
                f"WHERE table_schema = DATABASE() AND table_name = '{NAME}keys'"
            )
        return int(size)

    def drop(self) -> None:
        for prefix in (NAME, IDLE):
            self.execute(f"DROP TABLE IF EXISTS {prefix}keys, {prefix}owners, {prefix}schema")


def packed(payload: bytes, keys: range, began: int) -> Iterator[list[Any]]:
    """Rows of carts that were started, one µs after the other, from ``began`` (µs) on."""
    for n in keys:
        address = operations.Address("cart", "", f"k{n:08}")
        start = operations.Start(address, new_id(), payload, idle=24 * HOUR, absolute=48 * HOUR)
        slot, _ = machine.apply(state.EMPTY, start, began + n)
        row = values_of(slot.keys[address.key], state.due(slot), ALL)
        yield [*place_of(address), new_id(), *row]


async def payload_of(tracker: AsyncSessionTracker) -> bytes:
    """A cart, as the tracker stores it."""
    await tracker.start(Cart(key="template"))
    [asker] = tracker._askers.values()
    address = operations.Address("cart", "", "ktemplate")
    [found] = await asker.backend.execute([operations.Read(address)])
    await tracker.delete(Cart, "template")
    assert isinstance(found, operations.Found)
    return found.payload


# Users -------------------------------------------------------------------------


class Users:
    """Who read and save carts, each time another."""

    def __init__(self, tracker: AsyncSessionTracker, live: range) -> None:
        self._tracker = tracker
        self._live = live

    async def work(self) -> None:
        cart = await self._tracker.get(Cart, f"{random.choice(self._live):08}")
        cart.count += 1
        try:
            await self._tracker.update(cart)
        except StaleSessionError:  # another user was quicker
            pass

    async def capacity(self, seconds: float) -> float:
        """How often a second they can work."""
        done = 0
        end = perf_counter() + seconds

        async def user() -> None:
            nonlocal done
            while perf_counter() < end:
                await self.work()
                done += 1

        await asyncio.gather(*(user() for _ in range(TASKS)))
        return done / seconds

    async def latencies(self, rate: float, is_over: Callable[[], bool]) -> list[float]:
        """The seconds from when each was to be sent, ``rate`` a second, until it was answered."""
        took: list[float] = []
        pending: set[asyncio.Task[None]] = set()

        async def one(due: float) -> None:
            await self.work()
            took.append(perf_counter() - due)

        due = perf_counter()
        while not is_over():
            due += random.expovariate(rate)
            delay = due - perf_counter()
            if delay > 0:
                await asyncio.sleep(delay)
            task = asyncio.create_task(one(due))
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.gather(*pending)
        return took


def p95(took: list[float]) -> float:
    return quantiles(took, n=20)[-1]


async def beside(
    users: Users, rate: float, seconds: float, reap: Callable[[], Awaitable[int]]
) -> tuple[float, int, float]:
    """The users' 95th percentile beside who reaps, how many went, and in how many seconds."""
    end = perf_counter() + seconds
    is_over = False

    async def reaper() -> int:
        nonlocal is_over
        gone = 0
        while perf_counter() < end:
            count = await reap()
            gone += count
            if not count:
                if seconds == float("inf"):
                    break
                await asyncio.sleep(0.5)  # as often as anybody would look
        is_over = True
        return gone

    began = perf_counter()
    reaping = asyncio.create_task(reaper())
    took = await users.latencies(rate, lambda: is_over)
    return p95(took), await reaping, perf_counter() - began


async def each(call: Callable[[int], Awaitable[object]], count: int) -> float:
    """µs that a call takes, of ``count`` by 64 tasks."""
    numbers = iter(range(count))

    async def user() -> None:
        for n in numbers:
            await call(n)

    began = perf_counter()
    await asyncio.gather(*(user() for _ in range(TASKS)))
    return (perf_counter() - began) / count * 1e6


async def growth(admin: Administrator, tracker: AsyncSessionTracker, count: int) -> None:
    """What a session costs beside ``count`` others."""
    start = await each(lambda n: tracker.start(Cart(key=f"new{n}")), 5_000)
    read = await each(lambda n: tracker.get(Cart, f"new{n}"), 5_000)
    await asyncio.gather(*(tracker.delete(Cart, f"new{n}") for n in range(5_000)))
    size = admin.size() / admin.count()
    print(f"beside {count:9,}: start {start:5.0f} µs, get {read:5.0f} µs; {size:5.0f} bytes each")


async def main(url: str, sessions: int, rounds: int, seconds: float) -> None:
    admin = Administrator(url)
    try:
        async with (
            AsyncSessionTracker(backend="sql", url=url, table_prefix=NAME) as tracker,
            AsyncSessionTracker(backend="sql", url=url, table_prefix=IDLE) as idle,
        ):
            payload = await payload_of(tracker)
            now = time_ns() // 1000
            expired = sessions * 9 // 10
            few = sessions // 100
            live = range(expired, sessions)
            began = perf_counter()
            admin.fill(packed(payload, live[:few], now - HOUR * 1000))
            await growth(admin, tracker, few)
            admin.fill(packed(payload, live[few:], now - HOUR * 1000))
            admin.fill(packed(payload, range(expired), now - 72 * HOUR * 1000))
            print(f"{sessions:,} rows written in {perf_counter() - began:.0f} s")
            await growth(admin, tracker, sessions)

            users = Users(tracker, live)
            capacity = await users.capacity(3.0)
            rate = capacity / 2
            print(f"capacity {capacity:,.0f} reads and saves a second; users ask for half of it")
            ratios: list[float] = []
            for _ in range(rounds):
                quiet, _, _ = await beside(users, rate, seconds, idle.reap)
                busy, gone, took = await beside(users, rate, seconds, tracker.reap)
                ratios.append(busy / quiet)
                print(
                    f"p95 {quiet * 1e3:6.1f} ms, reaping {busy * 1e3:6.1f} ms: {busy / quiet:.2f}×;"
                    f" {gone / took:,.0f} reaped a second"
                )
            print(f"p95 beside who reaps: {median(ratios):.2f}× of that beside an idle reaper")
            busy, gone, took = await beside(users, rate, float("inf"), tracker.reap)
            if gone:
                print(f"the other {gone:,}: {gone / took:,.0f} a second, p95 {busy * 1e3:.1f} ms")
            left = admin.count("active_life IS NOT NULL")
            print(f"{left:,} sessions are left of {sessions:,}")
            assert left == len(live), "what had not expired, and nothing else"
    finally:
        admin.drop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    uvloop.run(main(**vars(parser.parse_args())))
