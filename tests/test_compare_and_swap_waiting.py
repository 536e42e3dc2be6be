"""Clocks that differ, and waiting, before a store that compares and swaps."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import pytest

from sessiontracker.blobs import shorten
from sessiontracker.operations import (
    Acquire,
    Delete,
    Finish,
    Found,
    Granted,
    Hold,
    Lost,
    Ping,
    Pong,
    Queued,
    Read,
    Reap,
    Release,
    Released,
    Renew,
    Resume,
    Stamp,
    Start,
    Time,
    Unavailable,
    Unknown,
    Write,
    repeat,
)
from tests.clock import Clock
from tests.conditions import eventually, until
from tests.faulty import FaultyAsyncTracker
from tests.lossy_store import LossyStore, Server
from tests.paced import attempts
from tests.swapping import HERE, Scripted, Threads, ask, stamp_of
from tests.trackers import Checkout

HOUR = 3_600_000  # ms: no lease ends, and nobody looks by itself, while a test lasts


@pytest.fixture
def server(clock: Clock) -> Server:
    return Server(clock)


# Clocks -----------------------------------------------------------------------------------------


class Skewed(LossyStore):
    """A client of a store without a clock; its own is ``ahead`` of true time, in ms."""

    def __init__(self, server: Server, clock: Clock, ahead: int) -> None:
        super().__init__(server)
        self.clock = clock
        self.ahead = ahead

    def now(self) -> int:
        return self.clock.now + self.ahead * 1000


async def test_a_store_without_a_clock_uses_its_clients(clock: Clock) -> None:
    server = Server()
    fast, slow = Skewed(server, clock, 400), Skewed(server, clock, -400)
    assert await ask(slow, Ping()) == Pong(clock.now - 400_000)
    granted = await ask(fast, Acquire(HERE, 1, 30_000))
    assert granted == Granted(clock.now + 400_000, 29_000)
    assert await ask(fast, Release(HERE, 1)) == Released()
    # The other's clock is behind, yet its token rises, and so does the slot's time.
    later = await ask(slow, Acquire(HERE, 2, 30_000, queue=False))
    assert isinstance(later, Granted)
    assert later.token == clock.now + 400_001


async def test_a_lease_ends_for_its_holder_before_it_ends_for_anybody_else(clock: Clock) -> None:
    server = Server()
    slow, fast = Skewed(server, clock, -500), Skewed(server, clock, 500)
    granted = await ask(slow, Acquire(HERE, 1, 10_000))
    assert isinstance(granted, Granted)
    clock.now += granted.expires_in * 1000 - 1
    assert not isinstance(await ask(fast, Acquire(HERE, 2, 10_000, queue=False)), Granted)
    clock.now += 1_000
    assert isinstance(await ask(fast, Acquire(HERE, 2, 10_000, queue=False)), Granted)
    write = Write(HERE, 3, Stamp(1, 1, 1), b"", Hold(1, granted.token))
    assert await ask(slow, write) == Lost()


async def test_a_repeat_finds_others_deeds_by_whatever_clock_they_were_done(clock: Clock) -> None:
    server = Server()
    mine, slow, fast = (Skewed(server, clock, ms) for ms in (0, -400, 400))
    await ask(mine, Start(HERE, 1, b"0"))
    clock.now += 10_000_000
    finish = Finish(HERE, 2, 60_000)
    assert isinstance(await ask(mine, finish), Found)
    resumed = await ask(slow, Resume(HERE, 3))
    await ask(fast, Acquire(HERE, 4, 60_000))
    pong = await ask(mine, Time(HERE))
    assert isinstance(pong, Pong)
    assert await ask(mine, repeat(finish, pong.now // 1000)) == Unknown()
    assert await ask(mine, Read(HERE)) == resumed


async def test_a_tracker_holds_a_lock_no_longer_than_it_is_told_through_renewals_too() -> None:
    for attempt in attempts(stands=0.2):
        with attempt as pace:
            async with FaultyAsyncTracker() as tracker:
                faults = tracker.faults["memory"]
                faults.answers = partial(shorten, skew=round(600 * pace))
                async with tracker.lock(Checkout, "order-42", lease=1.5 * pace) as lock:
                    async with asyncio.timeout(60):
                        while len(faults.asked(Renew)) < 3:
                            assert 0 < lock.expires_in <= 0.9 * pace
                            await asyncio.sleep(0.01)
                    assert lock.expires_in <= 0.9 * pace


async def test_what_a_clock_behind_has_yet_to_remember_is_kept(clock: Clock) -> None:
    server = Server()
    fast, slow = Skewed(server, clock, 500), Skewed(server, clock, -500)
    first = await ask(fast, Acquire(HERE, 1, 0, keep=0))
    await ask(fast, Start(HERE, 9, b"0"))
    await ask(fast, Delete(HERE, 10))
    clock.now += 60_100_000
    await ask(fast, Reap())
    assert server.blobs, "forgotten while a clock that is behind may still give that token"
    second = await ask(slow, Acquire(HERE, 2, 1_000))
    assert isinstance(first, Granted)
    assert isinstance(second, Granted)
    assert second.token > first.token


async def test_clocks_too_far_apart_are_an_error(clock: Clock) -> None:
    server = Server()
    await ask(Skewed(server, clock, 3_600_000), Start(HERE, 1, b""))
    outcome = await ask(Skewed(server, clock, 0), Read(HERE))
    assert isinstance(outcome, Unavailable)
    assert "NTP" in outcome.reason


async def test_no_step_is_stored_that_was_decided_long_ago(server: Server) -> None:
    class Stalled(Scripted):
        max_clock_skew = 0.01

        async def load(self, slot: str) -> Any:
            loaded = await super().load(slot)
            if self.loads == 1:
                await asyncio.sleep(0.05)
            return loaded

    backend = Stalled(server)
    stamp_of(await ask(backend, Start(HERE, 1, b"")))
    assert backend.loads > 1
    assert backend.stores == 1


# Waiting ------------------------------------------------------------------------------------------


async def get_lock(backend: Any, ticket: int, every: int = 1_000) -> Granted:
    while True:
        outcome = await ask(backend, Acquire(HERE, ticket, HOUR, look_every=every))
        if isinstance(outcome, Granted):
            return outcome
        assert isinstance(outcome, Queued)
        await backend.wait(ticket, outcome.look_in / 1000)


async def test_who_waits_in_the_same_process_is_woken() -> None:
    backend = LossyStore(Server())
    backend.look_soon = backend.look_every = 3_600.0  # nobody looks by itself
    await get_lock(backend, 1, HOUR)
    waiting = [asyncio.create_task(get_lock(backend, n, HOUR)) for n in (2, 3)]
    await until(lambda: len(backend._line) == 2)
    await ask(backend, Release(HERE, 1))
    first = await asyncio.wait_for(waiting[0], 60)
    await ask(backend, Release(HERE, 2))
    assert (await asyncio.wait_for(waiting[1], 60)).token > first.token
    assert not backend._line
    assert not len(backend._wakes)


async def test_who_waits_in_another_process_looks_by_itself() -> None:
    server = Server()
    here, there = LossyStore(server), LossyStore(server)
    await get_lock(here, 1)
    waiting = asyncio.create_task(get_lock(there, 2))
    await until(lambda: len(there._line) == 1)
    await ask(here, Release(HERE, 1))
    await asyncio.wait_for(waiting, 60)


async def test_who_is_first_in_line_looks_soonest(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = LossyStore(Server())
    await get_lock(backend, 1)
    pauses: dict[int, float] = {}

    async def wait(ticket: int, timeout: float) -> None:
        pauses[ticket] = timeout

    monkeypatch.setattr(backend._wakes, "wait", wait)
    for ticket in (2, 3, 4):
        assert isinstance(await ask(backend, Acquire(HERE, ticket, 30_000)), Queued)
        await backend.wait(ticket, 1.0)
    assert pauses[2] <= 1.5 * backend.look_soon
    assert all(pause <= 1.5 * backend.look_every / 4 for pause in pauses.values())
    await backend.wait(2, 0.001)
    assert pauses[2] == 0.001


def test_threads_wake_each_other() -> None:
    backend = Threads(Server())
    backend.look_soon = backend.look_every = 3_600.0

    def get(ticket: int) -> None:
        while True:
            [outcome] = backend.execute([Acquire(HERE, ticket, HOUR, look_every=HOUR)])
            if isinstance(outcome, Granted):
                return
            backend.wait(ticket, 3_600.0)

    get(1)
    waiter = threading.Thread(target=get, args=(2,), daemon=True)
    waiter.start()
    eventually(lambda: backend._line)
    backend.execute([Release(HERE, 1)])
    waiter.join(60)
    assert not waiter.is_alive()
