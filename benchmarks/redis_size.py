"""Redis: what a session weighs there, against the same payload as a plain string.

    python -m benchmarks.redis_size redis://localhost:6379 [--sessions 16000]

Both have a timeout, and keys that are as long as each other. The weight is what the server's
memory grew by, without its clients' buffers; each comes first once and second once, since the
server's tables grow by leaps. It should have nothing else to do:
``python scripts/with_redis.py valkey single python -m benchmarks.redis_size {url}``.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from sessiontracker import AsyncSessionTracker, Session
from sessiontracker.operations import Found, Read

PAYLOAD = 300  # bytes
AT_ONCE = 200


class Login(Session):
    note: str = ""


async def memory(redis: Redis) -> int:
    info = await redis.info("memory")
    used: int = info["used_memory"] - info["mem_clients_normal"]
    return used


async def each(sessions: int, do: Callable[[int], Awaitable[object]]) -> None:
    for part in range(0, sessions, AT_ONCE):
        await asyncio.gather(*(do(number) for number in range(part, part + AT_ONCE)))


async def names(redis: Redis, prefix: str) -> list[bytes]:
    return [name async for name in redis.scan_iter(f"{prefix}*", count=1000)]


async def measure(url: str, prefix: str, sessions: int) -> None:
    redis = Redis.from_url(url, max_connections=AT_ONCE)
    async with AsyncSessionTracker(backend="redis", url=url, prefix=prefix) as tracker:

        async def start(number: int, note: str) -> None:
            session = Login(key=f"{number:08d}", note=note)
            await tracker.start(session, idle_timeout="1h")

        await start(0, "")
        store = await tracker._store(Login)
        found = await store.storage.ask(Read(store.binding.address("00000000", None, None)))
        assert isinstance(found, Found)
        note = "x" * (PAYLOAD - len(found.payload) - 2)  # whose length then takes three bytes
        (name,) = await names(redis, prefix)
        plain = name.replace(b"login", b"plain")
        await redis.delete(name)

        async def set_plain(number: int) -> None:
            await redis.set(plain.replace(b"00000000", b"%08d" % number), b"x" * PAYLOAD, ex=3600)

        async def set_session(number: int) -> None:
            await start(number, note)

        ways = {"session": set_session, "plain": set_plain}
        weights = dict.fromkeys(ways, 0)
        for order in (list(ways), list(reversed(ways))):
            for way in order:
                before = await memory(redis)
                await each(sessions, ways[way])
                weights[way] += await memory(redis) - before
            there = await names(redis, prefix)
            assert len(there) == 2 * sessions
            await redis.delete(*there)
    own, other = (weight / 2 / sessions for weight in weights.values())
    print(
        f"{PAYLOAD} bytes weigh {own:.0f} bytes as a session, {other:.0f} as a plain string: "
        f"{own / other:.2f}×"
    )
    await redis.aclose()


def run(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--sessions", type=int, default=16_000)
    chosen = parser.parse_args(arguments)
    asyncio.run(measure(chosen.url, f"benchmark-{secrets.token_hex(4)}:", chosen.sessions))


if __name__ == "__main__":
    run()
