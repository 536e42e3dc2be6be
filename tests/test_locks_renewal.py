"""Leases: renewed at a third, and let go of when a tracker closes."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from typing import Any

import pytest

from sessiontracker import (
    AsyncSessionTracker,
    BackendUnavailableError,
    LockLostError,
    SessionTracker,
    SessionTrackerError,
)
from sessiontracker._async.renewals import AsyncRenewals
from sessiontracker.operations import Acquire, Release, Renew
from tests.conditions import until
from tests.faulty import FaultyAsyncTracker, FaultyTracker, locks_left
from tests.paced import attempts
from tests.trackers import MEMORY, Checkout, holding, opened

KEY = "order-42"

# Renewal ---------------------------------------------------------------------


@pytest.mark.parametrize("arrangement", MEMORY, ids="-".join)
async def test_a_long_body_keeps_its_lock(arrangement: Any) -> None:
    for attempt in attempts(stands=0.1):
        with attempt as pace:
            async with opened(arrangement) as tracker:
                await tracker.start(Checkout(key=KEY))
                async with tracker.get_locked(Checkout, KEY, lease=0.3 * pace) as session:
                    lock = tracker.lock_of(session)
                    end = time.monotonic() + 0.75 * pace
                    while time.monotonic() < end:
                        await asyncio.sleep(0.02)
                        lock.check()
                        assert 0 < lock.expires_in <= 0.3 * pace
                    session.count = 1
                assert (await tracker.get(Checkout, KEY)).count == 1


async def test_it_is_renewed_at_a_third_of_the_lease_with_its_very_token() -> None:
    async with FaultyAsyncTracker() as tracker:
        faults = tracker.faults["memory"]
        async with tracker.lock(Checkout, KEY, lease=3) as lock:
            began = time.monotonic()
            await until(lambda: faults.asked(Renew))
            assert time.monotonic() - began > 0.9
        (acquire,) = faults.asked(Acquire)
        for renew in faults.asked(Renew):
            assert (renew.ticket, renew.token, renew.lease) == (acquire.ticket, lock.token, 3_000)


async def test_locks_of_different_leases_are_each_renewed_in_time() -> None:
    for attempt in attempts(stands=0.1):
        with attempt as pace:
            async with (
                AsyncSessionTracker() as tracker,
                tracker.lock(Checkout, "long", lease=30 * pace) as long,
                tracker.lock(Checkout, "short", lease=0.3 * pace) as short,
                tracker.lock(Checkout, "middle", lease=0.8 * pace) as middle,
            ):
                end = time.monotonic() + 1.2 * pace
                while time.monotonic() < end:
                    await asyncio.sleep(0.02)
                    for lock in (long, short, middle):
                        lock.check()


async def test_many_locks_are_renewed_in_one_batch() -> None:
    async with FaultyAsyncTracker() as tracker:
        faults = tracker.faults["memory"]
        async with asyncio.TaskGroup() as group:
            held = 0

            async def hold(number: int) -> None:
                nonlocal held
                async with tracker.lock(Checkout, f"{number}", lease=3) as lock:
                    held += 1
                    await until(lambda: len(faults.asked(Renew)) >= 100)
                    lock.check()

            for number in range(100):
                group.create_task(hold(number))
        batches = [b for b in faults.batches if any(type(o) is Renew for o in b)]
        assert held == 100
        assert len(batches) < 20


async def test_locks_let_go_at_once_do_not_wake_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns: list[float] = []
    pause = AsyncRenewals._pause

    def counted(self: AsyncRenewals, now: float) -> float | None:
        turns.append(now)
        return pause(self, now)

    monkeypatch.setattr(AsyncRenewals, "_pause", counted)
    async with AsyncSessionTracker() as tracker:
        for _ in range(20):
            async with tracker.lock(Checkout, KEY):
                pass  # the worker has no turn while it is held
            await asyncio.sleep(0.001)
        assert 0 < len(turns) <= 2


async def test_a_lock_let_go_while_it_is_renewed_does_not_come_back() -> None:
    for attempt in attempts(stands=0.1):
        with attempt as pace:
            async with FaultyAsyncTracker() as tracker:
                faults = tracker.faults["memory"]
                async with tracker.lock(Checkout, KEY, lease=0.3 * pace) as lock:
                    faults.delay = 0.05 * pace
                    await until(partial(faults.asked, Renew))
                renewed = len(faults.asked(Renew))
                await asyncio.sleep(0.3 * pace)
                assert len(faults.asked(Renew)) == renewed
                assert not lock.lost
                assert locks_left(tracker.stores) == []


async def test_a_failing_renewal_is_tried_again_until_it_works() -> None:
    async with FaultyAsyncTracker() as tracker:
        faults = tracker.faults["memory"]
        faults.rule = lambda o: "away" if type(o) is Renew and len(faults.asked(Renew)) < 5 else ""
        async with tracker.lock(Checkout, KEY, lease=3) as lock:
            await until(lambda: len(faults.asked(Renew)) >= 5 and lock.expires_in > 2)
            lock.check()


def test_a_backend_that_hangs_delays_no_other_s_renewals() -> None:
    config = {
        "backends": {"slow": {"use": "memory"}, "quick": {"use": "memory"}},
        "defaults": {"storage": "quick"},
        "sessions": {"checkout": {"storage": "slow"}},
    }

    class Quick(Checkout, name="quick"):
        pass

    for attempt in attempts(stands=0.2):
        with (
            attempt as pace,
            FaultyTracker(config) as tracker,
            tracker.lock(Checkout, "long", lease=3 * pace),  # renewed after 1, answered after 2
            tracker.lock(Quick, KEY, lease=0.6 * pace) as lock,
        ):
            slow = tracker.faults["slow"]
            slow.delay = pace
            end = time.monotonic() + 2 * pace
            while time.monotonic() < end:
                time.sleep(0.02)
                lock.check()
            slow.delay = 0
            assert slow.asked(Renew)


# Closing and other loops -----------------------------------------------------


async def test_close_waits_for_releases_under_way() -> None:
    tracker = FaultyAsyncTracker()
    await tracker.open()
    entered = asyncio.Event()
    task = asyncio.create_task(holding(tracker, KEY, entered))
    await entered.wait()
    tracker.faults["memory"].delay = 0.2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert locks_left(tracker.stores)
    await tracker.close()
    assert tracker.faults["memory"].asked(Release)
    assert locks_left(tracker.stores) == []
    assert tracker.faults["memory"].closed == 1


async def test_a_tracker_closed_while_locks_are_held() -> None:
    tracker = FaultyAsyncTracker()
    await tracker.open()
    await tracker.start(Checkout(key=KEY))
    began = time.monotonic()
    with pytest.raises(BackendUnavailableError, match="closed"):
        async with tracker.get_locked(Checkout, KEY) as session:
            session.count = 1
            await tracker.close()
            asked = len(tracker.faults["memory"].log)
    assert time.monotonic() - began < 4  # it does not try until the operation timeout
    assert len(tracker.faults["memory"].log) == asked
    await until(lambda: len(asyncio.all_tasks()) == 1)


@pytest.mark.parametrize("arrangement", MEMORY, ids="-".join)
async def test_after_close_nothing_is_taken_for_saved(arrangement: Any) -> None:
    async with opened(arrangement) as tracker:
        await tracker.start(Checkout(key=KEY))
        with pytest.raises(BackendUnavailableError, match="closed"):
            async with tracker.get_locked(Checkout, KEY) as session:
                session.count = 1
                await tracker.close()
        assert session.version == 1


async def test_close_sends_those_away_who_wait() -> None:
    tracker = AsyncSessionTracker()
    await tracker.open()
    entered = asyncio.Event()
    holder = asyncio.create_task(holding(tracker, KEY, entered))
    await entered.wait()
    waiter = asyncio.create_task(holding(tracker, KEY, asyncio.Event()))
    await asyncio.sleep(0.01)
    began = time.monotonic()
    await tracker.close()
    with pytest.raises(BackendUnavailableError, match="closed"):
        await waiter
    assert time.monotonic() - began < 8  # and not when its wait is over
    holder.cancel()
    await asyncio.wait([holder])


def test_close_sends_threads_away_that_wait() -> None:
    tracker = SessionTracker()
    tracker.open()
    errors: list[Exception] = []

    def wait() -> None:
        try:
            with tracker.lock(Checkout, KEY, wait=60):
                pass
        except SessionTrackerError as error:
            errors.append(error)

    store = tracker._askers["memory"].backend
    waiter = threading.Thread(target=wait)
    with pytest.raises(BackendUnavailableError, match="closed"):  # noqa: SIM117
        with tracker.lock(Checkout, KEY):
            waiter.start()
            while not len(store._wakes):  # type: ignore[attr-defined]
                time.sleep(0.005)
            tracker.close()
            waiter.join(8)
            assert not waiter.is_alive()
    (error,) = errors
    assert isinstance(error, BackendUnavailableError)


async def test_a_tracker_closed_while_its_store_is_away() -> None:
    tracker = FaultyAsyncTracker()
    await tracker.open()
    with pytest.raises((BackendUnavailableError, LockLostError)):
        async with tracker.lock(Checkout, KEY, lease=20):
            tracker.faults["memory"].rule = lambda operation: "away"
            await tracker.close()
    await until(lambda: len(asyncio.all_tasks()) == 1)


def test_a_synchronous_tracker_closed_while_locks_are_held_ends_its_thread() -> None:
    tracker = FaultyTracker()
    tracker.open()
    before = set(threading.enumerate())
    with pytest.raises(BackendUnavailableError, match="closed"):  # noqa: SIM117
        with tracker.lock(Checkout, KEY, lease=20):
            (worker,) = set(threading.enumerate()) - before
            assert worker.daemon
            tracker.close()
    assert not worker.is_alive()


async def test_one_backend_that_cannot_be_closed_keeps_no_other_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracker = FaultyAsyncTracker(MEMORY[1].config(None))
    await tracker.open()

    asked = 0

    async def broken() -> None:
        nonlocal asked
        asked += 1
        raise OSError("broken")

    for store in tracker.stores.values():
        store.close = broken
    await tracker.close()
    assert asked == 2
    assert "could not be closed" in caplog.text


def test_a_tracker_used_in_another_event_loop_says_so() -> None:
    tracker = FaultyAsyncTracker()
    asyncio.run(tracker.open())

    async def use() -> None:
        with pytest.raises(SessionTrackerError, match="another event loop"):
            await tracker.start(Checkout(key=KEY))
        with pytest.raises(SessionTrackerError, match="another event loop"):
            async with tracker.lock(Checkout, KEY):
                pytest.fail("nobody would renew it")

    asyncio.run(use())
    memory = AsyncSessionTracker()
    asyncio.run(memory.open())

    async def lock() -> None:
        with pytest.raises(SessionTrackerError, match="another event loop"):
            async with memory.lock(Checkout, KEY):
                pytest.fail("nobody would renew it")

    asyncio.run(lock())


async def test_a_block_left_by_another_task_leaves_nothing() -> None:
    async with AsyncSessionTracker() as tracker:
        block = tracker.lock(Checkout, KEY)
        await asyncio.create_task(block.__aenter__())
        await block.__aexit__(None, None, None)
        assert not tracker._keeper._held
        assert locks_left({"": tracker._askers["memory"].backend}) == []
