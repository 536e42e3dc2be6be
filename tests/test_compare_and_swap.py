"""A store that loads and conditionally stores blobs keeps every promise, whatever it loses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any
from zlib import crc32

import pytest

from sessiontracker._async.asking import AsyncAsker
from sessiontracker.backend import CompareAndSwapBackend
from sessiontracker.blobs import shorten, slot_name
from sessiontracker.errors import BackendError, BackendUnavailableError, CapabilityError
from sessiontracker.operations import (
    Acquire,
    Address,
    Broken,
    Delete,
    Deleted,
    Failed,
    Finish,
    Found,
    Granted,
    Hold,
    Lost,
    Missing,
    NoAnswer,
    Outcome,
    Page,
    Ping,
    Pong,
    Queued,
    Read,
    Reap,
    Reaped,
    Release,
    Released,
    Renew,
    Resume,
    Saved,
    Scan,
    Stale,
    Stamp,
    Start,
    Time,
    Unavailable,
    Unknown,
    Write,
    repeat,
)
from tests.faulty import FaultyAsyncTracker
from tests.lossy_store import LossyStore, Server
from tests.trackers import Checkout
from tests.walks import Clock, Model, Walker, items

HERE = Address("checkout", "", "korder-42")
NAME = slot_name(HERE)


class Threads(CompareAndSwapBackend):
    """The same store for threads, which loses nothing."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.mutex = threading.Lock()

    def load(self, slot: str) -> tuple[bytes | None, int, int | None]:
        with self.mutex:
            blob, tag = self.server.blobs.get(slot, (None, 0))
            return blob, tag, None if self.server.clock is None else self.server.clock()

    def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
        with self.mutex:
            return self.server.store(slot, blob, if_tag)

    def slots(self, after: str, limit: int) -> Sequence[str]:
        with self.mutex:
            return sorted(name for name in self.server.blobs if name > after)[:limit]


class Scripted(LossyStore):
    """Loses nothing but what it is told to: each ``store`` takes the next of ``fates``."""

    def __init__(self, server: Server, *fates: str) -> None:
        super().__init__(server)
        self.fates = list(fates)
        self.delayed: list[Callable[[], bool]] = []
        self.loads = 0
        self.stores = 0

    async def load(self, slot: str) -> tuple[bytes | None, int, int | None]:
        self.loads += 1
        return await super().load(slot)

    async def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
        self.stores += 1
        fate = self.fates.pop(0) if self.fates else "done"
        if fate == "before":
            raise ConnectionError("the request was lost")
        if fate == "late":
            self.delayed.append(lambda: self.server.store(slot, blob, if_tag))
            raise TimeoutError("the request is delayed")
        stored = await super().store(slot, blob, if_tag)
        if fate == "after":
            raise ConnectionError("the reply was lost")
        return stored


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Server:
    return Server(clock)


async def ask(backend: Any, operation: Any) -> Outcome:
    [outcome] = await backend.execute([operation])
    return outcome


def stamp_of(outcome: Outcome) -> Any:
    assert isinstance(outcome, (Saved, Found)), outcome
    return outcome.meta.stamp


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


# A store that raised: what came of it? ------------------------------------------------------


@pytest.mark.parametrize("fate", ["before", "after", "late"])
async def test_after_a_store_that_raised_another_load_finds_out(server: Server, fate: str) -> None:
    backend = Scripted(server, fate)
    stamp = stamp_of(await ask(backend, Start(HERE, 1, b"0")))
    assert stamp.version == 1
    for late in backend.delayed:
        assert not late(), "what comes late comes too late"
    assert stamp_of(await ask(backend, Read(HERE))) == stamp


async def test_the_whole_batch_is_told_apart(server: Server) -> None:
    backend = Scripted(server, "after")
    outcomes = await backend.execute(
        [Start(HERE, 1, b"0"), Finish(HERE, 2, 0), Delete(HERE, 3), Start(HERE, 4, b"1")]
    )
    assert [type(outcome) for outcome in outcomes] == [Saved, Found, Deleted, Saved]


async def test_what_others_built_upon_meanwhile_is_unknown(server: Server) -> None:
    class Overtaken(Scripted):
        async def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
            try:
                return await super().store(slot, blob, if_tag)
            except ConnectionError:
                other = LossyStore(server)
                found = stamp_of(await ask(other, Read(HERE)))
                await ask(other, Write(HERE, 50, found, b"2"))
                raise

    backend = Overtaken(server, "done", "after")
    stamp = stamp_of(await ask(backend, Start(HERE, 1, b"0")))
    assert await ask(backend, Write(HERE, 2, stamp, b"1")) == Unknown()
    assert stamp_of(await ask(backend, Read(HERE))).version == 3


async def test_a_delayed_request_comes_too_late_once_its_writer_was_answered(
    server: Server, clock: Clock
) -> None:
    class Slow(Scripted):
        async def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
            try:
                return await super().store(slot, blob, if_tag)
            except TimeoutError:
                clock.now += 2_000_000  # and meanwhile the session expires
                raise

    backend = Slow(server, "done", "late")
    stamp = stamp_of(await ask(backend, Start(HERE, 1, b"0", idle=1_000)))
    outcome = await ask(backend, Write(HERE, 2, stamp, b"1"))
    assert outcome in (Missing(), Unknown())
    assert [late() for late in backend.delayed] == [False]
    assert await ask(backend, Read(HERE)) == Missing()


# What goes wrong is an outcome ----------------------------------------------------------------


async def test_attempts_that_run_out(server: Server) -> None:
    class Losing(LossyStore):
        patience = 0.02

        async def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
            return False

    assert isinstance(await ask(Losing(server), Start(HERE, 1, b"")), Unavailable)
    backend = Scripted(server, *["before"] * 1_000)
    backend.patience = 0.02
    assert isinstance(await ask(backend, Start(HERE, 1, b"")), NoAnswer)


async def test_a_store_that_cannot_be_read_did_nothing(server: Server) -> None:
    class Down(LossyStore):
        async def load(self, slot: str) -> Any:
            raise ConnectionError("nobody there")

    outcomes = await Down(server).execute([Start(HERE, 1, b""), Ping(), Scan("checkout"), Reap()])
    assert outcomes[:2] == [Unavailable("ConnectionError: nobody there")] * 2
    with pytest.raises(BackendUnavailableError, match="nobody there"):
        await Down(server).open()


async def test_who_stops_waiting_while_the_store_is_away_is_forgotten(server: Server) -> None:
    class Away(Scripted):
        away = False

        async def load(self, slot: str) -> Any:
            if self.away:
                raise ConnectionError("nobody there")
            return await super().load(slot)

    backend = Away(server)
    await ask(backend, Acquire(HERE, 1, 60_000))
    assert isinstance(await ask(backend, Acquire(HERE, 2, 60_000)), Queued)
    assert len(backend._wakes) == len(backend._line) == 1
    backend.away = True
    assert isinstance(await ask(backend, Release(HERE, 2)), Unavailable)
    assert len(backend._wakes) == len(backend._line) == 0


async def test_a_store_that_went_away_after_a_request_gives_no_answer(server: Server) -> None:
    class Gone(Scripted):
        async def load(self, slot: str) -> Any:
            if self.stores:
                raise ConnectionError("nobody there")
            return await super().load(slot)

    assert isinstance(await ask(Gone(server, "after"), Start(HERE, 1, b"")), NoAnswer)


async def test_an_error_of_ours_goes_to_the_caller_as_it_is(server: Server) -> None:
    class Full(LossyStore):
        async def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
            raise BackendError("full: delete something")

    outcome = await ask(Full(server), Start(HERE, 1, b""))
    assert isinstance(outcome, Failed)
    assert str(outcome.error) == "full: delete something"


async def test_what_cannot_be_encoded_fails_alone(server: Server) -> None:
    backend = LossyStore(server)
    bad, login = Address("checkout", "", "k\ud800"), Address("login", "a" * 22, "kios")
    outcomes = await backend.execute(
        [
            Start(HERE, 1, b""),
            Start(bad, 2, b""),
            Start(login, 3, b"", owner="alice"),
            Start(Address("login", login.scope, "kandroid"), 4, b"", owner="\ud800"),
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [Saved, Failed, Saved, Failed]


async def test_without_a_list_of_slots_neither_scan_nor_reap(server: Server) -> None:
    class Blind(Threads):
        slots = CompareAndSwapBackend.slots

    for outcome in Blind(server).execute([Scan("checkout"), Reap()]):
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, CapabilityError)


@pytest.mark.parametrize("damage", ["empty", "alien", "cut", "flipped", "another's", "deep"])
async def test_what_cannot_be_decoded_is_broken_and_stays(server: Server, damage: str) -> None:
    backend, beside = LossyStore(server), Address("checkout", "", "kbeside")
    await backend.execute([Start(HERE, 1, b"payload"), Start(beside, 2, b"")])
    blob, tag = server.blobs[NAME]
    middle = len(blob) // 2
    deep = b"\x94" + blob[8:] + b"\x91" * 100_000 + b"\xc0"  # one item too many
    broken = {
        "empty": b"",
        "alien": b"{}",
        "cut": blob[:-3],
        "flipped": blob[:middle] + bytes([blob[middle] ^ 1]) + blob[middle + 1 :],
        "another's": server.blobs[slot_name(beside)][0],
        "deep": blob[:3] + crc32(deep).to_bytes(4, "big") + deep,
    }[damage]
    server.blobs[NAME] = (broken, tag)
    outcomes = await backend.execute([Read(HERE), Delete(HERE, 3), Read(beside)])
    assert [type(outcome) for outcome in outcomes] == [Broken, Broken, Found]
    assert server.blobs[NAME] == (broken, tag)
    page = await ask(backend, Scan("checkout"))
    assert isinstance(page, Page)
    assert [item.address for item in page.items] == [beside]
    assert await ask(backend, Reap()) == Reaped(0)
    assert server.blobs[NAME] == (broken, tag)


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
    async with FaultyAsyncTracker() as tracker:
        faults = tracker.faults["memory"]
        faults.answers = lambda outcomes: shorten(outcomes, 600)
        async with tracker.lock(Checkout, "order-42", lease=1.5) as lock:
            async with asyncio.timeout(30):
                while len(faults.asked(Renew)) < 3:
                    assert 0 < lock.expires_in <= 0.9
                    await asyncio.sleep(0.01)
            assert lock.expires_in <= 0.9


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
    assert (backend.loads, backend.stores) == (2, 1)


# Waiting ------------------------------------------------------------------------------------------


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def get_lock(backend: Any, ticket: int, every: int = 1_000) -> Granted:
    while True:
        outcome = await ask(backend, Acquire(HERE, ticket, 30_000, look_every=every))
        if isinstance(outcome, Granted):
            return outcome
        assert isinstance(outcome, Queued)
        await backend.wait(ticket, outcome.look_in / 1000)


async def test_who_waits_in_the_same_process_is_woken() -> None:
    backend = LossyStore(Server())
    backend.look_soon = backend.look_every = 3_600.0  # nobody looks by itself
    await get_lock(backend, 1, 3_600_000)
    waiting = [asyncio.create_task(get_lock(backend, n, 3_600_000)) for n in (2, 3)]
    await until(lambda: len(backend._line) == 2)
    began = monotonic()
    await ask(backend, Release(HERE, 1))
    first = await waiting[0]
    await ask(backend, Release(HERE, 2))
    assert (await waiting[1]).token > first.token
    assert monotonic() - began < 15  # a lease is 30 s: it was a wake-up
    assert not backend._line
    assert not len(backend._wakes)


async def test_who_waits_in_another_process_looks_by_itself() -> None:
    server = Server()
    here, there = LossyStore(server), LossyStore(server)
    await get_lock(here, 1)
    waiting = asyncio.create_task(get_lock(there, 2))
    await until(lambda: len(there._line) == 1)
    began = monotonic()
    await ask(here, Release(HERE, 1))
    await waiting
    assert monotonic() - began < 15


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
            [outcome] = backend.execute([Acquire(HERE, ticket, 30_000, look_every=3_600_000)])
            if isinstance(outcome, Granted):
                return
            backend.wait(ticket, 3_600.0)

    get(1)
    waiter = threading.Thread(target=get, args=(2,), daemon=True)
    waiter.start()
    while not backend._line:
        pass
    backend.execute([Release(HERE, 1)])
    waiter.join(15)
    assert not waiter.is_alive()


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
