"""PostgreSQL: how long a lock takes from one who lets it go to the next in line.

    python -m benchmarks.sql_locks postgresql://… [--rounds 5] [--times 200]

Two clients that share nothing but the server take turns, each waiting in line when the other
lets go. Rounds are interleaved, on uvloop; the ratio is the median of the ratios within a round.

* tracker: two trackers, ``tracker.lock``: from the end of one's block to the other's beginning
* bare driver: asyncpg, connections held: an UPDATE that frees the row, NOTIFY, and an UPDATE that
  takes it, when the notification has come
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import asyncpg
import uvloop

from sessiontracker import AsyncSessionTracker, Session

HOLD = 0.006  # s
REST = 0.002  # s, before one is in line again: not at the moment of the hand-over
NAME = f"b{secrets.token_hex(3)}_"

Take = Callable[[], AbstractAsyncContextManager[Any]]
"""Holds the lock within."""


class Seat(Session):
    pass


@asynccontextmanager
async def of_a_tracker(url: str) -> AsyncIterator[Take]:
    async with AsyncSessionTracker(backend="sql", url=url, table_prefix=NAME) as tracker:
        yield lambda: tracker.lock(Seat, "one")


@asynccontextmanager
async def of_the_driver(url: str) -> AsyncIterator[Take]:
    connection, listener = await asyncpg.connect(url), await asyncpg.connect(url)
    heard = asyncio.Event()
    await listener.add_listener(f"{NAME}free", lambda *said: heard.set())

    @asynccontextmanager
    async def take() -> AsyncIterator[None]:
        while True:
            heard.clear()
            had = await connection.fetchrow(
                f"UPDATE {NAME}seats SET taken = TRUE WHERE NOT taken RETURNING id"
            )
            if had is not None:
                break
            await heard.wait()
        yield
        await connection.execute(f"UPDATE {NAME}seats SET taken = FALSE")
        await connection.execute(f"NOTIFY {NAME}free")

    yield take
    await connection.close()
    await listener.close()


CLIENTS = {"tracker": of_a_tracker, "bare driver": of_the_driver}


async def hand_overs(takes: list[Take], times: int) -> list[float]:
    """How long each took, in seconds."""
    took: list[float] = []
    let_go = 0.0

    async def take_turns(take: Take) -> None:
        nonlocal let_go
        for _ in range(times):
            async with take():
                took.append(perf_counter() - let_go)
                await asyncio.sleep(HOLD)
                let_go = perf_counter()
            await asyncio.sleep(REST)

    await asyncio.gather(*map(take_turns, takes))
    return took[4:-2]  # not those before both are in line, or after one has left


async def main(url: str, rounds: int, times: int) -> None:
    admin = await asyncpg.connect(url)
    await admin.execute(f"CREATE TABLE {NAME}seats (id INT PRIMARY KEY, taken BOOLEAN)")
    await admin.execute(f"INSERT INTO {NAME}seats VALUES (1, FALSE)")
    took: dict[str, list[list[float]]] = {name: [] for name in CLIENTS}
    try:
        for _ in range(rounds):
            for name, client in CLIENTS.items():
                async with client(url) as one, client(url) as other:
                    took[name].append(await hand_overs([one, other], times))
    finally:
        for table in ("seats", "keys", "owners", "schema"):
            await admin.execute(f"DROP TABLE IF EXISTS {NAME}{table}")
        await admin.close()
    print(f"{'hand-over':16}{'p50, µs':>10}{'p99, µs':>10}{'of the driver':>16}")
    halves = {name: [median(each) for each in took[name]] for name in CLIENTS}
    for name in CLIENTS:
        late = median(quantiles(each, n=100)[-1] for each in took[name])
        ratio = median(a / b for a, b in zip(halves[name], halves["bare driver"], strict=True))
        print(f"{name:16}{1e6 * median(halves[name]):10.0f}{1e6 * late:10.0f}{ratio:15.2f}×")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=200)
    uvloop.run(main(**vars(parser.parse_args())))
