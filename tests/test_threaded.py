"""Stores that block, as backends: batches in one hop, wake-ups, cancellation, and an end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from time import monotonic, sleep

import pytest

from sessiontracker.backend import AsyncThreadedBackend, ThreadedBackend, Wakes
from sessiontracker.blocking import Line
from sessiontracker.contract import Asked
from sessiontracker.operations import (
    Acquire,
    Address,
    Granted,
    NoAnswer,
    Outcome,
    Ping,
    Pong,
    Queued,
    Release,
    Released,
    Unavailable,
)
from tests.conditions import eventually

HERE = Address("t", "", "k")


class Store:
    """Answers with what it is told to, and notes who asked."""

    look_every = 15.0
    poll_every = 0.001
    batch = 8

    def __init__(self) -> None:
        self.batches: list[list[Asked]] = []
        self.threads: set[int] = set()
        self.answers: dict[type[Asked], Outcome] = {
            Ping: Pong(1),
            Acquire: Queued("other", 0, 1_000),
            Release: Released(),
        }
        self.given: list[int] = []
        self.found: set[int] = set()
        self.looks = 0
        self.look_takes = 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.failed = threading.Event()
        self.error: Exception | None = None
        self.closed = False
        self.looked_when_closed = False

    def open(self) -> None:
        self.threads.add(threading.get_ident())
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed = True
        sleep(2 * self.poll_every)  # a look would be due

    def execute(self, operations: Sequence[Asked], /) -> list[Outcome]:
        assert self.gate.wait(60)
        self.threads.add(threading.get_ident())
        self.batches.append(list(operations))
        if self.error is not None:
            raise self.error
        return [self.answers[type(operation)] for operation in operations]

    def claims(self) -> Sequence[int]:
        given, self.given = self.given, []
        return given

    def look(self, waiting: Mapping[int, Address], /) -> Collection[int]:
        self.looked_when_closed |= self.closed
        self.looks += 1
        sleep(self.look_takes)
        if self.error is not None:
            self.failed.set()
            raise self.error
        return [ticket for ticket in waiting if ticket in self.found]


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.gate.set()


def acquire(ticket: int, look_every: int = 60_000) -> Acquire:
    return Acquire(HERE, ticket, 1_000, look_every=look_every)


# In an event loop ------------------------------------------------------------


async def test_a_batch_goes_to_the_one_thread_as_a_whole(store: Store) -> None:
    backend = AsyncThreadedBackend(store)
    await backend.open()
    assert await backend.execute([Ping(), Ping()]) == [Pong(1), Pong(1)]
    await asyncio.gather(*(backend.execute([Ping()]) for _ in range(3)))
    assert [len(batch) for batch in store.batches] == [2, 1, 1, 1]
    assert len(store.threads) == 1
    assert threading.get_ident() not in store.threads
    await backend.close()
    assert store.closed


async def test_an_error_of_opening_reaches_the_caller(store: Store) -> None:
    store.error = ValueError("no")
    backend = AsyncThreadedBackend(store)
    with pytest.raises(ValueError, match="no"):
        await backend.open()
    store.error = None
    await backend.open()
    await backend.close()


async def test_a_store_that_cannot_be_opened_leaves_no_thread(store: Store) -> None:
    store.error = ValueError("no")
    backend = AsyncThreadedBackend(store)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            await backend.open()
    await asyncio.to_thread(_join_stores)


async def test_opening_that_is_cancelled_leaves_no_thread(store: Store) -> None:
    backend = AsyncThreadedBackend(store)
    opening = asyncio.create_task(backend.open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await asyncio.to_thread(_join_stores)
    assert store.closed


def _join_stores() -> None:
    for thread in threading.enumerate():
        if thread.name == "sessiontracker-store":
            thread.join(30)
            assert not thread.is_alive()


async def test_an_error_of_a_batch_is_no_answer_and_ends_nothing(store: Store) -> None:
    backend = AsyncThreadedBackend(store)
    store.error = ValueError("broken")
    outcomes = await backend.execute([Ping(), Ping()])
    assert all(isinstance(outcome, NoAnswer) and "broken" in outcome.reason for outcome in outcomes)
    store.error = None
    assert await backend.execute([Ping()]) == [Pong(1)]
    await backend.close()


async def test_a_batch_whose_caller_is_cancelled_is_carried_out_and_wakes(store: Store) -> None:
    backend = AsyncThreadedBackend(store)
    await backend.execute([acquire(7)])
    waiting = asyncio.create_task(backend.wait(7, 60))
    store.gate.clear()
    store.given = [7]
    gone = asyncio.create_task(backend.execute([Ping()]))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    store.gate.set()
    await asyncio.wait_for(waiting, 30)
    assert store.batches[-1] == [Ping()]
    await backend.close()


async def test_closing_carries_out_what_was_handed_over(store: Store) -> None:
    backend = AsyncThreadedBackend(store)
    store.gate.clear()
    pending = [asyncio.create_task(backend.execute([Ping()])) for _ in range(3)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(backend.close())
    store.gate.set()
    await closing
    assert await asyncio.gather(*pending) == [[Pong(1)]] * 3
    assert not [each for each in threading.enumerate() if each.name == "sessiontracker-store"]


async def test_a_store_that_is_closed_is_not_looked_at_for_those_who_still_wait(
    store: Store,
) -> None:
    backend = AsyncThreadedBackend(store)
    await backend.execute([acquire(7)])
    await backend.close()
    assert store.closed
    assert not store.looked_when_closed


async def test_what_others_gave_is_found_while_somebody_waits_and_not_looked_for_else(
    store: Store,
) -> None:
    backend = AsyncThreadedBackend(store)
    await backend.execute([Ping()])
    assert store.looks == 0
    await backend.execute([acquire(7), acquire(8)])
    store.found = {8}
    await asyncio.wait_for(backend.wait(8, 60), 30)
    waiting = asyncio.create_task(backend.wait(7, 60))
    await asyncio.sleep(0)
    store.found = {7}
    await asyncio.wait_for(waiting, 30)
    await backend.execute([acquire(9)])
    await backend.execute([Release(HERE, 9)])
    looks = store.looks
    await backend.wait(9, 5 * store.poll_every)  # nobody's any more: it only passes the time
    await backend.execute([Ping()])
    assert store.looks == looks
    await backend.close()


async def test_a_look_that_fails_is_made_again(store: Store) -> None:
    backend = AsyncThreadedBackend(store)
    await backend.execute([acquire(7)])
    store.error = ValueError("for now")
    assert await asyncio.to_thread(store.failed.wait, 30)
    store.error, store.found = None, {7}
    await asyncio.wait_for(backend.wait(7, 60), 30)
    await backend.close()


def test_a_loop_that_is_gone_does_not_stop_the_thread(store: Store) -> None:
    backend = AsyncThreadedBackend(store)

    async def leave_in_the_middle() -> None:
        store.gate.clear()
        asyncio.create_task(backend.execute([Ping()]))  # noqa: RUF006 - left on purpose
        await asyncio.sleep(0)

    asyncio.run(leave_in_the_middle())
    store.gate.set()

    async def go_on() -> None:
        assert await backend.execute([Ping()]) == [Pong(1)]
        await backend.close()

    asyncio.run(go_on())


async def test_looking_leaves_room_for_batches(store: Store) -> None:
    backend = AsyncThreadedBackend(store)
    store.look_takes = 0.02
    began = monotonic()
    await backend.execute([acquire(7)])
    while store.looks < 5:
        await backend.execute([Ping()])
    assert monotonic() - began > 3 * store.looks * store.look_takes
    await backend.close()


# In threads ------------------------------------------------------------------


def test_a_thread_that_comes_after_the_end_is_sent_away(store: Store) -> None:
    backend = ThreadedBackend(store)
    store.gate.clear()
    first = threading.Thread(target=backend.execute, args=([Ping()],))
    first.start()
    eventually(backend._mutex.locked)
    closing = threading.Thread(target=backend.close)
    closing.start()
    store.gate.set()
    first.join()
    closing.join()
    outcomes = backend.execute([acquire(7), Ping()])
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    assert len(store.batches) == 1
    backend.open()
    assert backend.execute([Ping()]) == [Pong(1)]


def test_a_thread_carries_out_its_own_batch(store: Store) -> None:
    backend = ThreadedBackend(store)
    backend.open()
    assert backend.execute([Ping()]) == [Pong(1)]
    assert store.threads == {threading.get_ident()}
    backend.close()
    assert store.closed


def test_a_thread_that_waits_is_woken_by_a_batch_and_by_looking(store: Store) -> None:
    backend = ThreadedBackend(store)
    backend.execute([acquire(7), acquire(8)])
    woken: list[int] = []

    def wait(ticket: int) -> None:
        backend.wait(ticket, 60)
        woken.append(ticket)

    threads = {ticket: threading.Thread(target=wait, args=(ticket,)) for ticket in (7, 8)}
    for thread in threads.values():
        thread.start()
    store.given = [7]
    backend.execute([Ping()])
    threads[7].join(30)
    assert woken == [7]
    store.found = {8}
    threads[8].join(30)
    assert woken == [7, 8]
    store.answers[Acquire] = Granted(1, 1)
    backend.execute([acquire(7), acquire(8)])
    poller = [each for each in threading.enumerate() if each.name == "sessiontracker-poll"]
    for thread in poller:
        thread.join(30)
        assert not thread.is_alive()  # nobody waits any more
    backend.close()


# The line --------------------------------------------------------------------


def test_who_does_not_look_any_more_leaves_the_line(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("sessiontracker.blocking.monotonic", lambda: now)
    line = Line()
    line.note([acquire(7, 1_000), acquire(8, 10_000)], [Queued("", 0, 1)] * 2)
    now += 1.9
    line.look(store)
    assert store.looks == 1
    now += 0.2
    store.found = {7, 8}
    assert list(line.look(store)) == [8]
    assert not line


def test_the_line_is_left_by_a_grant_and_by_a_release(store: Store) -> None:
    line = Line()
    line.note([acquire(7), acquire(8)], [Queued("", 0, 1)] * 2)
    line.note([acquire(7)], [Granted(1, 1)])
    assert line
    line.note([Release(HERE, 8)], [Released()])
    assert not line


def test_all_are_woken_though_more_come_meanwhile() -> None:
    wakes = Wakes()
    wakes.note(Acquire(HERE, 1, 60_000), Queued("", 0, 0))

    class Event:
        def set(self) -> None:
            wakes.note(Acquire(HERE, 2, 60_000), Queued("", 0, 0))

    wakes._events[1] = Event()  # type: ignore[assignment]
    wakes.wake_all()
    assert set(wakes) == {1, 2}
