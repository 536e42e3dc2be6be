"""Opening and closing that are cancelled: whatever was opened is closed, and callers go at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sessiontracker import SessionTrackerError
from tests.faulty import FaultyAsyncTracker, locks_left
from tests.sweep.striking import Moment, struck
from tests.trackers import MEMORY, Checkout

KEY = "order-42"
MOMENTS = [Moment(turns) for turns in range(4)] + [Moment(answered=True)]
PARTED = MEMORY[1]
PAUSES = 5  # turns of the loop that a backend takes to open or to close, twice
MOST_TURNS = 4  # that a caller may take to end, cancelled


async def _enter(tracker: Any) -> None:
    async with tracker:
        pass


async def _open_twice(tracker: Any) -> None:
    await asyncio.gather(tracker.open(), tracker.open())
    await tracker.close()


def _new() -> Any:
    tracker: Any = FaultyAsyncTracker(PARTED.config(None))
    tracker.pauses = PAUSES
    return tracker


async def _at_every_point(
    prepare: Callable[[Any], Awaitable[Any]],
    call: Callable[[Any], Awaitable[Any]],
    moment: Moment,
) -> None:
    point = 0
    while True:
        point += 1
        tracker = _new()
        await prepare(tracker)
        done = await struck(call(tracker), point, moment)
        assert done.turns <= MOST_TURNS, f"cancelled at {point}"
        await tracker.close()  # waits for what goes on behind
        for faults in tracker.faults.values():
            assert faults.opened == faults.closed, f"cancelled at {point}"
        with pytest.raises(SessionTrackerError, match="not open"):
            await tracker.ping()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await tracker.open()
        await tracker.start(Checkout(key=KEY))
        await tracker.close()
        if done.is_beyond:
            break
    assert point > 1


async def _not_opened(tracker: Any) -> None:
    tracker.faults, tracker.stores = {}, {}


async def _opened(tracker: Any) -> None:
    await tracker.open()
    await tracker.start(Checkout(key=KEY))


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
@pytest.mark.parametrize("call", [FaultyAsyncTracker.open, _enter, _open_twice])
async def test_opening_cancelled_at_every_point_leaves_nothing_open(
    call: Any, moment: Moment
) -> None:
    await _at_every_point(_not_opened, call, moment)


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
async def test_closing_cancelled_at_every_point_closes_all_the_same(moment: Moment) -> None:
    await _at_every_point(_opened, FaultyAsyncTracker.close, moment)


async def test_a_lock_that_is_being_released_is_released_behind_a_cancelled_close() -> None:
    tracker = _new()
    await tracker.open()
    entered = asyncio.Event()

    async def hold() -> None:
        async with tracker.lock(Checkout, KEY):
            entered.set()
            await asyncio.sleep(60)

    holder = asyncio.create_task(hold())
    await entered.wait()
    for faults in tracker.faults.values():
        faults.pauses = 50
    holder.cancel()
    await asyncio.wait([holder])
    closing = asyncio.create_task(tracker.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    await tracker.close()
    assert locks_left(tracker.stores) == []


async def test_opening_that_takes_no_notice_of_being_cancelled_leaves_nothing_open() -> None:
    """As with asyncio.wait_for, before 3.12, when what it waits for is there at that moment."""
    tracker = _new()
    begun = asyncio.Event()

    def opener(name: str) -> Any:
        backend = FaultyAsyncTracker._opener(tracker, name)
        opened = backend.open

        async def open() -> None:
            begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await opened()

        backend.open = open
        return backend

    tracker._opener = opener
    opening = asyncio.create_task(tracker.open())
    await begun.wait()
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled()
    async with asyncio.timeout(20):
        while asyncio.all_tasks() != {asyncio.current_task()}:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.01)
    with pytest.raises(SessionTrackerError, match="not open"):
        await tracker.ping()
    for faults in tracker.faults.values():
        assert faults.opened == faults.closed


async def test_open_waits_for_a_close_that_was_cancelled() -> None:
    tracker = _new()
    await tracker.open()
    closing = asyncio.create_task(tracker.close())
    await asyncio.sleep(0)
    closing.cancel()
    await tracker.open()
    assert closing.cancelled()
    assert [(faults.opened, faults.closed) for faults in tracker.faults.values()] == [(2, 1)] * 2
    await tracker.start(Checkout(key=KEY))
    await tracker.close()


def test_many_open_and_close_it_in_one_loop_after_another() -> None:
    tracker = _new()

    async def life() -> None:
        await asyncio.gather(*(tracker.open() for _ in range(3)))
        await tracker.start(Checkout(key=KEY))
        await asyncio.gather(*(tracker.close() for _ in range(3)))

    for _ in range(2):
        asyncio.run(life())
    assert [(faults.opened, faults.closed) for faults in tracker.faults.values()] == [(2, 2)] * 2


async def test_whatever_becomes_of_one_backend_the_others_are_closed() -> None:
    tracker = _new()
    await tracker.open()
    for asker in tracker._askers.values():
        asker.backend.inner.close = _fail
    tracker._askers["memory1"].backend.inner.close = _end
    with pytest.raises(asyncio.CancelledError):
        await tracker.close()
    assert _closed == ["failed"]


_closed: list[str] = []


async def _fail() -> None:
    _closed.append("failed")
    raise RuntimeError("mine")


async def _end() -> None:
    """As when the loop ends, with all that goes on in it."""
    raise asyncio.CancelledError
