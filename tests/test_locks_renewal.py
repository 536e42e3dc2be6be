"""Leases: renewed at a third, lost in every way, and whose cancellation is whose."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
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
from tests.faulty import FaultyAsyncTracker, FaultyTracker, locks_left
from tests.paced import attempts
from tests.trackers import MEMORY, Checkout, Clock, opened

KEY = "order-42"


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        await asyncio.sleep(0.005)


def lapse(store: Any) -> None:
    """As if all leases in ``store`` had been taken by somebody else."""
    store._store.slots.clear()


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
    async with FaultyAsyncTracker() as tracker:
        faults = tracker.faults["memory"]
        async with tracker.lock(Checkout, KEY, lease=0.3) as lock:
            faults.delay = 0.05
            await until(lambda: faults.asked(Renew))
        renewed = len(faults.asked(Renew))
        await asyncio.sleep(0.3)
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


# Loss ------------------------------------------------------------------------


async def test_a_refused_renewal_cancels_the_body_with_lock_lost() -> None:
    async with AsyncSessionTracker() as tracker:
        await tracker.start(Checkout(key=KEY))
        inside = asyncio.CancelledError
        with pytest.raises(LockLostError, match="lease ran out"):
            async with tracker.get_locked(Checkout, KEY, lease=0.3):
                lapse(tracker._askers["memory"].backend)
                try:
                    await asyncio.sleep(60)
                except BaseException as error:
                    inside = type(error)  # type: ignore[assignment]
                    raise
        assert inside is asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)


async def test_a_store_that_is_away_for_the_lease_cancels_the_body_at_its_deadline() -> None:
    async with FaultyAsyncTracker() as tracker:
        faults = tracker.faults["memory"]
        faults.rule = lambda o: "away" if type(o) is Renew else ""
        began = time.monotonic()
        with pytest.raises(LockLostError):
            async with tracker.lock(Checkout, KEY, lease=0.3):
                await asyncio.sleep(60)
        assert 0.25 < time.monotonic() - began < 30


async def test_a_store_that_hangs_for_the_lease_cancels_the_body_at_its_deadline() -> None:
    async with FaultyAsyncTracker() as tracker:
        faults = tracker.faults["memory"]
        with pytest.raises(LockLostError):
            async with tracker.lock(Checkout, KEY, lease=0.3) as lock:
                faults.delay = 1
                await asyncio.sleep(60)
        assert lock.lost
        faults.delay = 0


async def test_lost_can_be_awaited() -> None:
    async with AsyncSessionTracker() as tracker:
        with pytest.raises(LockLostError):
            async with tracker.lock(Checkout, KEY, lease=0.3) as lock:
                watchers = [asyncio.create_task(_until_lost(lock)) for _ in range(3)]
                lapse(tracker._askers["memory"].backend)
                try:
                    await asyncio.sleep(60)
                finally:
                    assert await asyncio.gather(*watchers) == [True] * 3
        assert lock.lost


async def _until_lost(lock: Any) -> bool:
    await lock.lost
    return bool(lock.lost)


def test_in_threads_the_next_call_raises_and_lost_can_be_waited_for() -> None:
    with SessionTracker() as tracker:
        tracker.start(Checkout(key=KEY))
        with pytest.raises(LockLostError):  # noqa: SIM117
            with tracker.get_locked(Checkout, KEY, lease=0.3) as session:
                lock = tracker.lock_of(session)
                lapse(tracker._askers["memory"].backend)
                assert lock.lost.wait(20)
                session.count = 1
                with pytest.raises(LockLostError):
                    lock.check()
                with pytest.raises(LockLostError):
                    tracker.update(session)


@pytest.mark.parametrize("arrangement", MEMORY[:2], ids="-".join)
async def test_a_process_frozen_past_its_lease_cannot_write(arrangement: Any) -> None:
    clock = Clock()
    async with opened(arrangement, clock, lock_lease="200ms") as tracker:
        await tracker.start(Checkout(key=KEY))
        with pytest.raises(LockLostError):
            async with tracker.get_locked(Checkout, KEY) as session:
                lock = tracker.lock_of(session)
                time.sleep(0.25)  # noqa: ASYNC251 - nothing runs, no renewal either
                clock.move(0.25)
                assert lock.expires_in == 0
                with pytest.raises(LockLostError):
                    await tracker.update(session)
                with pytest.raises(LockLostError):
                    lock.check()
                session.count = 1
        assert (await tracker.get(Checkout, KEY)).count == 0


async def test_after_a_frozen_body_its_task_is_not_cancelled_by_the_way() -> None:
    """Being told by an error is enough: nothing strikes at a later await."""
    async with AsyncSessionTracker() as tracker:
        async with asyncio.timeout(20):
            with pytest.raises(LockLostError):
                async with tracker.lock(Checkout, KEY, lease=0.2) as lock:
                    time.sleep(0.25)  # noqa: ASYNC251
                    with pytest.raises(LockLostError):
                        lock.check()
                    await asyncio.sleep(0.3)
            await asyncio.sleep(0.05)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_a_check_by_a_helper_task_cancels_the_body() -> None:
    async with AsyncSessionTracker() as tracker:
        with pytest.raises(LockLostError):
            async with tracker.lock(Checkout, KEY, lease=0.2) as lock:
                time.sleep(0.25)  # noqa: ASYNC251

                async def helper() -> None:
                    with pytest.raises(LockLostError):
                        lock.check()

                helping = asyncio.create_task(helper())
                try:
                    await asyncio.sleep(60)
                finally:
                    await helping


async def test_a_lost_lock_is_not_renewed_any_more() -> None:
    clock = Clock()  # it stands still: the store would renew for ever
    async with FaultyAsyncTracker(
        {"backends": {"memory": {"use": "memory", "clock": clock}}}
    ) as tracker:
        faults = tracker.faults["memory"]
        with pytest.raises(LockLostError):
            async with tracker.lock(Checkout, KEY, lease=0.3) as lock:
                faults.delay = 0.5  # the answer comes long after the deadline
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    faults.delay = 0
                    renewed = len(faults.asked(Renew))
                    await asyncio.sleep(1.5)
                    assert len(faults.asked(Renew)) == renewed
                    assert lock.expires_in == 0
                    raise


# Whose cancellation ----------------------------------------------------------


async def _holding(tracker: Any, entered: asyncio.Event, lease: float = 30) -> None:
    async with tracker.lock(Checkout, KEY, lease=lease):
        entered.set()
        await asyncio.sleep(60)


async def test_a_caller_s_cancellation_is_its_own() -> None:
    async with AsyncSessionTracker() as tracker:
        entered = asyncio.Event()
        task = asyncio.create_task(_holding(tracker, entered))
        await entered.wait()
        task.cancel("mine")
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
        assert raised.value.args == ("mine",)
        assert task.cancelled()
        async with tracker.lock(Checkout, KEY, wait=5):
            pass


async def test_a_caller_s_cancellation_beside_the_loss_is_not_swallowed() -> None:
    async with AsyncSessionTracker() as tracker:
        entered = asyncio.Event()
        task = asyncio.create_task(_holding(tracker, entered, lease=0.3))
        await entered.wait()
        held = next(iter(tracker._keeper._held.values()))
        task.cancel()
        held.lock._lose()  # both within one tick
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()


async def test_a_timeout_around_and_one_inside_keep_their_meaning() -> None:
    async with AsyncSessionTracker() as tracker:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                async with tracker.lock(Checkout, KEY):
                    await asyncio.sleep(60)
        async with tracker.lock(Checkout, KEY, wait=5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await asyncio.sleep(60)
        with pytest.raises(LockLostError):
            async with asyncio.timeout(60), tracker.lock(Checkout, KEY, lease=0.3):
                lapse(tracker._askers["memory"].backend)
                async with asyncio.timeout(60):
                    await asyncio.sleep(60)
        async with asyncio.timeout(60):
            await asyncio.sleep(0)


async def test_a_task_group_inside_is_cancelled_and_reports_the_loss() -> None:
    ended = 0

    async def child() -> None:
        nonlocal ended
        try:
            await asyncio.sleep(60)
        finally:
            ended += 1

    async with AsyncSessionTracker() as tracker:
        with pytest.raises(LockLostError):
            async with tracker.lock(Checkout, KEY, lease=0.3):
                lapse(tracker._askers["memory"].backend)
                async with asyncio.TaskGroup() as group:
                    for _ in range(3):
                        group.create_task(child())
        assert ended == 3
        # And around: an error of a sibling cancels the body, and is what the group raises.
        with pytest.raises(ExceptionGroup) as raised:
            async with asyncio.TaskGroup() as group:
                entered = asyncio.Event()
                group.create_task(_holding(tracker, entered))
                await entered.wait()
                raise ValueError("a sibling's")
        assert [type(error) for error in raised.value.exceptions] == [ValueError]
        assert locks_left({"": tracker._askers["memory"].backend}) == []


async def test_two_locks_lost_at_once_raise_once() -> None:
    async with AsyncSessionTracker() as tracker:
        with pytest.raises(LockLostError):
            async with (
                tracker.lock(Checkout, "outer", lease=0.3),
                tracker.lock(Checkout, "inner", lease=0.3),
            ):
                lapse(tracker._askers["memory"].backend)
                await asyncio.sleep(60)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0.01)


async def test_the_outer_lock_lost_lets_the_inner_one_go() -> None:
    async with AsyncSessionTracker() as tracker:
        store = tracker._askers["memory"].backend
        with pytest.raises(LockLostError, match="outer"):
            async with tracker.lock(Checkout, "outer", lease=0.3):
                lapse(store)
                async with tracker.lock(Checkout, "inner"):
                    await asyncio.sleep(60)
        assert locks_left({"": store}) == []


async def test_an_error_of_the_body_is_not_replaced_by_the_loss() -> None:
    async with AsyncSessionTracker() as tracker:
        with pytest.raises(ValueError, match="mine"):
            async with tracker.lock(Checkout, KEY, lease=0.3):
                lapse(tracker._askers["memory"].backend)
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    raise ValueError("mine") from None
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_a_body_that_swallows_the_cancellation_is_told_when_it_leaves() -> None:
    async with AsyncSessionTracker() as tracker:
        await tracker.start(Checkout(key=KEY))
        with pytest.raises(LockLostError):
            async with tracker.get_locked(Checkout, KEY, lease=0.3) as session:
                lapse(tracker._askers["memory"].backend)
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.sleep(60)
                session.count = 1


# Closing and other loops -----------------------------------------------------


async def test_close_waits_for_releases_under_way() -> None:
    tracker = FaultyAsyncTracker()
    await tracker.open()
    entered = asyncio.Event()
    task = asyncio.create_task(_holding(tracker, entered))
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
    holder = asyncio.create_task(_holding(tracker, entered))
    await entered.wait()
    waiter = asyncio.create_task(_holding(tracker, asyncio.Event()))
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
