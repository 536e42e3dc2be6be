"""Redis: how long a lock takes from one process to another.

    python -m benchmarks.redis_handover redis://localhost:6379 [--rounds 6] [--seconds 2]

Two processes take turns with one lock, each holding it for 2 ms while the other waits: from
before one lets go until the other is inside its block. Against it, two processes that take
turns by redis-py alone: from before a PUBLISH until whoever subscribes has heard it and has had
one EVALSHA of the same script answered. Rounds of both are interleaved.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import secrets
from collections.abc import Callable, Coroutine
from itertools import pairwise
from multiprocessing.connection import Connection
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import uvloop
from redis.asyncio import Redis

from sessiontracker import AsyncSessionTracker, Session
from sessiontracker.operations import Acquire, Address
from sessiontracker_redis.packing import Packer

HOLD = 0.002


class Cart(Session):
    count: int = 0


Turns = list[tuple[float, float]]
"""When each turn began and ended, by the clock that all processes share."""


async def by_lock(url: str, prefix: str, number: int, seconds: float) -> Turns:
    turns: Turns = []
    async with AsyncSessionTracker(backend="redis", url=url, prefix=prefix) as tracker:
        end = perf_counter() + seconds
        while perf_counter() < end:
            async with tracker.lock(Cart, "cart", wait="10s"):
                began = perf_counter()
                await asyncio.sleep(HOLD)
                turns.append((began, perf_counter()))
    return turns


async def by_publish(url: str, prefix: str, number: int, seconds: float) -> Turns:
    turns: Turns = []
    redis = Redis.from_url(url)
    packer = Packer(prefix, "", None)
    look = packer.evalsha(Acquire(Address("cart", "", f"kown{number}"), 1, 30_000))
    own, other = (f"{prefix}turn{each}" for each in (number, 1 - number))
    async with redis.pubsub() as hints:
        await hints.subscribe(own)
        await hints.get_message(timeout=5)  # subscribed
        end = perf_counter() + seconds
        if number == 0:
            while await redis.publish(own, "") == 0:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)
        while perf_counter() < end:
            if await hints.get_message(ignore_subscribe_messages=True, timeout=0.2) is None:
                continue
            await redis.execute_command(*look)
            began = perf_counter()
            await asyncio.sleep(HOLD)
            turns.append((began, perf_counter()))
            await redis.publish(other, "")
    await redis.aclose()
    return turns


WAYS: dict[str, Callable[[str, str, int, float], Coroutine[Any, Any, Turns]]] = {
    "lock": by_lock,
    "PUBLISH + EVALSHA": by_publish,
}


def work(pipe: Connection, url: str, prefix: str, number: int) -> None:
    """Take part in round after round, as the pipe says."""
    while (asked := pipe.recv()) is not None:
        way, seconds = asked
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            pipe.send(runner.run(WAYS[way](url, prefix, number, seconds)))


def handovers(both: list[Turns]) -> list[float]:
    """From the end of each turn to the beginning of the next, if it is the other's."""
    turns = sorted((*turn, number) for number, part in enumerate(both) for turn in part)
    return [after[0] - before[1] for before, after in pairwise(turns) if before[2] != after[2]]


def measure(url: str, prefix: str, rounds: int, seconds: float) -> None:
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    for number in range(2):
        here, there = context.Pipe()
        context.Process(target=work, args=(there, url, prefix, number), daemon=True).start()
        pipes.append(here)
    took: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for way in [*WAYS] * rounds:
        for pipe in pipes:
            pipe.send((way, seconds))
        took[way].append(handovers([pipe.recv() for pipe in pipes]))
    for pipe in pipes:
        pipe.send(None)
    for way, parts in took.items():
        cuts = quantiles([each for part in parts for each in part], n=100)
        count = sum(map(len, parts))
        print(
            f"{way:18} p50 {cuts[49] * 1e6:5.0f} µs, p99 {cuts[98] * 1e6:6.0f} µs ({count} times)"
        )
    pairs = zip(*took.values(), strict=True)
    ratio = median(median(lock) / median(publish) for lock, publish in pairs)
    print(f"lock: {ratio:.2f}× of PUBLISH + EVALSHA at p50, the median of {rounds} rounds")


async def tidy(url: str, prefix: str) -> None:
    async with Redis.from_url(url) as redis:
        names = [name async for name in redis.scan_iter(f"{prefix}*", count=1000)]
        await redis.delete(*names)


def run(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2.0)
    chosen = parser.parse_args(arguments)
    prefix = f"benchmark-{secrets.token_hex(4)}:"
    try:
        measure(chosen.url, prefix, chosen.rounds, chosen.seconds)
    finally:
        asyncio.run(tidy(chosen.url, prefix))


if __name__ == "__main__":
    run()
