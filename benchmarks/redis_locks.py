"""Redis: a locked cycle against redis-py's ``Lock`` with GET and SET.

    python -m benchmarks.redis_locks redis://localhost:6379 [--rounds 7] [--calls 2000]

The cycle locks, reads, changes, saves and unlocks: ``get_locked`` with a change in its body. The
ratio is the median over interleaved rounds, alone and on 64 keys at once: how many times as
many cycles a second. Then 32 waiters on one key, each holding it for 2 ms: the longest wait,
and Jain's index of how fairly turns were taken.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter

import uvloop
from redis.asyncio import Redis

from sessiontracker import AsyncSessionTracker, Session

KEYS = 64
WAITERS = 32
HOLD = 0.002


class Cart(Session):
    count: int = 0
    note: str = "x" * 280


async def cost(cycle: Callable[[int], Awaitable[None]], at_once: int, calls: int) -> float:
    """Seconds a cycle."""

    async def one(number: int) -> None:
        for _ in range(calls // at_once):
            await cycle(number)

    began = perf_counter()
    await asyncio.gather(*(one(number) for number in range(at_once)))
    return (perf_counter() - began) / (calls // at_once * at_once)


async def crowd(hold: Callable[[], Awaitable[None]], seconds: float) -> tuple[float, float]:
    """The longest wait, in seconds, and Jain's index of the turns."""
    end = perf_counter() + seconds
    turns = [0] * WAITERS
    longest = 0.0

    async def one(number: int) -> None:
        nonlocal longest
        while perf_counter() < end:
            began = perf_counter()
            await hold()
            longest = max(longest, perf_counter() - began - HOLD)
            turns[number] += 1

    await asyncio.gather(*(one(number) for number in range(WAITERS)))
    return longest, sum(turns) ** 2 / (WAITERS * sum(turn * turn for turn in turns))


async def measure(url: str, prefix: str, rounds: int, calls: int) -> None:
    redis = Redis.from_url(url, max_connections=300)
    async with AsyncSessionTracker(backend="redis", url=url, prefix=prefix) as tracker:
        for number in range(KEYS):
            await tracker.start(Cart(key=str(number)))
            await redis.set(f"{prefix}plain{number}", b"x" * 300)

        async def ours(number: int) -> None:
            async with tracker.get_locked(Cart, str(number)) as cart:
                cart.count += 1

        async def theirs(number: int) -> None:
            async with redis.lock(f"{prefix}lock{number}", timeout=30):
                text = await redis.get(f"{prefix}plain{number}")
                await redis.set(f"{prefix}plain{number}", text)

        for at_once in (1, 64):
            pairs = [
                (await cost(ours, at_once, calls), await cost(theirs, at_once, calls))
                for _ in range(rounds)
            ]
            own, other = (median(pair[side] for pair in pairs) for side in (0, 1))
            ratio = median(pair[1] / pair[0] for pair in pairs)
            print(
                f"{at_once:3} at once: get_locked {own * 1e6:6.0f} µs, redis-py's Lock + GET + SET "
                f"{other * 1e6:6.0f} µs: {ratio:.1f}× as fast"
            )

        async def ours_held() -> None:
            async with tracker.lock(Cart, "crowd", wait="60s"):
                await asyncio.sleep(HOLD)

        async def theirs_held() -> None:
            async with redis.lock(f"{prefix}crowd", timeout=30):
                await asyncio.sleep(HOLD)

        for name, hold in (("lock", ours_held), ("redis-py's Lock", theirs_held)):
            longest, jain = await crowd(hold, 5.0)
            wait = f"longest wait {longest * 1e3:7.1f} ms"
            print(f"{WAITERS} waiters: {name:16} {wait}, Jain {jain:.3f}")
    names = [name async for name in redis.scan_iter(f"{prefix}*", count=1000)]
    await redis.delete(*names)
    await redis.aclose()


def run(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=2_000)
    chosen = parser.parse_args(arguments)
    prefix = f"benchmark-{secrets.token_hex(4)}:"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(chosen.url, prefix, chosen.rounds, chosen.calls))


if __name__ == "__main__":
    run()
