"""What an owner's sessions share, as an application sees it."""

from __future__ import annotations

import pickle
from copy import copy, deepcopy
from typing import Any

import msgspec
import pytest

from sessiontracker import (
    ConfigurationError,
    OwnedSession,
    SessionActiveError,
    SessionDecodeError,
    SessionEncodeError,
    SessionTooLargeError,
    SharedStateError,
    StaleSessionError,
)
from sessiontracker.keys import scope_of
from tests.clock import Clock
from tests.logins import Login, Profile, Seat, logins
from tests.trackers import ALL, opened


@pytest.fixture(params=ALL, ids="-".join)
async def tracker(request: pytest.FixtureRequest, clock: Clock) -> Any:
    settings = {"idle_timeout": "30m", "finished_retention": "1h", "shared_retention": "2h"}
    async with opened(request.param, clock, **settings) as tracker:
        yield tracker


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
