"""A cluster: whoever has a slot is asked, also while slots move and primaries change."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import Any

import pytest
from redis import Redis, RedisCluster
from redis.asyncio import RedisCluster as AsyncRedisCluster

from redis_servers import Cluster, Server, until
from sessiontracker import AsyncSessionTracker, Session
from sessiontracker._async.batching import AsyncBatcher
from sessiontracker.backend import BackendUnavailableError
from sessiontracker.operations import (
    Acquire,
    Address,
    Failed,
    Finish,
    Found,
    Granted,
    NoAnswer,
    Outcome,
    Page,
    Ping,
    Pong,
    Queued,
    Read,
    Release,
    Saved,
    Scan,
    Start,
    Touch,
    Unavailable,
)
from sessiontracker_redis import scanning
from sessiontracker_redis._async.node import AsyncNode
from sessiontracker_redis._sync import stores
from sessiontracker_redis._sync.backend import RedisBackend
from sessiontracker_redis.keys import tag_of
from sessiontracker_redis.slots import slot_of

OpenBackend = Callable[..., RedisBackend]
HOUR = 3_600_000
PATIENCE = 30.0


class Tally(Session):
    count: int = 0


def addresses(count: int, kind: str = "checkout") -> list[Address]:
    return [Address(kind, "", f"k{number}") for number in range(count)]


def slot(address: Address) -> int:
    return slot_of(tag_of(address))


def of_server(cluster: Cluster, server: Server) -> Iterator[Address]:
    """Addresses whose slots ``server`` has."""
    owners = {number: cluster.owner(number) for number in range(0, 16384, 256)}
    for number in itertools.count():
        address = Address("checkout", "", f"k{number}")
        if owners[slot(address) // 256 * 256] is server and cluster.owner(slot(address)) is server:
            yield address


def one(outcomes: list[Outcome]) -> Any:
    [outcome] = outcomes
    return outcome


def until_answered(backend: RedisBackend, operation: Any) -> Outcome:
    """As the tracker asks: again, while nothing was done."""

    def answer() -> Outcome | None:
        outcome = one(backend.execute([operation]))
        return None if type(outcome) is Unavailable else outcome

    found: Outcome = until(answer, f"an answer to {operation}")
    return found


def asked_for_slots(servers: Iterable[Server]) -> int:
    """How often anybody has asked them who has which slots."""
    calls = 0
    for server in servers:
        with server.client() as client:
            calls += client.info("commandstats").get("cmdstat_cluster|slots", {}).get("calls", 0)
    return calls


# Finding it ------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["all", "plain", "replica", "one"])
def test_any_node_leads_to_all(
    cluster: Cluster, open_backend: OpenBackend, mode: str, prefix: str
) -> None:
    url = {
        "all": cluster.url,
        "plain": cluster.primaries[1].url,
        "replica": cluster.replicas[0].url,
        "one": f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.primaries[2].port}/0",
    }[mode]
    backend = open_backend(url)
    places = addresses(50)
    outcomes = backend.execute([Start(each, 1, b"x", idle=60_000) for each in places])
    assert [type(outcome) for outcome in outcomes] == [Saved] * 50
    assert len(backend._topology.primaries()) == 3
    for server in cluster.owners():
        with server.client() as client:
            assert list(client.scan_iter(f"{prefix}*", count=1000))


def test_a_client_of_the_cluster(cluster: Cluster, open_backend: OpenBackend) -> None:
    with RedisCluster.from_url(cluster.primaries[0].url) as client:
        backend = open_backend(None, client=client)
        outcomes = backend.execute([Start(each, 1, b"x", idle=60_000) for each in addresses(20)])
        assert [type(outcome) for outcome in outcomes] == [Saved] * 20
        backend.close()
        assert client.ping()


def test_a_client_of_one_node(cluster: Cluster, open_backend: OpenBackend) -> None:
    with Redis.from_url(cluster.primaries[0].url) as client:
        backend = open_backend(None, client=client)
        outcomes = backend.execute([Start(each, 1, b"x", idle=60_000) for each in addresses(20)])
        assert [type(outcome) for outcome in outcomes] == [Saved] * 20
        backend.close()
        assert client.ping()


async def test_a_client_of_the_cluster_async(cluster: Cluster, open_async: Any) -> None:
    async with AsyncRedisCluster.from_url(cluster.primaries[0].url) as client:
        backend = await open_async(None, client=client)
        asked = [Start(each, 1, b"x", idle=60_000) for each in addresses(20)]
        assert [type(outcome) for outcome in await backend.execute(asked)] == [Saved] * 20
        await backend.close()
        assert await client.ping()


def test_a_cluster_that_is_not_there(open_backend: OpenBackend) -> None:
    with pytest.raises(BackendUnavailableError, match=r"^backends.hot: "):
        open_backend("redis+cluster://127.0.0.1:1,127.0.0.1:2")


def test_a_server_that_is_no_cluster(open_backend: OpenBackend, url: str) -> None:
    with pytest.raises(BackendUnavailableError, match="cluster support"):
        open_backend(url.replace("redis://", "redis+cluster://"))


# Asking it -------------------------------------------------------------------


def test_a_batch_is_answered_in_its_order(cluster: Cluster, open_backend: OpenBackend) -> None:
    backend = open_backend(cluster.url)
    places = addresses(200)
    backend.execute([Start(each, 1, each.key.encode(), idle=60_000) for each in places])
    outcomes: list[Any] = backend.execute([Read(each) for each in places])
    assert [outcome.payload for outcome in outcomes] == [each.key.encode() for each in places]


async def test_one_trip_a_node_for_many_keys(
    cluster: Cluster, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncSessionTracker(backend="redis", url=cluster.url, prefix=prefix) as tracker:
        for number in range(60):
            await tracker.start(Tally(key=f"{number}", count=number), idle_timeout="1m")
        asked: list[int] = []
        exchange = AsyncNode.exchange

        async def counted(node: AsyncNode, commands: Any, *more: Any, **others: Any) -> list[Any]:
            asked.append(len(commands))
            return await exchange(node, commands, *more, **others)

        monkeypatch.setattr(AsyncNode, "exchange", counted)
        found = await tracker.get_many(Tally, [f"{number}" for number in range(60)])
        assert sorted(each.count for each in found.values()) == list(range(60))
        assert len(asked) == 3


def test_an_operation_that_no_store_can_hold_disturbs_no_other(
    cluster: Cluster, open_backend: OpenBackend
) -> None:
    backend = open_backend(cluster.url)
    places = addresses(10)
    asked = [Start(each, 1, b"x", idle=60_000) for each in places]
    asked[4] = Start(places[4], 1, b"x", owner="\ud800", idle=60_000)
    kinds = [type(outcome) for outcome in backend.execute(asked)]
    assert kinds == [Saved] * 4 + [Failed] + [Saved] * 5


async def test_a_node_that_hangs_holds_up_no_other(cluster: Cluster, open_async: Any) -> None:
    backend = await open_async(cluster.url, timeout="20s")
    batcher = AsyncBatcher(backend)
    hung = cluster.owner(0)
    there = next(of_server(cluster, hung))
    others = [
        address
        for server in cluster.owners()
        if server is not hung
        for address in itertools.islice(of_server(cluster, server), 5)
    ]
    hung.pause()
    try:
        waiting = asyncio.ensure_future(batcher.ask(Start(there, 1, b"x", idle=60_000)))
        for _ in range(5):
            asked = [batcher.ask(Start(each, 1, b"x", idle=60_000)) for each in others]
            outcomes = await asyncio.wait_for(asyncio.gather(*asked), 10)
            assert {type(outcome) for outcome in outcomes} == {Saved}
        assert not waiting.done()
    finally:
        hung.resume()
    assert type(await waiting) is not Unavailable
    await batcher.close()
    cluster.until_well()


def test_whether_all_answer(cluster: Cluster, open_backend: OpenBackend) -> None:
    backend = open_backend(cluster.url, timeout="300ms")

    def all_answer() -> bool:
        return isinstance(one(backend.execute([Ping()])), Pong)

    until(all_answer, "all answer")
    hung = cluster.owner(0)
    hung.pause()
    try:
        assert not all_answer()
    finally:
        hung.resume()
    until(all_answer, "all answer again")
    cluster.until_well()


# Slots that move -------------------------------------------------------------


def test_a_slot_that_has_moved(cluster: Cluster, open_backend: OpenBackend) -> None:
    backend = open_backend(cluster.url)
    source, target = cluster.owner(0), cluster.owner(16383)
    moved = next(of_server(cluster, source))
    same = Address("other", "", moved.key)  # another key of the slot
    backend.execute([Start(moved, 1, b"x", idle=60_000), Acquire(moved, 7, HOUR)])
    cluster.migrate(slot(moved), source, target)
    try:
        before = asked_for_slots(cluster.servers)
        batch = [Read(moved), Release(moved, 7), Start(same, 2, b"y", idle=60_000), Read(same)]
        kinds = [type(outcome).__name__ for outcome in backend.execute(batch)]
        assert kinds == ["Found", "Released", "Saved", "Found"]
        for _ in range(50):
            backend.execute(batch)
        assert asked_for_slots(cluster.servers) - before <= 2
    finally:
        cluster.migrate(slot(moved), target, source)
    assert isinstance(one(backend.execute([Read(moved)])), Found)


def is_looking() -> bool:
    """Whether anybody asks who has which slots: while he does, no other begins."""
    return any(thread.name == "sessiontracker redis" for thread in threading.enumerate())


def test_who_is_named_is_asked_first_which_slots_it_has(
    cluster: Cluster, open_backend: OpenBackend
) -> None:
    """Other nodes hear later than itself that a slot has come to it."""
    backend = open_backend(cluster.url)
    here, there = cluster.owner(0), cluster.owner(16383)
    moved = next(of_server(cluster, here))
    for source, target in [(here, there), (there, here)] * 2:
        until(lambda: not is_looking(), "the last look is over")
        cluster.migrate(slot(moved), source, target)
        by_all, by_it = (asked_for_slots(each) for each in (cluster.servers, [target]))
        until_answered(backend, Touch(moved))
        until(lambda asked=by_all: asked_for_slots(cluster.servers) > asked, "a look")
        assert asked_for_slots([target]) == by_it + 1


def test_a_slot_that_is_moving(cluster: Cluster, open_backend: OpenBackend) -> None:
    backend = open_backend(cluster.url)
    source, target = cluster.owner(0), cluster.owner(16383)
    whole = next(of_server(cluster, source))
    part = Address("other", "", whole.key)  # of the same slot
    for each in (whole, part):
        backend.execute([Start(each, 1, b"x", idle=60_000)])
    backend.execute([Finish(whole, 2, 60_000), Start(whole, 3, b"y", idle=60_000)])
    backend.execute([Acquire(whole, 7, 60_000)])
    number = slot(whole)
    cluster.begin_to_migrate(number, source, target)
    try:
        for moved in (False, True):
            # All its keys are on one of the two; but not all that a script may write are.
            kinds = [type(each) for each in backend.execute([Touch(whole), Touch(part)])]
            assert kinds == [Saved, Unavailable], moved
            assert isinstance(one(backend.execute([Acquire(whole, 7, 60_000)])), Granted)
            if not moved:
                cluster.move_keys(number, source, target)
        target.ask("SCRIPT FLUSH")
        assert isinstance(one(backend.execute([Touch(whole)])), Saved)
    finally:
        cluster.settle(number, target)
        assert isinstance(one(backend.execute([Touch(part)])), Saved)
        cluster.migrate(number, target, source)


# Primaries that change -------------------------------------------------------


def test_a_primary_that_hands_over(cluster: Cluster, open_backend: OpenBackend) -> None:
    backend = open_backend(cluster.url)
    primary = cluster.owner(0)
    place = next(of_server(cluster, primary))
    backend.execute([Start(place, 1, b"x", idle=60_000)])
    cluster.hand_over(primary)
    assert isinstance(one(backend.execute([Touch(place)])), Saved)
    cluster.until_well()


def test_a_primary_that_dies(cluster: Cluster, open_backend: OpenBackend) -> None:
    backend = open_backend(cluster.url, timeout="2s")
    primary = cluster.owner(0)
    place = next(of_server(cluster, primary))
    backend.execute([Start(place, 1, b"x", idle=60_000)])
    primary.kill()
    try:
        kinds = {type(one(backend.execute([Touch(place)]))) for _ in range(50)}
        assert kinds <= {Unavailable, NoAnswer}
        assert isinstance(until_answered(backend, Touch(place)), Saved)
    finally:
        primary.start()
        cluster.until_well()


# All of it -------------------------------------------------------------------


def test_a_scan_visits_every_primary(cluster: Cluster, open_backend: OpenBackend) -> None:
    backend = open_backend(cluster.url)
    places = addresses(300, "scanned")
    backend.execute([Start(each, 1, b"x", idle=60_000) for each in places])
    found: list[Address] = []
    cursor = ""
    while True:
        page: Page = one(backend.execute([Scan("scanned", cursor=cursor, limit=20)]))
        found += [item.address for item in page.items]
        cursor = page.cursor
        if not cursor:
            break
    assert sorted(found) == sorted(places)


def test_a_scan_goes_on_after_a_failover(cluster: Cluster, open_backend: OpenBackend) -> None:
    backend = open_backend(cluster.url)
    places = addresses(300, "scanned")
    backend.execute([Start(each, 1, b"x", idle=60_000) for each in places])
    first: Page = one(backend.execute([Scan("scanned", limit=20)]))
    assert first.cursor
    port = int(first.cursor.split("|")[1].rpartition(":")[2])
    primary = next(server for server in cluster.servers if server.port == port)
    cluster.hand_over(primary)
    found = {item.address for item in first.items}
    cursor = first.cursor
    while cursor:
        page = until_answered(backend, Scan("scanned", cursor=cursor, limit=20))
        assert isinstance(page, Page)
        found |= {item.address for item in page.items}
        cursor = page.cursor
    assert found == set(places)
    cluster.until_well()


def test_a_scan_whose_last_names_have_moved_looks_again(
    cluster: Cluster, open_backend: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A primary hands over between finding names and being asked for their sessions."""
    backend = open_backend(cluster.url)
    places = addresses(100, "moved")
    backend.execute([Start(each, 1, b"x", idle=60_000) for each in places])
    first = min(cluster.owners(), key=lambda server: str(server.port))
    handed_over: list[Server] = []

    def hand_over(*about: Any) -> Any:
        if not handed_over:
            handed_over.append(cluster.hand_over(first))
        return scanning.lookup(*about)

    monkeypatch.setattr(stores, "lookup", hand_over)
    found: set[Address] = set()
    cursor = ""
    while True:
        page = until_answered(backend, Scan("moved", cursor=cursor, limit=1000))
        assert isinstance(page, Page)
        found |= {item.address for item in page.items}
        cursor = page.cursor
        if not cursor:
            break
    assert found == set(places)
    cluster.until_well()


def test_a_cursor_that_is_none(cluster: Cluster, open_backend: OpenBackend) -> None:
    backend = open_backend(cluster.url)
    assert isinstance(one(backend.execute([Scan("scanned", cursor="nonsense")])), Failed)


# Hints -----------------------------------------------------------------------


@pytest.mark.parametrize("number", range(3))
async def test_who_lets_go_wakes_the_next_whatever_the_slot(
    cluster: Cluster, open_async: Any, prefix: str, number: int
) -> None:
    """One connection subscribes, to one node; hints come from all of them."""
    waiting, other = await open_async(cluster.url), await open_async(cluster.url)
    server = cluster.owner(16384 // 3 * number + 100)
    place = next(of_server(cluster, server))
    for _ in range(5):  # nodes that lose sight of each other for a moment pass nothing on
        await other.execute([Acquire(place, 1, HOUR)])
        [queued] = await waiting.execute([Acquire(place, 2, HOUR, look_every=HOUR)])
        assert isinstance(queued, Queued)
        await waiting.wait(2, PATIENCE)  # to subscribe is a reason to look
        assert subscribers(cluster, prefix) == 1
        sleeping = asyncio.create_task(waiting.wait(2, PATIENCE))
        began = monotonic()
        await other.execute([Release(place, 1)])
        await sleeping
        await waiting.execute([Release(place, 2)])
        if monotonic() - began < PATIENCE / 2:
            return
    pytest.fail("nobody was woken")


async def test_who_waits_hears_of_no_node_that_has_gone(
    cluster: Cluster, open_async: Any, prefix: str
) -> None:
    backend = await open_async(cluster.url)
    place = next(of_server(cluster, cluster.owner(0)))
    await backend.execute([Acquire(place, 1, HOUR)])
    await backend.execute([Acquire(place, 2, HOUR, look_every=HOUR)])
    await backend.wait(2, PATIENCE)  # to subscribe is a reason to look
    [heard] = [each for each in cluster.servers if each.ask("PUBSUB CHANNELS", f"{prefix}wake:*")]
    theirs = next(of_server(cluster, heard))
    cluster.hand_over(heard)
    while heard_by([heard], prefix):
        await backend.execute([Touch(theirs)])  # nodes hear of it one after the other
        await asyncio.sleep(0.02)
    began = monotonic()
    await backend.wait(2, PATIENCE)  # another node is subscribed to, which is a reason, too
    assert monotonic() - began < PATIENCE / 2
    assert subscribers(cluster, prefix) == 1
    cluster.until_well()


def subscribers(cluster: Cluster, prefix: str) -> int:
    return heard_by(cluster.servers, prefix)


def heard_by(servers: Iterable[Server], prefix: str) -> int:
    return sum(len(each.ask("PUBSUB CHANNELS", f"{prefix}wake:*")) for each in servers)
