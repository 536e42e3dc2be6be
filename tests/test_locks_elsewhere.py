"""Sessions in one backend and their locks in another: the parts instead of the fused steps."""

from __future__ import annotations

from typing import Any

import pytest

from sessiontracker import (
    BackendUnavailableError,
    LockLostError,
    SessionFinishedError,
    SessionNotFoundError,
    StaleSessionError,
)
from sessiontracker.operations import Acquire, Read, Release, Start, Write
from tests.clock import Clock
from tests.faulty import Faults, FaultyAsyncTracker, FaultyTracker, locks_left
from tests.trackers import KEY, MEMORY, Checkout, is_free, opened

APART = [arrangement for arrangement in MEMORY if not arrangement.fused]


@pytest.fixture(params=APART, ids="-".join)
async def tracker(request: pytest.FixtureRequest, clock: Clock) -> Any:
    async with opened(request.param, clock, lock_wait="50ms") as tracker:
        yield tracker


async def test_a_cycle_saves_and_lets_go(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    for number in range(3):
        async with tracker.get_locked(Checkout, KEY) as session:
            assert not await is_free(tracker)
            session.count += 1
        assert session.version == number + 2
        assert await is_free(tracker)
    assert (await tracker.get(Checkout, KEY)).count == 3


async def test_the_parts_are_sent_to_where_they_belong() -> None:
    config = APART[0].config(None)
    async with FaultyAsyncTracker(config) as tracker:
        await tracker.start(Checkout(key=KEY))
        storage, locking = (tracker.faults[name] for name in ("memory1", "memory2"))
        storage.batches.clear()
        async with tracker.get_locked(Checkout, KEY) as session:
            token = tracker.lock_of(session).token
            session.count = 1
        async with tracker.get_locked(Checkout, KEY):
            pass
        assert [type(o) for o in storage.log] == [Read, Write, Read, Read]
        assert [type(o) for o in locking.log] == [Acquire, Release, Acquire, Release]
        read, write = storage.log[:2]
        assert read.lock.elsewhere
        assert write.lock.elsewhere
        assert read.lock.token == write.lock.token == token


async def test_one_backend_is_asked_fused_steps() -> None:
    async with FaultyAsyncTracker() as tracker:
        await tracker.start(Checkout(key=KEY))
        (faults,) = tracker.faults.values()
        faults.batches.clear()
        async with tracker.get_locked(Checkout, KEY) as session:
            session.count = 1
        async with tracker.get_locked(Checkout, KEY):
            pass
        assert [type(o) for o in faults.log] == [Acquire, Write, Acquire, Release]
        assert faults.log[0].read
        assert faults.log[1].release


async def test_missing_is_started_under_the_lock(tracker: Any) -> None:
    given = Checkout()
    async with tracker.get_locked(Checkout, KEY, missing=given) as session:
        assert session is given
        session.count = 1
    async with tracker.get_locked(Checkout, KEY, missing=Checkout(count=9)) as session:
        assert session.count == 1


async def test_a_missing_or_finished_session_leaves_no_lock(tracker: Any) -> None:
    with pytest.raises(SessionNotFoundError):
        async with tracker.get_locked(Checkout, KEY):
            pytest.fail("there is none")
    assert await is_free(tracker)
    await tracker.start(Checkout(key=KEY))
    await tracker.finish(Checkout, KEY)
    with pytest.raises(SessionFinishedError):
        async with tracker.get_locked(Checkout, KEY):
            pytest.fail("it is finished")
    assert await is_free(tracker)


async def test_a_stale_holder_is_refused_by_the_token_that_a_newer_one_registered(
    tracker: Any, clock: Clock
) -> None:
    await tracker.start(Checkout(key=KEY))
    with pytest.raises(LockLostError):
        async with tracker.get_locked(Checkout, KEY) as stale:
            clock.move(31)  # its lease is over, and it does not know
            async with tracker.get_locked(Checkout, KEY) as newer:
                for call in (tracker.update, tracker.finish, tracker.rotate):
                    with pytest.raises(LockLostError):
                        await call(stale)
                newer.count = 1
            stale.count = 2
    assert (await tracker.get(Checkout, KEY)).count == 1


async def test_a_stale_holder_cannot_start_either(tracker: Any, clock: Clock) -> None:
    await tracker.start(Checkout(key=KEY))
    with pytest.raises(LockLostError):
        async with tracker.lock(Checkout, KEY) as stale:
            clock.move(31)
            async with tracker.get_locked(Checkout, KEY):
                pass
            await tracker.delete(Checkout, KEY)
            with pytest.raises(LockLostError):
                await tracker.start(Checkout(key=KEY), lock=stale)
            await tracker.start(Checkout(key=KEY, count=1))
    assert (await tracker.get(Checkout, KEY)).count == 1


async def test_a_write_from_elsewhere_is_decided_by_the_version(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    other = await tracker.get(Checkout, KEY)
    with pytest.raises(StaleSessionError):
        async with tracker.get_locked(Checkout, KEY) as session:
            other.count = 1
            await tracker.update(other)
            session.count = 2
    assert (await tracker.get(Checkout, KEY)).count == 1
    assert await is_free(tracker)


@pytest.mark.parametrize("changed", [False, True])
async def test_a_clean_exit_whose_session_somebody_ended(tracker: Any, changed: bool) -> None:
    await tracker.start(Checkout(key=KEY))
    with pytest.raises(SessionFinishedError):
        async with tracker.get_locked(Checkout, KEY) as session:
            await tracker.finish(Checkout, KEY)
            session.paid = changed
    with pytest.raises(SessionNotFoundError):
        async with tracker.get_locked(Checkout, KEY, missing=Checkout()) as session:
            await tracker.delete(Checkout, KEY)
            session.paid = changed
    if not changed:
        with pytest.raises(SessionNotFoundError):
            async with tracker.get_locked(Checkout, KEY, missing=Checkout()) as session:
                await tracker.delete(Checkout, KEY)
                await tracker.start(Checkout(key=KEY))  # another life
    assert await is_free(tracker)


@pytest.mark.parametrize("changed", [False, True])
async def test_a_clean_exit_whose_lease_ran_out(tracker: Any, clock: Clock, changed: bool) -> None:
    """Nobody took over: what is changed may be saved, and what is not changed says so."""
    await tracker.start(Checkout(key=KEY))
    if changed:
        async with tracker.get_locked(Checkout, KEY) as session:
            clock.move(31)
            session.count = 1
        assert (await tracker.get(Checkout, KEY)).count == 1
    else:
        with pytest.raises(LockLostError):
            async with tracker.get_locked(Checkout, KEY):
                clock.move(31)


def refusing(kind: type) -> Any:
    return lambda operation: "away" if type(operation) is kind else ""


@pytest.mark.parametrize("kind", [Read, Start])
async def test_a_storage_that_is_away_leaves_no_lock(kind: type) -> None:
    config = APART[0].config(None, operation_timeout="50ms")
    async with FaultyAsyncTracker(config) as tracker:
        if kind is Read:
            await tracker.start(Checkout(key=KEY))
        missing = None if kind is Read else Checkout()
        storage: Faults = tracker.faults["memory1"]
        storage.rule = refusing(kind)
        with pytest.raises(BackendUnavailableError, match="nothing was done"):
            async with tracker.get_locked(Checkout, KEY, missing=missing):
                pytest.fail("it cannot be read")
        storage.rule = lambda operation: ""
        async with tracker.lock(Checkout, KEY, wait=10):
            pass
        stores = tracker.stores
    assert locks_left(stores) == []


@pytest.mark.parametrize("changed", [False, True])
def test_a_storage_that_is_away_when_the_block_is_left_keeps_no_lock(changed: bool) -> None:
    config = APART[0].config(None, operation_timeout="1s")
    with FaultyTracker(config) as tracker:
        tracker.start(Checkout(key=KEY))
        with pytest.raises(BackendUnavailableError, match="nothing was done"):  # noqa: SIM117
            with tracker.get_locked(Checkout, KEY) as session:
                tracker.faults["memory1"].rule = refusing(Write if changed else Read)
                session.paid = changed
        assert locks_left(tracker.stores) == []
