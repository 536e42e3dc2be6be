"""Leaving a locked session, in every way there is."""

from __future__ import annotations

from typing import Any

import pytest

from sessiontracker import (
    LockLostError,
    SessionEncodeError,
    SessionFinishedError,
    SessionNotFoundError,
    StaleSessionError,
)
from tests.clock import Clock
from tests.trackers import FUSED, KEY, Checkout, is_free, opened


@pytest.fixture(params=FUSED, ids="-".join)
async def tracker(request: pytest.FixtureRequest, clock: Clock) -> Any:
    async with opened(request.param, clock, lock_lease="30s", lock_wait="50ms") as tracker:
        yield tracker


async def test_a_clean_exit_saves_what_changed(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    async with tracker.get_locked(Checkout, KEY) as session:
        session.items.append("book")
    assert session.version == 2
    found = await tracker.get(Checkout, KEY)
    assert (found.items, found.version) == (["book"], 2)
    assert await is_free(tracker)


async def test_a_clean_exit_without_a_change_writes_nothing(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY, items=["book"]))
    async with tracker.get_locked(Checkout, KEY) as session:
        session.items = ["book"]  # equal is unchanged
    assert (await tracker.get(Checkout, KEY)).version == 1
    assert await is_free(tracker)


async def test_what_was_saved_in_the_body_is_not_saved_again(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    async with tracker.get_locked(Checkout, KEY) as session:
        session.count = 1
        await tracker.update(session)
    assert (await tracker.get(Checkout, KEY)).version == 2


@pytest.mark.parametrize("end", ["finish", "delete", "rotate"])
async def test_ended_in_the_body_by_the_holder_then_unchanged(tracker: Any, end: str) -> None:
    await tracker.start(Checkout(key=KEY))
    async with tracker.get_locked(Checkout, KEY) as session:
        session.count = 1
        if end == "delete":
            await tracker.update(session)
        await getattr(tracker, end)(session)
        assert not await is_free(tracker)
    assert await is_free(tracker)
    if end == "finish":
        assert (await tracker.get_finished(Checkout, KEY)).count == 1
    if end == "rotate":
        assert (await tracker.get(Checkout, session.key)).count == 1


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ("finish", SessionFinishedError),
        ("delete", SessionNotFoundError),
        ("rotate", SessionNotFoundError),
    ],
)
async def test_ended_in_the_body_by_the_holder_then_changed(
    tracker: Any, end: str, kind: type[Exception]
) -> None:
    await tracker.start(Checkout(key=KEY))
    with pytest.raises(kind, match="not saved"):
        async with tracker.get_locked(Checkout, KEY) as session:
            await getattr(tracker, end)(session)
            session.count = 7
    assert await is_free(tracker)
    if end == "finish":
        assert (await tracker.get_finished(Checkout, KEY)).count == 0
    if end == "rotate":
        assert (await tracker.get(Checkout, session.key)).count == 0


async def test_ended_by_key_with_the_lock(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    async with tracker.get_locked(Checkout, KEY) as session:
        await tracker.finish(Checkout, KEY, lock=tracker.lock_of(session))
    async with tracker.get_locked(Checkout, KEY, missing=Checkout()) as session:
        await tracker.delete(Checkout, KEY, lock=tracker.lock_of(session))
    assert await is_free(tracker)


async def test_ended_and_begun_again_in_the_body(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    async with tracker.get_locked(Checkout, KEY) as session:
        await tracker.finish(session)
        await tracker.resume(session)
        session.count = 1
    assert (await tracker.get(Checkout, KEY)).count == 1
    async with tracker.get_locked(Checkout, KEY) as session:
        await tracker.delete(session)
        session.count = 2
        await tracker.start(session)
        session.count = 3
    assert session.version == 2
    assert (await tracker.get(Checkout, KEY)).count == 3
    async with tracker.get_locked(Checkout, KEY) as session:
        await tracker.delete(session)
        other = Checkout(key=KEY, count=4)
        await tracker.start(other, lock=tracker.lock_of(session))
    assert (await tracker.get(Checkout, KEY)).count == 4


async def test_saved_under_its_new_key_after_a_rotation(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    async with tracker.get_locked(Checkout, KEY) as session:
        await tracker.rotate(session)
        session.count = 5
        await tracker.update(session)
    assert (await tracker.get(Checkout, session.key)).count == 5
    assert await is_free(tracker)


async def test_an_exception_saves_nothing_unlocks_and_is_never_replaced(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    mine = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as raised:
        async with tracker.get_locked(Checkout, KEY) as session:
            session.count = 1
            raise mine
    assert raised.value is mine
    assert (await tracker.get(Checkout, KEY)).count == 0
    assert await is_free(tracker)


async def test_an_exception_is_not_replaced_by_what_else_is_wrong(
    tracker: Any, clock: Clock
) -> None:
    await tracker.start(Checkout(key=KEY))
    mine = KeyError("mine")
    with pytest.raises(KeyError) as raised:
        async with tracker.get_locked(Checkout, KEY) as session:
            await tracker.delete(Checkout, KEY)
            session.items = [object()]
            clock.move(60)
            raise mine
    assert raised.value is mine


async def test_a_session_that_cannot_be_encoded_raises_and_unlocks(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    with pytest.raises(SessionEncodeError):
        async with tracker.get_locked(Checkout, KEY) as session:
            session.items = [object()]
    assert await is_free(tracker)
    assert (await tracker.get(Checkout, KEY)).version == 1


@pytest.mark.parametrize("changed", [False, True])
async def test_a_clean_exit_whose_lease_ran_out(tracker: Any, clock: Clock, changed: bool) -> None:
    await tracker.start(Checkout(key=KEY))
    with pytest.raises(LockLostError, match=r"ran out.*not saved"):
        async with tracker.get_locked(Checkout, KEY) as session:
            session.paid = changed
            clock.move(30)
    assert (await tracker.get(Checkout, KEY)).version == 1


async def test_a_clean_exit_whose_lock_somebody_else_has_by_now(tracker: Any, clock: Clock) -> None:
    await tracker.start(Checkout(key=KEY))
    with pytest.raises(LockLostError):
        async with tracker.get_locked(Checkout, KEY) as session:
            token = tracker.lock_of(session).token
            clock.move(30)
            async with tracker.get_locked(Checkout, KEY) as newer:
                assert tracker.lock_of(newer).token > token
                newer.count = 1
                with pytest.raises(LockLostError):
                    await tracker.update(session)
            session.count = 2
    assert (await tracker.get(Checkout, KEY)).count == 1


@pytest.mark.parametrize("changed", [False, True])
async def test_a_clean_exit_whose_session_somebody_deleted(tracker: Any, changed: bool) -> None:
    await tracker.start(Checkout(key=KEY))
    with pytest.raises(SessionNotFoundError):
        async with tracker.get_locked(Checkout, KEY) as session:
            session.paid = changed
            await tracker.delete(Checkout, KEY)
    assert await is_free(tracker)


@pytest.mark.parametrize("changed", [False, True])
async def test_a_clean_exit_whose_session_expired(
    tracker: Any, clock: Clock, changed: bool
) -> None:
    await tracker.start(Checkout(key=KEY), idle_timeout=5)
    with pytest.raises(SessionNotFoundError):
        async with tracker.get_locked(Checkout, KEY) as session:
            session.paid = changed
            clock.move(5)
    assert await is_free(tracker)


@pytest.mark.parametrize("changed", [False, True])
async def test_a_clean_exit_beside_a_finished_one(
    tracker: Any, clock: Clock, changed: bool
) -> None:
    await tracker.start(Checkout(key=KEY))
    await tracker.finish(Checkout, KEY)
    await tracker.start(Checkout(key=KEY), idle_timeout=5)
    with pytest.raises(SessionFinishedError):
        async with tracker.get_locked(Checkout, KEY) as session:
            session.paid = changed
            clock.move(5)
    assert await is_free(tracker)


async def test_the_holder_itself_may_be_stale(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    with pytest.raises(StaleSessionError):
        async with tracker.get_locked(Checkout, KEY) as session:
            other = await tracker.get(Checkout, KEY)
            await tracker.update(other, lock=tracker.lock_of(session))
            session.count = 1
    assert await is_free(tracker)
