"""Leases: lost in every way, and whose cancellation is whose."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from msgspec.structs import replace

from sessiontracker import (
    AsyncSessionTracker,
    LockLostError,
    LockNotAcquiredError,
    SessionTracker,
)
from sessiontracker.operations import Acquire, Granted, Renew
from tests.clock import Clock
from tests.faulty import Faults, FaultyAsyncTracker, FaultyTracker, locks_left
from tests.trackers import MEMORY, Checkout, holding, opened

KEY = "order-42"


def lapse(store: Any) -> None:
    """As if all leases in ``store`` had been taken by somebody else."""
    store._store.slots.clear()


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


# An answer that comes too late ------------------------------------------------


def late(faults: Faults, times: int = 1, seconds: float = 0.4) -> None:
    """The answers to the first ``times`` requests for a lock come so late, or later."""
    asked = 0

    def rule(operation: Any) -> str:
        nonlocal asked
        if type(operation) is Acquire:
            asked += 1
            faults.delay = seconds if asked <= times else 0
        return ""

    faults.rule = rule


async def test_a_lock_that_came_after_its_lease_is_asked_for_again() -> None:
    async with FaultyAsyncTracker() as tracker:
        faults = tracker.faults["memory"]
        for wait in (0, 10):
            late(faults)
            async with tracker.lock(Checkout, KEY, lease=1.0, wait=wait) as lock:
                assert lock.expires_in > 0.3
                (kept,) = locks_left(tracker.stores)
                assert kept.lease.token == lock.token
                lock.check()
        assert len({asked.ticket for asked in faults.asked(Acquire)}) == 2
        assert not locks_left(tracker.stores)


def test_threads_ask_again_for_a_lock_that_came_after_its_lease() -> None:
    with FaultyTracker() as tracker:
        tracker.start(Checkout(key=KEY))
        late(tracker.faults["memory"], seconds=0.8)
        with tracker.get_locked(Checkout, KEY, lease=1.0, wait=0) as session:
            assert tracker.lock_of(session).expires_in > 0.3
            session.count = 1
        assert tracker.get(Checkout, KEY).count == 1
        assert not locks_left(tracker.stores)


async def test_a_lock_whose_answers_were_lost_until_its_lease_was_over_is_held() -> None:
    """Its lease is counted from when it was asked for first: each loss makes it shorter."""
    async with FaultyAsyncTracker() as tracker:
        until = time.monotonic() + 1.2

        def rule(operation: Any) -> str:
            return "after" if type(operation) is Acquire and time.monotonic() < until else ""

        tracker.faults["memory"].rule = rule
        async with tracker.lock(Checkout, KEY, lease=1.0) as lock:
            assert lock.expires_in > 0.3
        assert not locks_left(tracker.stores)


async def test_a_session_that_began_under_a_lock_that_came_late_is_begun_once() -> None:
    async with FaultyAsyncTracker() as tracker:
        late(tracker.faults["memory"])
        missing = Checkout(count=3)
        async with tracker.get_locked(Checkout, KEY, lease=1.0, missing=missing) as session:
            assert session is missing
            session.count += 1
        session = await tracker.get(Checkout, KEY)
        assert (session.count, session.version) == (4, 2)


async def test_a_lock_that_never_comes_in_time_is_lost_before_its_block_begins() -> None:
    async with FaultyAsyncTracker() as tracker:
        faults = tracker.faults["memory"]
        for wait, most in ((0, 2), (1, 3)):
            before = len(faults.asked(Acquire))
            late(faults, times=10, seconds=0.6)
            with pytest.raises(LockLostError, match="lease"):
                async with tracker.lock(Checkout, KEY, lease=1.0, wait=wait):
                    pytest.fail("it is not held")
            assert 2 <= len(faults.asked(Acquire)) - before <= most
        faults.delay = 0
        await asyncio.wait_for(tracker.close(), 20)
        assert not locks_left(tracker.stores)


async def test_who_took_the_lock_of_one_who_heard_of_it_too_late_has_it() -> None:
    async with FaultyAsyncTracker() as tracker:
        faults = tracker.faults["memory"]
        late(faults, seconds=1.2)
        is_late = faults.rule

        def rule(operation: Any) -> str:
            if len(faults.asked(Acquire)) == 2:
                other = replace(operation, ticket=1, lease=60_000, holder="another")
                assert type(tracker.stores["memory"].at_once(other)) is Granted
            return is_late(operation)

        faults.rule = rule
        with pytest.raises(LockNotAcquiredError, match="another"):
            async with tracker.lock(Checkout, KEY, lease=1.0, wait=0):
                pytest.fail("it is not held")
        (kept,) = locks_left(tracker.stores)
        assert kept.lease.ticket == 1
        assert not kept.queue


async def test_who_is_cancelled_while_it_asks_again_leaves_nothing() -> None:
    async with FaultyAsyncTracker() as tracker:
        faults = tracker.faults["memory"]
        late(faults, times=2)
        is_late, asks_again = faults.rule, asyncio.Event()

        def rule(operation: Any) -> str:
            if len(faults.asked(Acquire)) == 2:
                asks_again.set()
            return is_late(operation)

        faults.rule = rule
        entering = asyncio.create_task(holding(tracker, KEY, asyncio.Event(), lease=1.0))
        await asyncio.wait_for(asks_again.wait(), 20)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        faults.delay = 0
        await asyncio.wait_for(tracker.close(), 20)
        assert not locks_left(tracker.stores)


# Whose cancellation ----------------------------------------------------------


async def test_a_caller_s_cancellation_is_its_own() -> None:
    async with AsyncSessionTracker() as tracker:
        entered = asyncio.Event()
        task = asyncio.create_task(holding(tracker, KEY, entered))
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
        task = asyncio.create_task(holding(tracker, KEY, entered, lease=0.3))
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
                group.create_task(holding(tracker, KEY, entered))
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
