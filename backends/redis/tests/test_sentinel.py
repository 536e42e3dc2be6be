"""Sentinels: they say who the primary is, also after it has gone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.sentinel import Sentinel

from redis_servers import Sentinels, until
from sessiontracker.backend import BackendError, BackendUnavailableError
from sessiontracker.operations import (
    Acquire,
    Address,
    Found,
    Granted,
    NoAnswer,
    Outcome,
    Page,
    Read,
    Saved,
    Scan,
    Start,
    Touch,
    Unavailable,
)
from sessiontracker_redis._sync.backend import RedisBackend

KINDS = ["valkey", *["redis"] * (shutil.which("redis-server") is not None)]
OpenBackend = Callable[..., RedisBackend]


def one(outcomes: list[Outcome]) -> Any:
    [outcome] = outcomes
    return outcome


def until_answered(backend: RedisBackend, operation: Any) -> Any:
    """As the tracker asks: again, while it is not known."""

    def answer() -> Outcome | None:
        outcome = one(backend.execute([operation]))
        return None if type(outcome) in (Unavailable, NoAnswer) else outcome

    return until(answer, f"an answer to {operation}")


@pytest.fixture(scope="module", params=KINDS)
def well(request: pytest.FixtureRequest) -> Iterator[Sentinels]:
    """Of each kind in turn; nothing happens to them."""
    servers = Sentinels(request.param).start()
    yield servers
    servers.stop()


@pytest.fixture
def sentinels() -> Iterator[Sentinels]:
    """One's own."""
    servers = Sentinels("valkey").start()
    yield servers
    servers.stop()


def test_the_primary_that_they_name(
    well: Sentinels, open_backend: OpenBackend, address: Address
) -> None:
    backend = open_backend(well.url)
    assert isinstance(one(backend.execute([Start(address, 1, b"x")])), Saved)
    assert well.primary.client().dbsize() > 0


def test_a_database_and_a_sentinel_that_is_not_there(
    well: Sentinels, open_backend: OpenBackend, address: Address
) -> None:
    url = well.url.replace("redis+sentinel://", "redis+sentinel://127.0.0.1:1,")
    backend = open_backend(f"{url}/3")
    assert isinstance(one(backend.execute([Start(address, 1, b"x")])), Saved)
    assert well.primary.client(db=3).dbsize() > 0


def test_a_service_that_they_do_not_know(well: Sentinels, open_backend: OpenBackend) -> None:
    with pytest.raises(BackendUnavailableError, match="nobody"):
        open_backend(well.url.replace("mymaster", "nobody"))


@pytest.mark.parametrize("how", ["killed", "hung", "told"])
def test_a_primary_that_fails(
    sentinels: Sentinels, open_backend: OpenBackend, address: Address, how: str
) -> None:
    backend = open_backend(sentinels.url, timeout="1s")
    backend.execute([Start(address, 1, b"x"), Acquire(address, 7, 600_000)])
    old = sentinels.primary
    until(lambda: one(backend.execute([Touch(address)])) and is_replicated(sentinels), "a replica")
    {"killed": old.kill, "hung": old.pause, "told": lambda: sentinels.fail_over()}[how]()
    until(lambda: sentinels.primary is not old, "a failover")
    assert isinstance(until_answered(backend, Touch(address)), Saved)
    assert isinstance(until_answered(backend, Acquire(address, 7, 600_000)), Granted)
    if how == "hung":  # it comes back, and nobody is asked there any more
        old.resume()
    for _ in range(20):
        assert isinstance(until_answered(backend, Touch(address)), Saved)
    assert isinstance(one(backend.execute([Read(address)])), Found)


def is_replicated(sentinels: Sentinels) -> bool:
    """Whether the replicas have all that the primary has."""
    said = sentinels.primary.client().info("replication")
    return bool(said["slave0"]["offset"] == said["master_repl_offset"])


def test_a_primary_that_became_a_replica_under_us(
    sentinels: Sentinels, open_backend: OpenBackend, address: Address
) -> None:
    backend = open_backend(sentinels.url)
    backend.execute([Start(address, 1, b"x")])
    old, other = sentinels.primary, next(s for s in sentinels.servers if s is not sentinels.primary)
    sentinels.hush()
    old.ask("REPLICAOF", "127.0.0.1", other.port)
    outcome = one(backend.execute([Touch(address)]))
    assert isinstance(outcome, Unavailable)
    assert "replica" in outcome.reason
    old.ask("REPLICAOF", "NO", "ONE")
    assert isinstance(until_answered(backend, Touch(address)), Saved)


def test_a_scan_goes_on_after_a_failover(sentinels: Sentinels, open_backend: OpenBackend) -> None:
    backend = open_backend(sentinels.url, timeout="1s")
    places = [Address("scanned", "", f"k{number}") for number in range(100)]
    backend.execute([Start(each, 1, b"x") for each in places])
    until(lambda: is_replicated(sentinels), "a replica")
    page: Page = one(backend.execute([Scan("scanned", limit=20)]))
    found = {item.address for item in page.items}
    old = sentinels.primary
    old.kill()
    until(lambda: sentinels.primary is not old, "a failover")
    while page.cursor:
        page = until_answered(backend, Scan("scanned", cursor=page.cursor, limit=20))
        found |= {item.address for item in page.items}
    assert found == set(places)


@pytest.fixture
def guarded() -> Iterator[Sentinels]:
    """Sentinels that want a password."""
    servers = Sentinels("valkey", password="watch").start()
    yield servers
    servers.stop()


def test_sentinels_that_want_a_password(
    guarded: Sentinels, open_backend: OpenBackend, address: Address
) -> None:
    with pytest.raises(BackendError, match="sentinel_password"):
        open_backend(guarded.url)
    with pytest.raises(BackendError, match="sentinel_password"):
        open_backend(guarded.url, sentinel_password="guess")
    backend = open_backend(guarded.url, sentinel_password="watch")
    assert isinstance(one(backend.execute([Start(address, 1, b"x")])), Saved)


def test_a_client_that_sentinels_made(
    sentinels: Sentinels, open_backend: OpenBackend, address: Address
) -> None:
    known = Sentinel([("127.0.0.1", server.port) for server in sentinels.sentinels])
    with known.master_for("mymaster") as client:
        backend = open_backend(None, client=client)
        assert isinstance(one(backend.execute([Start(address, 1, b"x")])), Saved)
        old = sentinels.primary
        old.kill()
        until(lambda: sentinels.primary is not old, "a failover")
        assert isinstance(until_answered(backend, Start(address, 1, b"x", since=1)), Saved)
        backend.close()
        assert client.ping()
    known.close()


async def test_none_is_forgotten_that_did_not_answer(sentinels: Sentinels, open_async: Any) -> None:
    """Also where several connections are made at once."""
    backend = await open_async(sentinels.url)
    known = backend._pools._sentinel
    before = set(known.sentinels)
    known.sentinels[0].connection_pool.connection_kwargs["port"] = 1
    await known.sentinels[0].connection_pool.disconnect()
    await asyncio.gather(*(known.discover_master(sentinels.name) for _ in range(4)))
    assert set(known.sentinels) == before


async def test_sentinels_async(well: Sentinels, open_async: Any, address: Address) -> None:
    backend = await open_async(well.url)
    assert isinstance(one(await backend.execute([Start(address, 1, b"x")])), Saved)
    known = AsyncSentinel([("127.0.0.1", server.port) for server in well.sentinels])
    async with known.master_for("mymaster") as client:
        other = await open_async(None, client=client)
        assert isinstance(one(await other.execute([Read(address)])), Found)
        await other.close()
        assert await client.ping()
    await known.aclose()
