"""What is left in the server, and for how long."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from redis_servers import until
from sessiontracker import AsyncSessionTracker, Session
from sessiontracker.operations import (
    FOREVER,
    Acquire,
    Address,
    Broken,
    Delete,
    Deleted,
    Finish,
    Found,
    Granted,
    Hold,
    Operation,
    Outcome,
    Page,
    Ping,
    Pong,
    Read,
    Release,
    Released,
    Saved,
    Scan,
    Start,
    Touch,
    Unknown,
    Write,
)
from sessiontracker_redis._sync.backend import RedisBackend

HOUR = 3_600_000
SOAK = bool(os.environ.get("SESSIONTRACKER_SOAK"))
SESSIONS = 100_000 if SOAK else 300


class Order(Session):
    paid: bool = False


Ask = Callable[[Operation], Outcome]


def ttls(client: Any, prefix: str) -> dict[str, int]:
    """By what a key ends with: for how many ms it lasts; -1: for ever."""
    names = client.scan_iter(f"{prefix}*", count=1000)
    return {name.decode()[-1]: client.pttl(name) for name in names}


def test_a_session_is_one_key_that_lasts_as_it_does(
    ask: Ask, client: Any, prefix: str, address: Address
) -> None:
    ask(Start(address, 1, b"x" * 300, idle=HOUR, absolute=10 * HOUR))
    left = ttls(client, prefix)
    assert list(left) == ["a"]
    assert HOUR - 60_000 < left["a"] <= HOUR + 5
    assert isinstance(ask(Read(address)), Found)
    client.pexpire(f"{prefix}checkout:{{korder-42}}:a", 70_000)
    ask(Touch(address))
    assert HOUR - 60_000 < ttls(client, prefix)["a"] <= HOUR + 5


def test_what_never_expires_stays(ask: Ask, client: Any, prefix: str, address: Address) -> None:
    ask(Start(address, 1, b"x"))
    assert ttls(client, prefix) == {"a": -1}
    ask(Finish(address, 2, FOREVER))
    assert ttls(client, prefix) == {"f": -1}


def test_a_short_session_outlives_itself_as_a_deed_only(
    ask: Ask, client: Any, prefix: str, address: Address
) -> None:
    ask(Start(address, 1, b"x", idle=1))
    assert 50_000 < ttls(client, prefix)["a"] <= 60_005


def test_a_deleted_key_remembers_for_a_minute(
    ask: Ask, client: Any, prefix: str, address: Address
) -> None:
    ask(Start(address, 1, b"x"))
    assert ask(Delete(address, 2)) == Deleted(True)
    left = ttls(client, prefix)
    assert list(left) == ["l"]
    assert 50_000 < left["l"] <= 62_000


def test_a_token_is_kept_and_then_nothing(
    ask: Ask, client: Any, prefix: str, address: Address
) -> None:
    granted = ask(Acquire(address, 7, 1_000, keep=HOUR))
    assert isinstance(granted, Granted)
    assert ask(Release(address, 7)) == Released()
    left = ttls(client, prefix)
    assert list(left) == ["l"]
    assert HOUR - 60_000 < left["l"] <= HOUR + 3_000


def test_the_lock_lasts_as_long_as_a_session_that_slides(
    ask: Ask, client: Any, prefix: str, address: Address
) -> None:
    ask(Acquire(address, 7, 1_000, keep=0))
    ask(Release(address, 7))
    ask(Start(address, 1, b"x", idle=HOUR))
    ask(Touch(address))
    left = ttls(client, prefix)
    assert left["l"] >= left["a"] - 5


def test_the_lock_lasts_as_long_as_the_finished_session_beside_it(
    ask: Ask, client: Any, prefix: str, address: Address
) -> None:
    ask(Start(address, 1, b"x"))
    ask(Finish(address, 2, 10 * HOUR))
    ask(Start(address, 3, b"x", idle=HOUR))
    for ticket in (7, 8, 9):
        granted = ask(Acquire(address, ticket, 1_000, read=True, keep=0))
        assert isinstance(granted, Granted)
        assert granted.found is not None
        hold = Hold(ticket, granted.token)
        write = Write(address, ticket, granted.found.meta.stamp, b"y", hold, release=True)
        assert isinstance(ask(write), Saved)
        left = ttls(client, prefix)
        assert left["l"] >= left["f"] - 5 > 9 * HOUR


def test_expired_keys_go(ask: Ask, client: Any, prefix: str) -> None:
    for number in range(50):
        address = Address("checkout", "", f"k{number}")
        ask(Acquire(address, 7, 1, keep=1))
        ask(Start(address, 1, b"x", idle=1))
    names = list(client.scan_iter(f"{prefix}*", count=1000))
    assert names
    assert all(0 < client.pttl(name) < 65_000 for name in names)


async def test_sessions_that_ended_leave_nothing(client: Any, any_url: str, prefix: str) -> None:
    """Once retentions have passed, and the minute for which a deed is remembered."""
    config = {
        "backends": {"hot": {"use": "redis", "url": any_url, "prefix": prefix}},
        "defaults": {"storage": "hot", "finished_retention": "5s", "token_retention": "1s"},
    }
    async with AsyncSessionTracker(config) as tracker:
        for first in range(0, SESSIONS, 250):
            keys = [f"order-{number}" for number in range(first, min(first + 250, SESSIONS))]
            await asyncio.gather(*(begin_and_end(tracker, key) for key in keys))
    names = list(client.scan_iter(f"{prefix}*", count=1000))
    assert len(names) >= SESSIONS / 2
    lasts = [client.pttl(name) for name in (names if not SOAK else names[:1000])]
    assert all(left < 70_000 for left in lasts)
    assert -1 not in lasts  # nothing stays for ever
    if SOAK:
        until(lambda: not list(client.scan_iter(f"{prefix}*", count=1000)), "no key", patience=90)


async def begin_and_end(tracker: AsyncSessionTracker, key: str) -> None:
    """In one way of six."""
    way = int(key.removeprefix("order-")) % 6
    if way == 0:
        async with tracker.lock(Order, key):
            pass
        return
    await tracker.start(Order(key=key), idle_timeout="1s" if way == 1 else "1h")
    if way == 2:
        await tracker.delete(Order, key)
    elif way == 3:
        await tracker.finish(Order, key)
        await tracker.resume(Order, key)
        await tracker.finish(Order, key)
    elif way == 4:
        async with tracker.get_locked(Order, key) as order:
            order.paid = True
        await tracker.finish(Order, key)
        await tracker.delete(Order, key)
    elif way == 5:
        async with tracker.get_locked(Order, key) as order:
            order.paid = True
            await tracker.finish(order)


def test_no_key_is_used_that_was_not_declared(
    ask: Ask, client: Any, prefix: str, address: Address
) -> None:
    ask(Start(address, 1, b"x"))
    ask(Acquire(address, 7, HOUR))
    ask(Acquire(address, 8, HOUR, look_every=500))
    ask(Finish(address, 2, HOUR))
    names = {name.decode() for name in client.scan_iter(f"{prefix}*", count=1000)}
    assert names <= {f"{prefix}checkout:{{korder-42}}:{end}" for end in "afl"}


@pytest.mark.parametrize("end", ["a", "f", "l"])
@pytest.mark.parametrize("value", [b"a stranger's", {"a": "hash"}])
def test_what_is_not_ours_stays_where_it_is(
    ask: Ask, client: Any, prefix: str, address: Address, end: str, value: bytes | dict[str, str]
) -> None:
    name = f"{prefix}checkout:{{korder-42}}:{end}"
    if isinstance(value, bytes):
        client.set(name, value)
    else:
        client.hset(name, mapping=value)
    before = client.dump(name)
    assert isinstance(ask(Start(address, 1, b"x")), Broken)
    assert isinstance(ask(Acquire(address, 7, HOUR, start=Start(address, 1, b"x"))), Broken)
    assert client.dump(name) == before
    assert [*client.scan_iter(f"{prefix}*", count=1000)] == [name.encode()]


def test_a_clock_set_back_hides_no_deed(
    open_backend: Callable[..., RedisBackend], any_url: str, address: Address
) -> None:
    clock = [1_900_000_000_000_000]
    backend = open_backend(any_url, clock=lambda: clock[0])
    [saved] = backend.execute([Start(address, 1, b"x")])
    assert isinstance(saved, Saved)
    clock[0] -= 50_000_000
    assert isinstance(backend.execute([Write(address, 2, saved.meta.stamp, b"y")])[0], Saved)
    clock[0] += 80_000_000
    # It was first sent before the session began, by the clock as it was then.
    ms = clock[0] // 1000
    assert backend.execute([Finish(address, 3, HOUR, since=ms - 40_000)]) == [Unknown()]
    assert isinstance(backend.execute([Finish(address, 3, HOUR, since=ms - 20_000)])[0], Found)


def test_a_scan_judges_by_the_servers_clock(
    ask: Ask, open_backend: Callable[[str], RedisBackend], any_url: str
) -> None:
    short = ask(Start(Address("checkout", "", "kshort"), 1, b"x", idle=1))
    assert isinstance(short, Saved)
    ask(Start(Address("checkout", "", "klong"), 1, b"x", idle=HOUR))
    backend = open_backend(any_url)
    while isinstance(pong := backend.execute([Ping()])[0], Pong):
        if pong.now // 1000 >= short.meta.expires:
            break
    found: list[str] = []
    cursor = ""
    while True:
        [page] = backend.execute([Scan("checkout", cursor=cursor)])
        assert isinstance(page, Page)
        found += [item.address.key for item in page.items]
        cursor = page.cursor
        if not cursor:
            break
    assert found == ["klong"]
