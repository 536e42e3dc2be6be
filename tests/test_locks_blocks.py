"""Locked sessions, sentence by sentence: who holds, what is refused, and how one begins."""

from __future__ import annotations

import copy
import logging
import pickle
from typing import Any

import pytest

from sessiontracker import (
    LockError,
    LockLostError,
    LockNotAcquiredError,
    SessionActiveError,
    SessionError,
    SessionFinishedError,
    SessionInProgressError,
    SessionLockedError,
    SessionNotFoundError,
)
from tests.clock import Clock
from tests.trackers import FUSED, KEY, Checkout, is_free, opened


@pytest.fixture(params=FUSED, ids="-".join)
async def tracker(request: pytest.FixtureRequest, clock: Clock) -> Any:
    async with opened(request.param, clock, lock_lease="30s", lock_wait="50ms") as tracker:
        yield tracker


# The holder is explicit, never ambient ---------------------------------------


async def test_the_holder_is_the_very_object_that_get_locked_gave(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    async with tracker.get_locked(Checkout, KEY) as session:
        session.count = 1
        assert await tracker.update(session) is session
        assert (session.version, session.count) == (2, 1)
        assert tracker.lock_of(session).token > 0
    assert session.version == 2


async def test_a_call_by_key_inside_the_body_is_anybody_s(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    async with tracker.get_locked(Checkout, KEY):
        with pytest.raises(SessionLockedError, match=r"get_locked\(\).*lock="):
            await tracker.finish(Checkout, KEY)


async def test_a_copy_keeps_key_and_version_and_is_never_the_holder(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    async with tracker.get_locked(Checkout, KEY) as session:
        for twin in (
            copy.copy(session),
            copy.deepcopy(session),
            session.__replace__(),
            pickle.loads(pickle.dumps(session)),
            await tracker.get(Checkout, KEY),
        ):
            assert (twin.key, twin.version) == (KEY, 1)
            for call in (tracker.update, tracker.finish, tracker.rotate):
                with pytest.raises(SessionLockedError):
                    await call(twin)
            with pytest.raises(LockError, match="holds no lock"):
                tracker.lock_of(twin)


async def test_after_its_block_the_object_is_no_holder(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    async with tracker.get_locked(Checkout, KEY) as session:
        lock = tracker.lock_of(session)
    with pytest.raises(LockError, match="holds no lock"):
        tracker.lock_of(session)
    with pytest.raises(LockLostError, match="inside its own block"):
        lock.check()
    with pytest.raises(LockLostError, match="inside its own block"):
        await tracker.update(session, lock=lock)
    assert not lock.lost
    assert lock.expires_in == 0
    await tracker.update(session)


async def test_every_call_that_writes_takes_a_lock(tracker: Any) -> None:
    async with tracker.lock(Checkout, KEY) as lock:
        session = await tracker.start(Checkout(key=KEY), lock=lock)
        await tracker.update(session, lock=lock)
        await tracker.finish(session, lock=lock)
        await tracker.resume(session, lock=lock)
        await tracker.finish(Checkout, KEY, lock=lock)
        await tracker.resume(Checkout, KEY, lock=lock)
        assert await tracker.delete(Checkout, KEY, lock=lock)
        session = await tracker.get_or_start(Checkout(key=KEY), lock=lock)
        await tracker.rotate(session, lock=lock)
        assert session.key.startswith("stk_")


async def test_a_lock_of_another_session_is_refused(tracker: Any) -> None:
    session = await tracker.start(Checkout(key=KEY))
    async with tracker.lock(Checkout, "another") as lock:
        with pytest.raises(LockError, match="another session"):
            await tracker.update(session, lock=lock)


# While a key is locked -------------------------------------------------------


async def test_what_a_lock_refuses_to_others(tracker: Any) -> None:
    session = await tracker.start(Checkout(key=KEY))
    finished = await tracker.start(Checkout(key="finished"))
    await tracker.finish(finished)
    async with (
        tracker.lock(Checkout, KEY),
        tracker.lock(Checkout, "finished"),
        tracker.lock(Checkout, "none"),
    ):
        for call in (
            tracker.start(Checkout(key="none")),
            tracker.get_or_start(Checkout(key="none")),
            tracker.update(session),
            tracker.finish(session),
            tracker.finish(Checkout, KEY),
            tracker.resume(Checkout, "finished"),
            tracker.resume(finished),
            tracker.rotate(session),
        ):
            with pytest.raises(SessionLockedError, match="is locked by") as refused:
                await call
            assert refused.value.holder
    assert (await tracker.update(session)).version == 2


async def test_what_a_lock_never_stops(tracker: Any) -> None:
    session = await tracker.start(Checkout(key=KEY))
    await tracker.start(Checkout(key="other"))
    await tracker.finish(Checkout, "other")
    async with tracker.lock(Checkout, KEY), tracker.lock(Checkout, "other"):
        assert (await tracker.get(Checkout, KEY)).version == 1
        assert (await tracker.get_or_start(Checkout(key=KEY))).version == 1
        assert (await tracker.get_finished(Checkout, "other")).version == 2
        assert list(await tracker.get_many(Checkout, [KEY])) == [KEY]
        await tracker.touch(session)
        with pytest.raises(SessionInProgressError):
            await tracker.start(Checkout(key=KEY))
        assert await tracker.delete(Checkout, KEY)


async def test_a_delete_from_elsewhere_goes_through_and_the_save_finds_nothing(
    tracker: Any,
) -> None:
    await tracker.start(Checkout(key=KEY))
    with pytest.raises(SessionNotFoundError):
        async with tracker.get_locked(Checkout, KEY) as session:
            await tracker.delete(Checkout, KEY)
            session.paid = True
    assert await is_free(tracker)


# The lock belongs to the key -------------------------------------------------


async def test_the_session_under_a_lock_comes_and_goes_and_the_lock_stays(
    tracker: Any, clock: Clock
) -> None:
    async with tracker.lock(Checkout, KEY, lease=3_600) as lock:
        session = await tracker.start(Checkout(key=KEY), lock=lock, idle_timeout=10)
        assert not await is_free(tracker)
        await tracker.finish(session, lock=lock)
        assert not await is_free(tracker)
        await tracker.delete(Checkout, KEY)
        assert not await is_free(tracker)
        await tracker.start(Checkout(key=KEY), lock=lock, idle_timeout=10)
        clock.move(10)
        assert not await is_free(tracker)
        await tracker.reap()
        assert not await is_free(tracker)
        lock.check()
    assert await is_free(tracker)


async def test_the_token_only_rises_for_a_key(tracker: Any, clock: Clock) -> None:
    tokens = []
    for move in (0, 0, -3_600, 10, 0, 86_400, 0):
        clock.move(move)
        async with tracker.lock(Checkout, KEY) as lock:
            tokens.append(lock.token)
        await tracker.delete(Checkout, KEY)
        await tracker.reap()
    assert tokens == sorted(set(tokens))
    assert all(isinstance(token, int) for token in tokens)


# Entering --------------------------------------------------------------------


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


async def test_missing_is_started_if_there_is_none(tracker: Any) -> None:
    given = Checkout(items=["book"])
    async with tracker.get_locked(Checkout, KEY, missing=given) as session:
        assert session is given
        assert (session.key, session.version) == (KEY, 1)
        session.count = 1
    assert session.version == 2
    async with tracker.get_locked(Checkout, KEY, missing=Checkout(items=["other"])) as session:
        assert (session.items, session.count) == (["book"], 1)
    await tracker.finish(Checkout, KEY)
    async with tracker.get_locked(Checkout, KEY, missing=Checkout(key=KEY)) as session:
        assert (session.items, session.version) == ([], 1)
    assert (await tracker.get(Checkout, KEY)).version == 1


async def test_missing_that_does_not_fit_is_refused(tracker: Any) -> None:
    class Other(Checkout, name="other_of_missing"):
        pass

    for given, kind in ((Other(), TypeError), (Checkout(key="another"), SessionError)):
        with pytest.raises(kind, match="missing="):
            async with tracker.get_locked(Checkout, KEY, missing=given):
                pytest.fail("it does not fit")
    assert await is_free(tracker)


async def test_get_locked_of_a_session_reads_it_anew(tracker: Any) -> None:
    session = await tracker.start(Checkout())
    old = await tracker.get(session)
    await tracker.update(session)
    async with tracker.get_locked(old) as locked:
        assert locked is not old
        assert (locked.key, locked.version) == (session.key, 2)


async def test_the_session_of_a_lock_need_not_exist(tracker: Any) -> None:
    async with tracker.lock(Checkout, KEY) as lock:
        assert lock.token > 0
        assert 29 < lock.expires_in <= 30
        assert not lock.lost
        lock.check()
        with pytest.raises(SessionNotFoundError):
            await tracker.get(Checkout, KEY)


async def test_a_lock_that_is_taken_is_not_acquired(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    async with tracker.lock(Checkout, KEY):
        for wait, least in ((0, 0.0), (0.05, 0.05), ("50ms", 0.05)):
            for block in (tracker.lock, tracker.get_locked):
                with pytest.raises(LockNotAcquiredError, match=r"wait=.*lock_wait") as refused:
                    async with block(Checkout, KEY, wait=wait):
                        pytest.fail("it is taken")
                assert refused.value.waited >= least
                assert refused.value.holder
    assert await is_free(tracker)


async def test_a_lease_cannot_be_off(tracker: Any) -> None:
    with pytest.raises(LockError, match="lease="):
        async with tracker.lock(Checkout, KEY, lease="off"):
            pytest.fail("it has no end")


async def test_taking_a_lock_twice_warns_before_it_waits(
    tracker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with tracker.lock(Checkout, KEY):
        with pytest.raises(LockNotAcquiredError):
            async with tracker.lock(Checkout, KEY, wait=0.05):
                pytest.fail("locks are not reentrant")
        assert "not reentrant" in caplog.text
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        caplog.clear()
        async with tracker.lock(Checkout, "another"):
            pass
    async with tracker.lock(Checkout, KEY):
        pass
    assert caplog.text == ""


async def test_an_active_session_is_no_finished_one_under_a_lock_either(tracker: Any) -> None:
    session = await tracker.start(Checkout(key=KEY))
    async with tracker.get_locked(session) as locked:
        with pytest.raises(SessionActiveError):
            await tracker.resume(locked)
