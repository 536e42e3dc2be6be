"""Redis: a typed, sliding ``get`` against redis-py's bare GET through its default pool.

    python -m benchmarks.redis_get redis://localhost:6379 [--rounds 7] [--calls 20000]

The ratio is the median over interleaved rounds, at 1, 64 and 256 at once: how many times as
many ``await tracker.get(...)`` a second as ``await redis.get(...)`` of the same payload. Alone,
it is compared with redis-py's EVALSHA of the same script as well. Client CPU is this process's
own, an operation. Everything is under a prefix of its own, and removed at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter, process_time

import uvloop
from redis.asyncio import Redis

from sessiontracker import AsyncSessionTracker, Session
from sessiontracker.operations import Read
from sessiontracker_redis.packing import Packer

KEYS = 64


class Login(Session):
    user: str = "ada"
    note: str = "x" * 280


async def rate(call: Callable[[int], Awaitable[object]], at_once: int, calls: int) -> list[float]:
    """Seconds and seconds of CPU an operation."""

    async def one(number: int) -> None:
        for _ in range(calls // at_once):
            await call(number % KEYS)

    began, cpu = perf_counter(), process_time()
    await asyncio.gather(*(one(number) for number in range(at_once)))
    done = calls // at_once * at_once
    return [(perf_counter() - began) / done, (process_time() - cpu) / done]


async def measure(url: str, prefix: str, rounds: int, calls: int) -> None:
    redis = Redis.from_url(url, max_connections=300)
    options = {"backend": "redis", "url": url, "prefix": prefix}
    async with AsyncSessionTracker(**options) as tracker:
        for number in range(KEYS):
            await tracker.start(Login(key=str(number)), idle_timeout="1h")
            await redis.set(f"{prefix}plain{number}", b"x" * 300, ex=3600)
        store = await tracker._store(Login)
        packer = Packer(prefix, "", None)
        commands = [
            packer.evalsha(Read(store.binding.address(str(number), None, None), slide=True))
            for number in range(KEYS)
        ]
        ways: dict[str, Callable[[int], Awaitable[object]]] = {
            "tracker.get": lambda number: tracker.get(Login, str(number)),
            "GET": lambda number: redis.get(f"{prefix}plain{number}"),
            "EVALSHA": lambda number: redis.execute_command(*commands[number]),
        }
        for at_once in (1, 64, 256):
            costs: dict[str, list[list[float]]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, call in ways.items():
                    costs[name].append(
                        await rate(call, at_once, calls if at_once > 1 else calls // 8)
                    )
            for name in ways:
                time = median(cost[0] for cost in costs[name])
                cpu = median(cost[1] for cost in costs[name])
                pairs = list(zip(costs[name], costs["tracker.get"], strict=True))
                speed = median(other[0] / own[0] for other, own in pairs)
                share = median(own[1] / other[1] for other, own in pairs)
                print(
                    f"{at_once:4} at once  {name:12} {time * 1e6:7.1f} µs, CPU {cpu * 1e6:6.1f} µs"
                    f"   tracker.get: {speed:5.2f}× as fast, {share:4.2f}× of its CPU"
                )
    names = [name async for name in redis.scan_iter(f"{prefix}*", count=1000)]
    await redis.delete(*names)
    await redis.aclose()


def run(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=20_000)
    chosen = parser.parse_args(arguments)
    prefix = f"benchmark-{secrets.token_hex(4)}:"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(chosen.url, prefix, chosen.rounds, chosen.calls))


if __name__ == "__main__":
    run()
