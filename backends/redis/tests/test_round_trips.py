"""What a call costs, counted by the server: round trips and scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
from msgspec import Struct
from redis import Redis

from sessiontracker import AsyncSessionTracker, OwnedSession, Session, SessionTracker
from sessiontracker_redis._async.backend import AsyncRedisBackend


class Cart(Session):
    count: int = 0


class Profile(Struct):
    theme: str = "light"


class Cost(NamedTuple):
    trips: int  # how often the server read from a connection
    scripts: int


class Counter:
    """How much more there was since it was asked last."""

    def __init__(self, admin: Redis) -> None:
        self._admin = admin
        self._last = Cost(0, 0)
        self.since()

    def since(self) -> Cost:
        said = self._admin.info("all")
        scripts = said.get("cmdstat_evalsha", {"calls": 0})["calls"]
        now = Cost(said["total_reads_processed"], scripts)
        last, self._last = self._last, now
        return Cost(now.trips - last.trips - 1, now.scripts - last.scripts)  # less its own


ONE = Cost(trips=1, scripts=1)
READ = Cost(trips=1, scripts=0)
TWO = Cost(trips=2, scripts=2)


async def test_what_each_call_costs(url: str, prefix: str, admin: Redis) -> None:
    async with AsyncSessionTracker(backend="redis", url=url, prefix=prefix) as tracker:
        counter = Counter(admin)
        cart = await tracker.start(Cart(key="a"))
        assert counter.since() == ONE
        assert await tracker.get(Cart, "a") == cart
        assert counter.since() == ONE
        cart.count += 1
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "update": lambda: tracker.update(cart),
            "touch": lambda: tracker.touch(Cart, "a"),
            "finish": lambda: tracker.finish(Cart, "a"),
            "get_finished": lambda: tracker.get_finished(Cart, "a"),
            "resume": lambda: tracker.resume(Cart, "a"),
            "delete": lambda: tracker.delete(Cart, "a"),
        }
        for name, call in calls.items():
            await call()
            assert counter.since() == ONE, name


async def test_a_locked_cycle_that_nobody_contends(url: str, prefix: str, admin: Redis) -> None:
    async with AsyncSessionTracker(backend="redis", url=url, prefix=prefix) as tracker:
        await tracker.start(Cart(key="a"))
        counter = Counter(admin)
        for _ in range(3):
            async with tracker.get_locked(Cart, "a") as cart:
                cart.count += 1
            assert counter.since() == TWO
        async with tracker.get_locked(Cart, "a"):
            pass  # unchanged
        assert counter.since() == TWO
        async with tracker.get_locked(Cart, "new", missing=Cart()):
            pass
        assert counter.since() == TWO
    with SessionTracker(backend="redis", url=url, prefix=prefix) as blocking:
        counter.since()
        with blocking.get_locked(Cart, "a") as cart:
            cart.count += 1
        assert counter.since() == TWO


async def test_many_keys_are_one_trip(url: str, prefix: str, admin: Redis) -> None:
    async with AsyncSessionTracker(backend="redis", url=url, prefix=prefix) as tracker:
        keys = [str(number) for number in range(40)]
        for key in keys:
            await tracker.start(Cart(key=key))
        await tracker.get_many(Cart, keys)  # which makes a connection for each lane
        counter = Counter(admin)
        assert len(await tracker.get_many(Cart, keys)) == 40
        trips, scripts = counter.since()
        assert trips <= 2  # a lane each
        assert scripts <= 2


async def test_what_a_contended_cycle_costs(
    url: str, prefix: str, admin: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def calls(command: str) -> int:
        count: int = admin.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]
        return count

    monkeypatch.setattr(AsyncRedisBackend, "look_every", 60.0)  # it is woken, or asks no more
    async with (
        AsyncSessionTracker(backend="redis", url=url, prefix=prefix) as holder,
        AsyncSessionTracker(backend="redis", url=url, prefix=prefix) as waiter,
    ):
        await holder.start(Cart(key="a"))

        async def wait_and_hold() -> None:
            async with waiter.get_locked(Cart, "a", wait="60s") as cart:
                cart.count += 1

        for first in (True, False):  # the first time, the waiter subscribes as well
            before, hints = calls("evalsha"), calls("publish")
            async with holder.get_locked(Cart, "a"):
                waiting = asyncio.create_task(wait_and_hold())
                async with asyncio.timeout(10):
                    while calls("evalsha") < before + 2:  # noqa: ASYNC110 - the waiter queues
                        await asyncio.sleep(0.001)
            await waiting
            spent = calls("evalsha") - before
            print(f"a contended cycle: {spent} scripts, {calls('publish') - hints} hints")
            # The holder's two; the waiter's two, and at most two more, to queue and to look.
            assert spent <= 2 + 4 if first else spent == 2 + 3
            assert calls("publish") - hints == 1


class Login(OwnedSession[Profile]):
    device: str = ""


async def test_what_each_call_about_an_owner_costs(url: str, prefix: str, admin: Redis) -> None:
    """One script, or one transaction, however many sessions."""
    async with AsyncSessionTracker(backend="redis", url=url, prefix=prefix) as tracker:
        logins = [await tracker.start(Login(owner="al", device=f"{n}")) for n in range(10)]
        await tracker.update_shared(Login, "al", lambda _: Profile("dark"))
        counter = Counter(admin)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "start": lambda: tracker.start(Login(owner="al")),
            "get": lambda: tracker.get(Login, logins[0].key),
            "list_sessions": lambda: tracker.list_sessions(Login, "al"),
            "count_sessions": lambda: tracker.count_sessions(Login, "al"),
            "get_shared": lambda: tracker.get_shared(Login, "al"),
            "rotate": lambda: tracker.rotate(logins[0]),
            "finish_all": lambda: tracker.finish_all(Login, "al", keep=logins[0]),
            "delete_all": lambda: tracker.delete_all(Login, "al"),
        }
        for name, call in calls.items():
            await call()
            assert counter.since() == (READ if name == "list_sessions" else ONE), name
