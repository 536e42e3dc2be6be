"""An application's client whose pool others have taken: our connections are made all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.asyncio

from redis_servers import Server, until
from round_of_calls import async_round_of_calls, round_of_calls
from sessiontracker import AsyncSessionTracker, SessionTracker

# One has errors for those who find nothing in it, and the other has them wait, here for ever.
POOLS = [
    (redis.ConnectionPool, redis.asyncio.ConnectionPool, {}),
    (redis.BlockingConnectionPool, redis.asyncio.BlockingConnectionPool, {"timeout": None}),
]


def connections(server: Server) -> set[int]:
    """The numbers of all, but for the one that asks."""
    with server.client() as admin:
        own = admin.client_id()
        return {int(each["id"]) for each in admin.client_list()} - {own}


def end(server: Server, numbers: set[int]) -> None:
    for number in numbers:
        server.ask("CLIENT", "KILL", "ID", number)


@pytest.mark.parametrize(("kind", "_", "options"), POOLS, ids=["errors", "waits"])
def test_threads_need_none_of_a_pool_that_is_exhausted(
    server_of: Callable[..., Server], kind: Any, _: Any, options: Any
) -> None:
    server = server_of()
    pool = kind.from_url(server.url, max_connections=1, **options)
    client = redis.Redis(connection_pool=pool)
    taken = pool.get_connection()
    before = connections(server)
    with SessionTracker(backend="redis", client=client) as tracker:
        round_of_calls(tracker)
        end(server, connections(server) - before)
        round_of_calls(tracker)
    until(lambda: connections(server) == before, "connections that are closed")
    pool.release(taken)
    assert client.ping()
    client.close()
    pool.disconnect()


@pytest.mark.parametrize(("_", "kind", "options"), POOLS, ids=["errors", "waits"])
async def test_tasks_need_none_of_a_pool_that_is_exhausted(
    server_of: Callable[..., Server], _: Any, kind: Any, options: Any
) -> None:
    server = server_of()
    pool = kind.from_url(server.url, max_connections=1, **options)
    client = redis.asyncio.Redis(connection_pool=pool)
    taken = await pool.get_connection()
    before = connections(server)
    async with AsyncSessionTracker(backend="redis", client=client) as tracker:
        await async_round_of_calls(tracker)
        end(server, connections(server) - before)
        await async_round_of_calls(tracker)
    until(lambda: connections(server) == before, "connections that are closed")
    await pool.release(taken)
    assert await client.ping()
    await client.aclose()
    await pool.disconnect()
