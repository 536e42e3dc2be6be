"""A database server from an event loop: the tracker, SQLAlchemy, the bare driver, side by side.

    python -m benchmarks.sql_servers postgresql://… or mysql://… [--rounds 5] [--seconds 0.5]

Each contender reads and updates sessions of 300 bytes, by one task alone and by 64 at once.
Rounds are interleaved, on uvloop; figures are medians, and ratios medians of the ratios within
a round.

* tracker: ``tracker.get`` and ``tracker.update``, typed, encoded and checked, as a user calls
  them
* SQLAlchemy, begin(): ``async with engine.begin()`` an operation, with the same driver
* bare driver: a connection held for each task, in autocommit mode
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median
from time import perf_counter
from typing import Any

import uvloop
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from sessiontracker import AsyncSessionTracker, Session
from sessiontracker.backend import BackendOptions
from sessiontracker_sql.server_options import ServerOptions

PAYLOAD = os.urandom(150).hex().encode()
TASKS = 64
WARM_UP = 0.15  # s

Call = Callable[[int], Awaitable[object]]
"""What one task asks for its own session."""

Contender = tuple[Call, Call]
"""Reading and updating."""

NAME = f"b{secrets.token_hex(3)}_"
DRIVERS = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+aiomysql"}
BYTES = {"postgresql": "BYTEA", "mysql": "VARBINARY(1000)"}
SELECT = f"SELECT payload, version FROM {NAME}bare WHERE id = "
UPDATE = f"UPDATE {NAME}bare SET version = version + 1, payload = "


def key(task: int) -> bytes:
    return b"order-%d" % task


def given(url: str, *values: bytes) -> Any:
    """``values`` as a statement is given them: aiomysql takes no bytes beside a new PyMySQL."""
    is_mysql = make_url(url).get_backend_name() != "postgresql"
    return [value.decode("latin-1") for value in values] if is_mysql else values


class Parcel(Session):
    content: bytes = b""


@asynccontextmanager
async def tracker(url: str) -> AsyncIterator[Contender]:
    async with AsyncSessionTracker(backend="sql", url=url, table_prefix=NAME) as opened:
        parcels = [
            await opened.start(
                Parcel(key=f"order-{NAME}{task}-{secrets.token_hex(4)}", content=PAYLOAD)
            )
            for task in range(TASKS)
        ]

        async def get(task: int) -> None:
            await opened.get(Parcel, parcels[task].key)

        async def update(task: int) -> None:
            await opened.update(parcels[task])

        yield get, update


@asynccontextmanager
async def sqlalchemy(url: str) -> AsyncIterator[Contender]:
    parsed = make_url(url)
    kind = parsed.get_backend_name().replace("mariadb", "mysql")
    engine = create_async_engine(
        parsed.set(drivername=DRIVERS[kind]), pool_size=16, max_overflow=0, pool_timeout=60
    )
    select, update_it = text(f"{SELECT}:key"), text(f"{UPDATE}:payload WHERE id = :key")

    async def get(task: int) -> None:
        async with engine.begin() as connection:
            [name] = given(url, key(task))
            (await connection.execute(select, {"key": name})).one()

    async def update(task: int) -> None:
        async with engine.begin() as connection:
            payload, name = given(url, PAYLOAD, key(task))
            await connection.execute(update_it, {"payload": payload, "key": name})

    yield get, update
    await engine.dispose()


@asynccontextmanager
async def bare(url: str) -> AsyncIterator[Contender]:
    options = ServerOptions.of(BackendOptions("bare", url))
    async with AsyncExitStack() as stack:
        if options.kind == "postgresql":
            import asyncpg

            postgresql = [await asyncpg.connect(url) for _ in range(TASKS)]
            for each in postgresql:
                stack.push_async_callback(each.close)

            async def get(task: int) -> Any:
                return await postgresql[task].fetchrow(f"{SELECT}$1", key(task))

            async def update(task: int) -> Any:
                return await postgresql[task].execute(
                    f"{UPDATE}$1 WHERE id = $2", PAYLOAD, key(task)
                )

            yield get, update
        else:
            import aiomysql

            where = options.where_to_connect
            where["db"] = where.pop("database")
            mysql = [await aiomysql.connect(**where, autocommit=True) for _ in range(TASKS)]
            for each in mysql:
                stack.push_async_callback(each.ensure_closed)

            async def get_row(task: int) -> Any:
                async with mysql[task].cursor() as cursor:
                    await cursor.execute(f"{SELECT}%s", given(url, key(task)))
                    return await cursor.fetchone()

            async def update_row(task: int) -> Any:
                async with mysql[task].cursor() as cursor:
                    await cursor.execute(
                        f"{UPDATE}%s WHERE id = %s", given(url, PAYLOAD, key(task))
                    )

            yield get_row, update_row


CONTENDERS = {"tracker": tracker, "SQLAlchemy, begin()": sqlalchemy, "bare driver": bare}


async def rate(call: Call, tasks: int, seconds: float) -> float:
    """Calls a second by so many tasks."""
    await asyncio.gather(*(call(task) for task in range(tasks)))  # which connects
    done = 0
    begin = perf_counter() + WARM_UP
    end = begin + seconds

    async def user(task: int) -> None:
        nonlocal done
        while (now := perf_counter()) < end:
            await call(task)
            done += now >= begin

    await asyncio.gather(*(user(task) for task in range(tasks)))
    return done / (perf_counter() - begin)


async def prepare(url: str, *, drop: bool = False) -> None:
    parsed = make_url(url)
    kind = parsed.get_backend_name().replace("mariadb", "mysql")
    engine = create_async_engine(parsed.set(drivername=DRIVERS[kind]))
    async with engine.begin() as connection:
        if drop:
            for table in ("bare", "keys", "owners", "schema"):
                await connection.execute(text(f"DROP TABLE IF EXISTS {NAME}{table}"))
        else:
            await connection.execute(
                text(
                    f"CREATE TABLE {NAME}bare (id {BYTES[kind].replace('1000', '64')} PRIMARY KEY, "
                    f"payload {BYTES[kind]}, version BIGINT)"
                )
            )
            await connection.execute(
                text(f"INSERT INTO {NAME}bare VALUES (:key, :payload, 1)"),
                [
                    dict(zip(("key", "payload"), given(url, key(task), PAYLOAD), strict=True))
                    for task in range(TASKS)
                ],
            )
    await engine.dispose()


async def main(url: str, rounds: int, seconds: float) -> None:
    rates: dict[tuple[str, str, int], list[float]] = {}
    await prepare(url)
    try:
        for _ in range(rounds):
            for name, contender in CONTENDERS.items():
                async with contender(url) as (get, update):
                    for what, call in (("get", get), ("update", update)):
                        for tasks in (1, TASKS):
                            measured = await rate(call, tasks, seconds)
                            rates.setdefault((name, what, tasks), []).append(measured)
    finally:
        await prepare(url, drop=True)
    for what in ("get", "update"):
        print(f"{what:24}{'alone, µs':>12}{'of its time':>12}{'@64, ops/s':>12}{'is faster':>12}")
        for name in CONTENDERS:
            alone, many = rates[name, what, 1], rates[name, what, TASKS]
            share = median(a / b for a, b in zip(alone, rates["tracker", what, 1], strict=True))
            faster = median(b / a for a, b in zip(many, rates["tracker", what, TASKS], strict=True))
            print(
                f"{name:24}{1e6 / median(alone):12.0f}{share:11.2f}×{median(many):12,.0f}"
                f"{faster:11.1f}×"
            )
    print("of its time: the tracker's time alone, as a share; is faster: the tracker, at 64")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    uvloop.run(main(**vars(parser.parse_args())))
