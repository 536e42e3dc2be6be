"""Owners: many devices, one user, as an application sees it."""

from __future__ import annotations

from typing import Any

import pytest

from sessiontracker import (
    InvalidKeyError,
    SessionError,
    SessionFinishedError,
    SessionInProgressError,
    SessionLimitError,
    SessionNotFoundError,
)
from tests.clock import Clock
from tests.logins import Login, Profile, Seat, devices, logins
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


# Keys and ids ------------------------------------------------------------------


async def test_a_secret_key_needs_no_owner(tracker: Any) -> None:
    login = await tracker.start(Login(owner="alice", device="ios"))
    assert login.key.startswith("stk_")
    assert login.id.startswith("sti_")
    for found in (
        await tracker.get(Login, login.key),
        await tracker.get(Login, login.key, owner="alice"),
        await tracker.get(Login, id=login.id),
        await tracker.get(Login, id=login.id, owner="alice"),
        await tracker.get(login),
        (await tracker.get_many(Login, [login.key]))[login.key],
    ):
        assert (found.device, found.owner, found.id) == ("ios", "alice", login.id)


async def test_an_id_is_never_a_key(tracker: Any) -> None:
    login = await tracker.start(Login(owner="alice"))
    for call in (
        tracker.get(Login, login.id),
        tracker.get(Login, login.id, owner="alice"),
        tracker.get(Login, id=login.key),
        tracker.finish(Login, login.id),
        tracker.get(Login, login.id, owner="bob"),
    ):
        with pytest.raises(SessionNotFoundError):
            await call
    with pytest.raises(InvalidKeyError):
        Login(owner="alice", key=login.id)


async def test_a_session_is_not_found_under_another_owner(tracker: Any) -> None:
    login = await tracker.start(Login(owner="alice"))
    await tracker.start(Login(owner="alice", key="ios"))
    for call in (
        tracker.get(Login, login.key, owner="bob"),
        tracker.get(Login, id=login.id, owner="bob"),
        tracker.get(Login, "ios", owner="bob"),
        tracker.get(Seat, login.key),
        tracker.finish(Login, login.key, owner="bob"),
    ):
        with pytest.raises(SessionNotFoundError):
            await call
    with pytest.raises(SessionNotFoundError, match="owner="):
        await tracker.get(Login, "ios")
    assert not await tracker.delete(Login, "ios")
    assert not await tracker.delete(Login, login.key, owner="bob")


async def test_a_key_of_ones_own_is_unique_per_owner(tracker: Any) -> None:
    for owner in ("alice", "bob"):
        login = await tracker.start(Login(owner=owner, key="ios", device=owner))
        assert (login.key, login.owner) == ("ios", owner)
    found = await tracker.get(Login, "ios", owner="bob")
    assert (found.device, found.key) == ("bob", "ios")
    assert (await tracker.get(Login, id=found.id)).device == "bob"
    many = await tracker.get_many(Login, ["ios", "web"], owner="alice")
    assert [(key, one.device) for key, one in many.items()] == [("ios", "alice")]
    with pytest.raises(SessionInProgressError) as refused:
        await tracker.start(Login(owner="bob", key="ios"))
    assert (refused.value.session.key, refused.value.session.device) == ("ios", "bob")
    await tracker.finish(Login, "ios", owner="alice")
    with pytest.raises(SessionFinishedError):
        await tracker.get(Login, "ios", owner="alice")
    await tracker.resume(Login, "ios", owner="alice")
    await tracker.touch(Login, "ios", owner="alice")
    assert await tracker.delete(Login, "ios", owner="alice")
    assert (await tracker.get(Login, "ios", owner="bob")).device == "bob"


async def test_an_owned_session_lives_as_any_other(tracker: Any) -> None:
    login = await tracker.start(Login(owner="alice", device="ios"))
    login.device = "ipad"
    await tracker.update(login)
    finished = await tracker.finish(login)
    assert finished is login
    assert (await tracker.get_finished(Login, login.key)).device == "ipad"
    resumed = await tracker.resume(Login, id=login.id)
    assert (resumed.device, resumed.version, resumed.owner) == ("ipad", 4, "alice")
    async with tracker.get_locked(Login, login.key) as locked:
        locked.device = "watch"
    assert (await tracker.get(Login, login.key)).device == "watch"


async def test_a_locked_session_may_be_started_for_its_owner(tracker: Any) -> None:
    async with tracker.get_locked(Login, "ios", owner="alice", missing=Login()) as login:
        assert (login.owner, login.key) == ("alice", "ios")
        login.device = "ios"
    found = await tracker.get(Login, "ios", owner="alice")
    assert (found.owner, found.device) == ("alice", "ios")
    with pytest.raises(SessionError, match="another owner"):
        async with tracker.get_locked(Login, "web", owner="alice", missing=Login(owner="bob")):
            pass


@pytest.mark.parametrize("owner", ["", "\ud800", "x" * 1025])
async def test_an_owner_that_none_can_be_is_refused(tracker: Any, owner: str) -> None:
    for call in (
        tracker.list_sessions(Login, owner),
        tracker.delete_all(Login, owner),
        tracker.get_shared(Login, owner),
        tracker.get(Login, "ios", owner=owner),
    ):
        with pytest.raises(InvalidKeyError):
            await call


# Lists -------------------------------------------------------------------------


async def test_sessions_are_listed_newest_first(tracker: Any, clock: Clock) -> None:
    started = await logins(tracker, clock, "ios", "web", "tv")
    await logins(tracker, clock, "bobs", owner="bob")
    listed = await tracker.list_sessions(Login, "alice")
    assert devices(listed) == ["tv", "web", "ios"]
    assert [one.id for one in listed] == [one.id for one in reversed(started)]
    assert await tracker.count_sessions(Login, "alice") == 3
    assert devices(await tracker.list_sessions(started[0])) == ["tv", "web", "ios"]
    assert await tracker.count_sessions(started[0]) == 3
    assert await tracker.list_sessions(Login, "nobody") == []
    assert await tracker.list_sessions(Seat, "alice") == []


async def test_a_listed_session_has_no_key_and_can_be_ended_by_its_id(
    tracker: Any, clock: Clock
) -> None:
    await logins(tracker, clock, "ios", "web")
    await tracker.start(Login(owner="alice", key="own"))
    by_device = {one.device: one for one in await tracker.list_sessions(Login, "alice")}
    assert by_device[""].key == "own"
    assert by_device["ios"].key == by_device["web"].key == ""
    await tracker.finish(Login, id=by_device["ios"].id)
    by_device["web"].device = "chrome"
    await tracker.update(by_device["web"])
    assert devices(await tracker.list_sessions(Login, "alice")) == ["", "chrome"]
    with pytest.raises(InvalidKeyError, match="listed"):
        await tracker.start(by_device["web"])


async def test_expired_sessions_are_neither_listed_nor_counted(tracker: Any, clock: Clock) -> None:
    await logins(tracker, clock, "ios")
    login = await tracker.start(Login(owner="alice", device="web"), idle_timeout="10s")
    clock.move(10)
    assert devices(await tracker.list_sessions(Login, "alice")) == ["ios"]
    assert await tracker.count_sessions(Login, "alice") == 1
    with pytest.raises(SessionNotFoundError):
        await tracker.get(login)


async def test_using_one_session_prolongs_no_other(tracker: Any, clock: Clock) -> None:
    await logins(tracker, clock, "ios", "web")
    web, _ = await tracker.list_sessions(Login, "alice")
    clock.move(1_700)
    await tracker.touch(web)
    clock.move(200)
    assert devices(await tracker.list_sessions(Login, "alice")) == ["web"]


async def test_all_owners_sessions_are_scanned(tracker: Any, clock: Clock) -> None:
    await logins(tracker, clock, "ios", "web")
    await logins(tracker, clock, "tv", owner="bob")
    await tracker.update_shared(Login, "bob", lambda p: Profile("Bob"))
    seen = {one.device: (one.owner, one.shared.name) async for one in tracker.scan(Login)}
    assert seen == {"ios": ("alice", ""), "web": ("alice", ""), "tv": ("bob", "Bob")}


# Log out everywhere ------------------------------------------------------------


async def test_all_but_one_are_finished(tracker: Any, clock: Clock) -> None:
    ios, web, _ = await logins(tracker, clock, "ios", "web", "tv")
    assert await tracker.finish_all(Login, "alice", keep=web) == 2
    assert devices(await tracker.list_sessions(Login, "alice")) == ["web"]
    assert (await tracker.get_finished(Login, ios.key)).device == "ios"
    with pytest.raises(SessionFinishedError):
        await tracker.update(ios)
    assert await tracker.finish_all(web, keep=web.key) == 0
    assert await tracker.finish_all(web) == 1


async def test_all_are_deleted_finished_ones_too(tracker: Any, clock: Clock) -> None:
    ios, web = await logins(tracker, clock, "ios", "web")
    await tracker.start(Login(owner="alice", key="own"))
    await tracker.finish(ios)
    assert await tracker.delete_all(Login, "alice", keep="own") == 2
    assert await tracker.count_sessions(Login, "alice") == 1
    for login in (ios, web):
        with pytest.raises(SessionNotFoundError):
            await tracker.get_finished(login)


async def test_what_is_kept_must_be_the_owners(tracker: Any, clock: Clock) -> None:
    await logins(tracker, clock, "ios")
    (other,) = await logins(tracker, clock, "bobs", owner="bob")
    for keep in (other, other.key, "stk_misspelt", other.id):
        with pytest.raises(SessionNotFoundError):
            await tracker.delete_all(Login, "alice", keep=keep)
    assert await tracker.count_sessions(Login, "alice") == 1


async def test_locks_are_no_bar_to_a_log_out(tracker: Any, clock: Clock) -> None:
    (ios,) = await logins(tracker, clock, "ios")
    with pytest.raises(SessionNotFoundError):
        async with tracker.get_locked(Login, ios.key) as login:
            assert await tracker.delete_all(Login, "alice") == 1
            login.device = "late"
    async with tracker.lock(Login, ios.key):
        pass


# The limit ---------------------------------------------------------------------


async def test_one_too_many_is_refused(limited: Any, clock: Clock) -> None:
    ios, _ = await logins(limited, clock, "ios", "web")
    with pytest.raises(SessionLimitError, match="max_per_owner is 2") as refused:
        await limited.start(Login(owner="alice", device="tv"))
    assert refused.value.count == 2
    with pytest.raises(SessionLimitError):
        async with limited.get_locked(Login, "tv", owner="alice", missing=Login(owner="alice")):
            pass
    await limited.finish(ios)
    tv = await limited.start(Login(owner="alice", device="tv"))
    with pytest.raises(SessionLimitError):
        await limited.resume(ios)
    await limited.delete(tv)
    await limited.resume(ios)
    await logins(limited, clock, "bobs", owner="bob")
    assert devices(await limited.list_sessions(Login, "alice")) == ["web", "ios"]


async def test_what_is_there_is_no_more_than_it_was(limited: Any, clock: Clock) -> None:
    for key in ("ios", "web"):
        await limited.start(Login(owner="alice", key=key))
    assert (await limited.get_or_start(Login(owner="alice", key="ios"))).version == 1
    with pytest.raises(SessionInProgressError):
        await limited.start(Login(owner="alice", key="ios"))
    with pytest.raises(SessionLimitError):
        await limited.get_or_start(Login(owner="alice", key="tv"))


async def test_the_oldest_makes_room(rolling: Any, clock: Clock) -> None:
    ios, _ = await logins(rolling, clock, "ios", "web")
    await rolling.start(Login(owner="alice", device="tv"))
    assert devices(await rolling.list_sessions(Login, "alice")) == ["tv", "web"]
    assert (await rolling.get_finished(ios)).device == "ios"
    with pytest.raises(SessionLimitError):
        await rolling.resume(ios)
