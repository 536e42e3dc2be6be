"""Owners: many devices, one user, as an application sees it."""

from __future__ import annotations

import pickle
from copy import copy, deepcopy
from typing import Any

import msgspec
import pytest

from sessiontracker import (
    ConfigurationError,
    InvalidKeyError,
    OwnedSession,
    SessionActiveError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
    SessionFinishedError,
    SessionInProgressError,
    SessionLimitError,
    SessionNotFoundError,
    SessionTooLargeError,
    SharedStateError,
    StaleSessionError,
)
from sessiontracker.keys import scope_of
from tests.trackers import ALL, Clock, opened

DAY = 86_400


class Profile(msgspec.Struct):
    name: str = ""
    tags: list[str] = []


class Login(OwnedSession[Profile]):
    device: str = ""


class Seat(OwnedSession):
    number: int = 0


@pytest.fixture
def clock() -> Clock:
    return Clock()


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


async def logins(tracker: Any, clock: Clock, *devices: str, owner: str = "alice") -> list[Login]:
    """A session for each device, a second apart."""
    started = []
    for device in devices:
        started.append(await tracker.start(Login(owner=owner, device=device)))
        clock.move(1)
    return started


def devices(sessions: list[Login]) -> list[str]:
    return [session.device for session in sessions]


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


# Visitors ----------------------------------------------------------------------


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


# What they share ---------------------------------------------------------------


async def test_what_is_shared_is_seen_by_all_at_once(tracker: Any, clock: Clock) -> None:
    ios, web = await logins(tracker, clock, "ios", "web")
    assert ios.shared == Profile()
    async with tracker.edit_shared(Login, "alice") as profile:
        profile.name = "Alice"
        profile.tags.append("new")
    for found in (
        await tracker.get(ios),
        await tracker.get(Login, web.key),
        await tracker.get_or_start(copy(ios)),
        await tracker.start(Login(owner="alice", device="tv")),
        *(await tracker.list_sessions(Login, "alice")),
        *(await tracker.get_many(Login, [web.key])).values(),
        await tracker.finish(Login, web.key),
        await tracker.get_finished(Login, web.key),
        await tracker.resume(Login, web.key),
    ):
        assert found.shared == Profile("Alice", ["new"])
    async with tracker.get_locked(ios) as locked:
        assert locked.shared.name == "Alice"
    assert await tracker.get_shared(Login, "alice") == Profile("Alice", ["new"])
    assert await tracker.get_shared(Login, "bob") == Profile()


async def test_who_loses_a_race_for_it_is_told(tracker: Any) -> None:
    with pytest.raises(StaleSessionError, match="update_shared"):
        async with tracker.edit_shared(Login, "alice") as profile:
            await tracker.update_shared(Login, "alice", lambda p: Profile("first"))
            profile.name = "second"
    assert (await tracker.get_shared(Login, "alice")).name == "first"


async def test_a_change_is_made_again_until_it_is_written(tracker: Any) -> None:
    calls: list[str] = []

    def change(profile: Profile) -> None:
        calls.append(profile.name)
        profile.name += "+"

    written = await tracker.update_shared(Login, "alice", change)
    assert (written.name, calls) == ("+", [""])
    again = await tracker.update_shared(Login, "alice", change)
    assert (again.name, calls) == ("++", ["", "+"])


async def test_what_an_edit_did_not_change_is_not_written(tracker: Any) -> None:
    async with tracker.edit_shared(Login, "alice") as profile:
        await tracker.update_shared(Login, "alice", lambda p: Profile("first"))
        assert profile.name == ""
    with pytest.raises(ZeroDivisionError):
        async with tracker.edit_shared(Login, "alice") as profile:
            profile.name = "lost"
            raise ZeroDivisionError
    assert (await tracker.get_shared(Login, "alice")).name == "first"


async def test_changing_it_in_place_and_saving_is_an_error(tracker: Any) -> None:
    login = await tracker.start(Login(owner="alice"))
    login.shared.name = "in place"
    for call in (
        tracker.update(login),
        tracker.finish(login),
        tracker.rotate(login),
        tracker.rotate(deepcopy(login), owner="bob"),
        tracker.update(pickle.loads(pickle.dumps(login))),
    ):
        with pytest.raises(SharedStateError, match="edit_shared"):
            await call
    found = await tracker.get(login)
    assert (found.version, found.shared.name) == (1, "")
    with pytest.raises(SharedStateError):
        async with tracker.get_locked(login) as locked:
            locked.shared.tags.append("in place")
    fresh = Login(owner="alice")
    fresh.shared.name = "before it is started"
    with pytest.raises(SharedStateError):
        await tracker.start(fresh)
    assert await tracker.count_sessions(Login, "alice") == 1


async def test_looking_at_it_changes_nothing(tracker: Any) -> None:
    login = await tracker.start(Login(owner="alice"))
    await tracker.update_shared(login, lambda p: Profile("Alice", ["b", "a"]))
    for duplicate in (copy, deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        found = await tracker.get(login)
        assert found.shared.tags == ["b", "a"]
        again = duplicate(found)
        assert again.shared == found.shared
        await tracker.update(again)


async def test_it_lives_with_the_sessions_and_for_its_own_time(tracker: Any, clock: Clock) -> None:
    await tracker.update_shared(Login, "alice", lambda p: Profile("Alice"))
    clock.move(2 * 3600 - 1)
    assert (await tracker.get_shared(Login, "alice")).name == "Alice"
    await tracker.start(Login(owner="alice"))
    clock.move(1_799)
    assert (await tracker.get_shared(Login, "alice")).name == "Alice"
    clock.move(1)
    assert (await tracker.get_shared(Login, "alice")).name == ""
    await tracker.reap()


async def test_what_cannot_be_stored_is_refused_and_nothing_is_written(tracker: Any) -> None:
    with pytest.raises(SessionEncodeError, match="cannot be stored"):
        await tracker.update_shared(Login, "alice", lambda p: Profile(name=object()))  # type: ignore[arg-type]
    with pytest.raises(SessionEncodeError, match="cannot be stored"):
        await tracker.update_shared(Login, "alice", lambda p: Profile(name=3))  # type: ignore[arg-type]
    with pytest.raises(SessionTooLargeError, match="max_bytes"):
        await tracker.update_shared(Login, "alice", lambda p: Profile("x" * 2**21))
    assert await tracker.get_shared(Login, "alice") == Profile()


async def test_a_type_that_shares_nothing_has_none(tracker: Any) -> None:
    seat = await tracker.start(Seat(owner="alice", number=3))
    assert seat.shared is None
    assert (await tracker.get(Seat, seat.key)).shared is None
    with pytest.raises(ConfigurationError, match=r"OwnedSession\[Profile\]"):
        await tracker.get_shared(Seat, "alice")


async def test_what_is_shared_must_begin_without_arguments(tracker: Any) -> None:
    class Needy(msgspec.Struct):
        name: str

    class Wrong(OwnedSession[Needy]):
        pass

    with pytest.raises(ConfigurationError, match="default"):
        await tracker.start(Wrong(owner="alice"))


async def test_another_type_of_the_same_owner_shares_nothing_with_it(tracker: Any) -> None:
    class Other(OwnedSession[Profile]):
        pass

    await tracker.update_shared(Login, "alice", lambda p: Profile("Alice"))
    assert (await tracker.get_shared(Other, "alice")).name == ""
    assert scope_of("login", "alice") != scope_of("other", "alice")


async def test_what_a_newer_deploy_shares_survives_a_change_by_this_one(
    clock: Clock, tmp_path: Any
) -> None:
    class NewProfile(msgspec.Struct):
        name: str = ""
        tags: list[str] = []
        theme: str = "light"

    class NewLogin(OwnedSession[NewProfile], name="login"):
        device: str = ""

    from sessiontracker import AsyncSessionTracker

    where: dict[str, Any] = {"backend": "file", "url": str(tmp_path)}
    async with AsyncSessionTracker(**where) as newer, AsyncSessionTracker(**where) as older:
        await newer.update_shared(NewLogin, "alice", lambda p: NewProfile("A", [], "dark"))
        await older.update_shared(Login, "alice", lambda p: Profile("Alice", ["x"]))
        shared = await newer.get_shared(NewLogin, "alice")
        assert shared == NewProfile("Alice", ["x"], "dark")


async def test_what_cannot_be_read_stays_as_it_is(tracker: Any) -> None:
    class OtherProfile(msgspec.Struct):
        name: int = 0

    class OtherLogin(OwnedSession[OtherProfile], name="login_other"):
        device: str = ""

    await tracker.update_shared(Login, "alice", lambda p: Profile("Alice"))
    login = await tracker.start(Login(owner="alice"))
    from sessiontracker.session import view_of
    from sessiontracker.shared import SharedCodec

    view = view_of(await tracker.get(login))
    assert view is not None
    codec = SharedCodec(OtherProfile, "login")
    with pytest.raises(SessionDecodeError, match="stays as it is"):
        codec.decode(SharedCodec(Profile, "login").encode(Profile("Alice")))


async def test_finished_and_active_are_told_apart_for_owners_too(tracker: Any) -> None:
    login = await tracker.start(Login(owner="alice", key="ios"))
    with pytest.raises(SessionActiveError):
        await tracker.get_finished(Login, "ios", owner="alice")
    with pytest.raises(SessionActiveError):
        await tracker.resume(login)
