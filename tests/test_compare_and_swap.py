"""A store that loads and conditionally stores blobs keeps every promise, whatever it loses."""

from __future__ import annotations

import asyncio

import pytest

from sessiontracker._async.asking import AsyncAsker
from sessiontracker.operations import (
    Acquire,
    Address,
    Found,
    Granted,
    Hold,
    Missing,
    Page,
    Queued,
    Read,
    Reap,
    Reaped,
    Saved,
    Scan,
    Stale,
    Start,
    Unknown,
    Write,
)
from tests.clock import Clock
from tests.lossy_store import LossyStore, Server
from tests.swapping import HERE, Scripted, Threads, ask, stamp_of
from tests.walks import Model, Walker, items


@pytest.fixture
def server(clock: Clock) -> Server:
    return Server(clock)


# It answers as the machine does --------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
async def test_every_answer_is_the_machines(seed: int, clock: Clock, server: Server) -> None:
    backend, model, walker = LossyStore(server), Model(clock), Walker(seed, clock)
    for _ in range(60):
        batch = walker.batch()
        outcomes = await backend.execute(batch)
        for operation, outcome in zip(batch, outcomes, strict=True):
            assert outcome == model.ask(operation), operation
            walker.note(outcome, operation)
        for type in ("checkout", "login"):
            scan = Scan(type, finished=seed % 2 == 1)
            assert items(await ask(backend, scan)) == model.page(scan)
        if walker.random.random() < 0.1:
            await ask(backend, Reap())


@pytest.mark.parametrize("seed", range(5))
def test_every_answer_is_the_machines_for_threads(seed: int, clock: Clock, server: Server) -> None:
    backend, model, walker = Threads(server), Model(clock), Walker(seed, clock)
    for _ in range(60):
        batch = walker.batch()
        outcomes = backend.execute(batch)
        for operation, outcome in zip(batch, outcomes, strict=True):
            assert outcome == model.ask(operation), operation
            walker.note(outcome, operation)


async def test_a_batch_takes_one_load_and_one_store_a_slot(server: Server) -> None:
    backend = Scripted(server)
    saved, found, missing = await backend.execute(
        [Start(HERE, 1, b"0"), Read(HERE), Read(HERE, finished=True)]
    )
    assert stamp_of(saved) == stamp_of(found)
    assert missing != Missing()
    assert (backend.loads, backend.stores) == (1, 1)
    await ask(backend, Read(HERE))
    assert (backend.loads, backend.stores) == (2, 1)


async def test_an_emptied_slot_is_deleted(server: Server, clock: Clock) -> None:
    backend = LossyStore(server)
    await ask(backend, Start(HERE, 1, b"0", idle=1_000))
    clock.now += 100_000_000
    assert await ask(backend, Reap()) == Reaped(1)
    assert not server.blobs


# Nothing is lost nor doubled --------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_increments_are_never_lost_nor_doubled(seed: int) -> None:
    """Each writer adds its own mark, and knows for sure whether it is there."""
    server = Server()
    clients = [
        AsyncAsker(f"lossy{n}", LossyStore(server, loss=0.15, seed=seed * 10 + n), 20.0)
        for n in range(3)
    ]
    assert isinstance(await clients[0].ask(Start(HERE, 1, b"")), (Saved, Unknown))
    uncertain = 0

    async def add(client: AsyncAsker, number: int) -> None:
        nonlocal uncertain
        mark = b"%d;" % number
        for attempt in range(1_000):
            found = await client.ask(Read(HERE))
            assert isinstance(found, Found)
            if mark in found.payload:
                return
            id = number * 1_000 + attempt
            outcome = await client.ask(Write(HERE, id, found.meta.stamp, found.payload + mark))
            if isinstance(outcome, Saved):
                return
            # Unknown: others wrote since, and only looking tells; it cannot come any more.
            assert isinstance(outcome, (Stale, Unknown)), outcome
            uncertain += isinstance(outcome, Unknown)
            await asyncio.sleep(0.001)
        raise AssertionError("starved")

    numbers = range(1_000, 1_090)
    await asyncio.gather(*(add(clients[number % 3], number) for number in numbers))
    found = await clients[0].ask(Read(HERE))
    assert isinstance(found, Found)
    assert sorted(found.payload.split(b";")[:-1]) == [b"%d" % number for number in numbers]
    assert found.meta.version == 1 + len(numbers)
    assert uncertain, "the store is not lossy enough"
    for client in clients:
        await client.close()


@pytest.mark.parametrize("seed", range(3))
async def test_locks_are_exclusive_and_every_increment_under_them_counts(seed: int) -> None:
    server = Server()
    clients = [
        AsyncAsker(f"lossy{n}", LossyStore(server, loss=0.1, seed=seed * 10 + n), 20.0)
        for n in range(2)
    ]
    await clients[0].ask(Start(HERE, 1, b"0"))
    inside: list[int] = []
    tokens: list[int] = []

    async def increment(client: AsyncAsker, ticket: int) -> None:
        while True:
            outcome = await client.ask(Acquire(HERE, ticket, 60_000, look_every=1_000, read=True))
            if isinstance(outcome, Granted):
                break
            assert isinstance(outcome, Queued), outcome
            await client.backend.wait(ticket, outcome.look_in / 1000)
        assert not inside
        inside.append(ticket)
        tokens.append(outcome.token)
        await asyncio.sleep(0.001)
        found = outcome.found
        assert found is not None
        inside.remove(ticket)
        write = Write(
            HERE,
            ticket * 1_000,
            found.meta.stamp,
            b"%d" % (int(found.payload) + 1),
            lock=Hold(ticket, outcome.token),
            release=True,
        )
        # Saved; or Unknown, if others built upon it before its repeat came.
        assert isinstance(await client.ask(write), (Saved, Unknown))

    await asyncio.gather(*(increment(clients[n % 2], n) for n in range(10, 50)))
    found = await clients[0].ask(Read(HERE))
    assert isinstance(found, Found)
    assert found.payload == b"40"
    assert tokens == sorted(tokens)
    for client in clients:
        await client.close()


# The store as a whole ----------------------------------------------------------------------------


async def test_scan_goes_page_by_page_over_one_type_alone(server: Server) -> None:
    backend = LossyStore(server)
    addresses = {Address("checkout", "", f"k{n}") for n in range(25)}
    await backend.execute([Start(each, n + 1, b"") for n, each in enumerate(sorted(addresses))])
    # The same beginning of a name, and one whose name sorts close by.
    await backend.execute([Start(Address(t, "", "k"), 90, b"") for t in ("Checkout", "checkout_b")])
    seen: list[Address] = []
    cursor, pages = "", 0
    while True:
        page = await ask(backend, Scan("checkout", cursor=cursor, limit=10))
        assert isinstance(page, Page)
        seen += [item.address for item in page.items]
        cursor, pages = page.cursor, pages + 1
        if not cursor:
            break
    assert pages >= 3
    assert len(seen) == len(set(seen))
    assert set(seen) == addresses


async def test_reap_removes_the_oldest_first_and_no_more_than_its_limit(
    server: Server, clock: Clock
) -> None:
    backend = LossyStore(server)
    for n in range(10):
        idle = 10_000 - n * 1_000
        await ask(backend, Start(Address("checkout", "", f"k{n}"), n + 1, b"", idle=idle))
    clock.now += 8_000_000
    assert await ask(backend, Reap(limit=3)) == Reaped(3)
    assert await ask(backend, Reap(limit=100)) == Reaped(5)
    assert await ask(backend, Reap()) == Reaped(0)
    page = await ask(backend, Scan("checkout"))
    assert isinstance(page, Page)
    assert {item.address.key for item in page.items} == {"k0", "k1"}
