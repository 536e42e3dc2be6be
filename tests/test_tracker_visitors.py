"""Visitors: sessions that are nobody's yet, as an application sees them."""

from __future__ import annotations

from copy import copy
from typing import Any

import pytest

from sessiontracker import SessionLimitError, SessionNotFoundError, StaleSessionError
from tests.clock import Clock
from tests.logins import Login, Profile, devices, logins
from tests.trackers import ALL, opened


@pytest.fixture(params=ALL, ids="-".join)
async def tracker(request: pytest.FixtureRequest, clock: Clock) -> Any:
    settings = {"idle_timeout": "30m", "finished_retention": "1h", "shared_retention": "2h"}
    async with opened(request.param, clock, **settings) as tracker:
        yield tracker


@pytest.fixture(params=ALL, ids="-".join)
async def limited(request: pytest.FixtureRequest, clock: Clock) -> Any:
    async with opened(request.param, clock, max_per_owner=2) as tracker:
        yield tracker


@pytest.fixture(params=ALL, ids="-".join)
async def rolling(request: pytest.FixtureRequest, clock: Clock) -> Any:
    async with opened(request.param, clock, max_per_owner=2, on_limit="finish_oldest") as tracker:
        yield tracker


async def test_a_visitor_logs_in(limited: Any, clock: Clock) -> None:
    visit = await limited.start(Login(device="ios"), idle_timeout="10m", absolute_timeout="1h")
    assert (visit.owner, visit.key[:4]) == ("", "stk_")
    before, expires = visit.key, visit.expires_at
    clock.move(60)
    same = await limited.rotate(visit, owner="alice")
    assert same is visit
    assert (visit.owner, visit.version, visit.expires_at) == ("alice", 2, expires)
    assert visit.key != before
    with pytest.raises(SessionNotFoundError):
        await limited.get(Login, before)
    assert devices(await limited.list_sessions(Login, "alice")) == ["ios"]
    assert (await limited.get(Login, visit.key, touch=False)).owner == "alice"
    clock.move(539)
    await limited.get(visit, touch=False)
    clock.move(1)
    with pytest.raises(SessionNotFoundError):
        await limited.get(visit)


async def test_a_visitor_past_the_limit_stays_a_visitor(limited: Any, clock: Clock) -> None:
    await logins(limited, clock, "ios", "web")
    visit = await limited.start(Login(device="tv"))
    with pytest.raises(SessionLimitError):
        await limited.rotate(visit, owner="alice")
    assert (await limited.get(Login, visit.key)).owner == ""
    assert await limited.count_sessions(Login, "alice") == 2


async def test_a_visitor_may_make_room_for_itself(rolling: Any, clock: Clock) -> None:
    visit = await rolling.start(Login(device="tv"))
    clock.move(1)
    await logins(rolling, clock, "ios", "web")
    await rolling.rotate(visit, owner="alice")
    assert devices(await rolling.list_sessions(Login, "alice")) == ["web", "tv"]


async def test_visitors_are_strangers_to_each_other(tracker: Any) -> None:
    one, other = [await tracker.start(Login(device=name)) for name in ("one", "other")]
    assert devices(await tracker.list_sessions(one)) == ["one"]
    async with tracker.edit_shared(one) as profile:
        profile.name = "visitor"
    assert (await tracker.get(one)).shared.name == "visitor"
    assert (await tracker.get(other)).shared.name == ""
    assert await tracker.delete_all(one) == 1
    await tracker.get(other)


async def test_a_login_leaves_behind_what_the_visitor_shared(tracker: Any) -> None:
    visit = await tracker.start(Login())
    await tracker.update_shared(visit, lambda p: Profile("visitor"))
    await tracker.update_shared(Login, "alice", lambda p: Profile("Alice"))
    assert (await tracker.get(visit)).shared.name == "visitor"
    await tracker.rotate(visit, owner="alice")
    assert visit.shared.name == "Alice"


async def test_a_new_key_for_an_owned_session(limited: Any, clock: Clock) -> None:
    ios, _ = await logins(limited, clock, "ios", "web")
    old = ios.key
    ios.device = "ipad"
    await limited.rotate(ios)
    assert (ios.owner, ios.version, ios.device) == ("alice", 2, "ipad")
    with pytest.raises(SessionNotFoundError):
        await limited.get(Login, old)
    found = await limited.get(Login, ios.key, owner="alice")
    assert (found.device, found.version) == ("ipad", 2)
    await limited.rotate(ios, owner="alice")
    assert await limited.count_sessions(Login, "alice") == 2
    with pytest.raises(StaleSessionError if found.version == 9 else SessionNotFoundError):
        await limited.rotate(found)


async def test_a_stale_session_is_not_rotated_to_another_owner(tracker: Any) -> None:
    login = await tracker.start(Login(owner="alice"))
    stale = copy(login)
    await tracker.update(login)
    with pytest.raises(StaleSessionError):
        await tracker.rotate(stale, owner="bob")
    assert await tracker.count_sessions(Login, "bob") == 0
    assert await tracker.count_sessions(Login, "alice") == 1
