"""Waiting: woken through one connection a process; and without it, looks do."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from time import monotonic, sleep

import pytest
from redis import Redis

from sessiontracker import AsyncSessionTracker, Session
from sessiontracker.operations import Acquire, Address, Granted, Queued, Release, Released
from sessiontracker_redis._async.backend import AsyncRedisBackend
from sessiontracker_redis._sync.backend import RedisBackend
from sessiontracker_redis.options import Options

LONG = 3_600_000
PATIENCE = 30.0
TIMES = 25 if os.environ.get("SESSIONTRACKER_SOAK") else 2


class Counter(Session):
    count: int = 0


def subscribers(admin: Redis, prefix: str) -> int:
    return len(admin.pubsub_channels(f"{prefix}wake:*"))


async def until_subscribed(admin: Redis, prefix: str, count: int = 1) -> None:
    async with asyncio.timeout(PATIENCE):
        while subscribers(admin, prefix) != count:  # noqa: ASYNC110 (the server tells nobody)
            await asyncio.sleep(0.005)


@pytest.fixture
async def waiting(url: str, prefix: str) -> AsyncIterator[AsyncRedisBackend]:
    backend = AsyncRedisBackend(Options(where="b", url=url, prefix=prefix))
    await backend.open()
    yield backend
    await backend.close()


async def queue(backend: AsyncRedisBackend, address: Address, ticket: int) -> None:
    [outcome] = await backend.execute([Acquire(address, ticket, LONG, look_every=LONG)])
    assert isinstance(outcome, Queued)


async def test_who_lets_go_wakes_the_next(
    waiting: AsyncRedisBackend, admin: Redis, prefix: str, address: Address
) -> None:
    await waiting.execute([Acquire(address, 1, LONG)])
    assert subscribers(admin, prefix) == 0  # nobody waits yet
    for ticket in (2, 3):
        await queue(waiting, address, ticket)
    await until_subscribed(admin, prefix)
    for ticket in (2, 3):
        await waiting.wait(ticket, 0.05)  # to subscribe is a reason to look
    sleeping = asyncio.create_task(waiting.wait(2, PATIENCE))
    began = monotonic()
    assert await waiting.execute([Release(address, 1)]) == [Released()]
    await sleeping
    assert monotonic() - began < PATIENCE / 2
    [granted] = await waiting.execute([Acquire(address, 2, LONG)])
    assert isinstance(granted, Granted)
    with pytest.raises(TimeoutError):  # the other sleeps on
        async with asyncio.timeout(0.2):
            await waiting.wait(3, PATIENCE)


async def test_a_lost_subscription_is_made_anew_and_everybody_looks(
    waiting: AsyncRedisBackend, admin: Redis, prefix: str, address: Address
) -> None:
    await waiting.execute([Acquire(address, 1, LONG)])
    await queue(waiting, address, 2)
    await until_subscribed(admin, prefix)
    await waiting.wait(2, 0.05)
    sleeping = asyncio.create_task(waiting.wait(2, PATIENCE))
    began = monotonic()
    admin.client_kill_filter(_type="pubsub")
    await waiting.execute([Release(address, 1)])  # nobody hears it
    await sleeping
    assert monotonic() - began < PATIENCE / 2
    assert subscribers(admin, prefix) == 1


async def test_waiting_uses_one_connection_for_all(
    waiting: AsyncRedisBackend, admin: Redis, prefix: str, address: Address
) -> None:
    before = admin.info("stats")["total_connections_received"]
    await waiting.execute([Acquire(address, 1, LONG)])
    for ticket in range(2, 50):
        await queue(waiting, address, ticket)
    await until_subscribed(admin, prefix)
    assert admin.info("stats")["total_connections_received"] == before + 1
    sleeping = [asyncio.create_task(waiting.wait(ticket, 0.2)) for ticket in range(2, 50)]
    await asyncio.sleep(0)
    admin.config_resetstat()
    await asyncio.gather(*sleeping)
    assert "cmdstat_evalsha" not in admin.info("commandstats")


async def test_a_closed_backend_leaves_no_subscriber(
    url: str, admin: Redis, prefix: str, address: Address
) -> None:
    backend = AsyncRedisBackend(Options(where="b", url=url, prefix=prefix))
    await backend.open()
    await backend.execute([Acquire(address, 1, LONG)])
    await queue(backend, address, 2)
    await until_subscribed(admin, prefix)
    await backend.close()
    await until_subscribed(admin, prefix, 0)


async def test_threads_that_begin_to_wait_at_once_share_a_subscriber(
    url: str,
    admin: Redis,
    prefix: str,
    address: Address,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def slowly(thread: threading.Thread) -> None:
        if thread.name == "sessiontracker redis":
            sleep(0.05)  # so that others look meanwhile whether it runs
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", slowly)
    backend = RedisBackend(Options(where="b", url=url, prefix=prefix))
    backend.open()
    backend.execute([Acquire(address, 1, LONG)])
    barrier = threading.Barrier(8)

    def begin(ticket: int) -> None:
        barrier.wait()
        backend.execute([Acquire(address, ticket, LONG, look_every=LONG)])

    threads = [threading.Thread(target=begin, args=[ticket]) for ticket in range(2, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    await until_subscribed(admin, prefix)
    channel = admin.pubsub_channels(f"{prefix}wake:*")[0]
    assert admin.pubsub_numsub(channel) == [(channel, 1)]
    backend.close()
    await until_subscribed(admin, prefix, 0)


_COUNT = """
import asyncio, sys
from sessiontracker import AsyncSessionTracker, Session
from sessiontracker.backend import AsyncWakes

class Counter(Session):
    count: int = 0

async def main(url, prefix, times):
    async with AsyncSessionTracker(backend="redis", url=url, prefix=prefix) as tracker:
        async def work():
            for _ in range(times):
                async with tracker.get_locked(Counter, "one", wait="120s") as counter:
                    counter.count += 1
        await asyncio.gather(*(work() for _ in range(2)))

AsyncWakes.wake = lambda self, ticket: None
url, prefix, times = sys.argv[1:]
asyncio.run(main(url, prefix, int(times)))
"""


@pytest.mark.parametrize("topology", ["single", "cluster"])
async def test_looks_do_where_every_wake_up_is_lost(
    request: pytest.FixtureRequest, prefix: str, topology: str
) -> None:
    """Four processes of two waiters each."""
    if topology == "single":
        url = request.getfixturevalue("url")
    else:
        url = request.getfixturevalue("cluster_of")("valkey").url
    async with AsyncSessionTracker(backend="redis", url=url, prefix=prefix) as tracker:
        await tracker.start(Counter(key="one"))
        command = [sys.executable, "-c", _COUNT, url, prefix, str(TIMES)]
        processes = [await asyncio.create_subprocess_exec(*command) for _ in range(4)]
        assert [await process.wait() for process in processes] == [0] * 4
        assert (await tracker.get(Counter, "one")).count == 4 * 2 * TIMES
