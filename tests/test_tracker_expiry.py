"""How long a session lives: timeouts, what slides it and how often."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sessiontracker import ConfigurationError, SessionNotFoundError
from tests.clock import Clock
from tests.trackers import ALL, KEY, Checkout, at, opened


@pytest.fixture(params=ALL, ids="-".join)
async def tracker(request: pytest.FixtureRequest, clock: Clock) -> Any:
    async with opened(request.param, clock) as tracker:
        yield tracker


async def test_timeouts_may_be_a_session_s_own(tracker: Any, clock: Clock) -> None:
    brief = await tracker.start(Checkout(key="brief"), idle_timeout=10, absolute_timeout="15s")
    endless = await tracker.start(
        Checkout(key="endless"), idle_timeout="off", absolute_timeout=None
    )
    long = await tracker.start(
        Checkout(key="long"), idle_timeout=timedelta(days=14), absolute_timeout="off"
    )
    assert brief.expires_at == at(clock, 10)
    assert endless.expires_at is None
    assert long.expires_at == at(clock, 14 * 86_400)
    clock.move(9)
    await tracker.touch(Checkout, "brief")
    clock.move(5)
    assert (await tracker.get(Checkout, "brief")).expires_at == at(clock, 1)
    clock.move(1)
    with pytest.raises(SessionNotFoundError):
        await tracker.get(Checkout, "brief")
    clock.move(13 * 86_400)
    assert (await tracker.get(Checkout, "long", touch=False)).key == "long"
    clock.move(365 * 86_400)
    assert (await tracker.get(Checkout, "endless")).key == "endless"


@pytest.mark.parametrize("bad", ["soon", -1, 0, True, float("nan")])
async def test_a_timeout_that_is_none_is_refused(tracker: Any, bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="idle_timeout"):
        await tracker.start(Checkout(key=KEY), idle_timeout=bad)


# get, touch and sliding ------------------------------------------------------


async def test_get_or_start_slides_as_get_does(tracker: Any, clock: Clock) -> None:
    await tracker.start(Checkout(key=KEY), idle_timeout=100)
    clock.move(50)
    assert (await tracker.get_or_start(Checkout(key=KEY))).expires_at == at(clock, 100)


async def test_get_slides_only_after_a_twentieth_of_the_idle_timeout(
    tracker: Any, clock: Clock
) -> None:
    started = await tracker.start(Checkout(key=KEY), idle_timeout=100)
    clock.move(5)
    assert (await tracker.get(Checkout, KEY)).expires_at == started.expires_at
    clock.move(0.001)
    assert (await tracker.get(Checkout, KEY, touch=False)).expires_at == started.expires_at
    assert (await tracker.get(Checkout, KEY)).expires_at == at(clock, 100)


@pytest.mark.parametrize("arrangement", ALL, ids="-".join)
@pytest.mark.parametrize(("setting", "waits"), [("0s", 0.001), ("2s", 2.001), ("10m", 5.001)])
async def test_touch_every_is_a_setting_that_never_exceeds_a_twentieth(
    arrangement: Any, clock: Clock, setting: str, waits: float
) -> None:
    async with opened(arrangement, clock, touch_every=setting) as tracker:
        started = await tracker.start(Checkout(key=KEY), idle_timeout=100)
        clock.move(waits - 0.001)
        assert (await tracker.get(Checkout, KEY)).expires_at == started.expires_at
        clock.move(0.001)
        async with tracker.get_locked(Checkout, KEY) as session:
            assert session.expires_at == at(clock, 100)


async def test_touch_update_and_resume_always_slide_and_lock_does_not(
    tracker: Any, clock: Clock
) -> None:
    session = await tracker.start(Checkout(key=KEY), idle_timeout=100)
    clock.move(1)
    assert await tracker.touch(session) is None
    assert session.expires_at == at(clock, 100)
    assert session.version == 1
    clock.move(1)
    await tracker.update(session)
    assert session.expires_at == at(clock, 100)
    await tracker.finish(session)
    clock.move(1)
    await tracker.resume(session)
    assert session.expires_at == at(clock, 100)
    clock.move(50)
    async with tracker.lock(Checkout, KEY):
        pass
    assert (await tracker.get(Checkout, KEY, touch=False)).expires_at == session.expires_at


async def test_sliding_moves_no_version_so_writers_do_not_lose(tracker: Any, clock: Clock) -> None:
    session = await tracker.start(Checkout(key=KEY))
    clock.move(600)
    await tracker.get(Checkout, KEY)
    await tracker.touch(Checkout, KEY)
    session.paid = True
    assert (await tracker.update(session)).version == 2


async def test_the_absolute_timeout_ends_a_busy_session(tracker: Any, clock: Clock) -> None:
    session = await tracker.start(Checkout(key=KEY), idle_timeout=60, absolute_timeout=100)
    clock.move(50)
    await tracker.update(session)
    assert session.expires_at == at(clock, 50)
    clock.move(50)
    for call in (tracker.get, tracker.touch, tracker.update):
        with pytest.raises(SessionNotFoundError):
            await call(session)


async def test_an_expired_session_is_not_there_and_does_not_come_back(
    tracker: Any, clock: Clock
) -> None:
    session = await tracker.start(Checkout(key=KEY), idle_timeout=10)
    clock.move(10)
    for call in (tracker.update, tracker.finish, tracker.rotate, tracker.touch, tracker.get):
        with pytest.raises(SessionNotFoundError):
            await call(session)
    with pytest.raises(SessionNotFoundError):
        await tracker.resume(Checkout, KEY)
    assert await tracker.get_many(Checkout, [KEY]) == {}
    assert [s async for s in tracker.scan(Checkout)] == []
    assert await tracker.delete(Checkout, KEY) is False
    assert (await tracker.start(Checkout(key=KEY))).version == 1
