"""The life of a session, call by call: what each does, what it refuses, and what it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sessiontracker import (
    AsyncSessionTracker,
    CapabilityError,
    ConfigurationError,
    OwnedSession,
    Session,
    SessionActiveError,
    SessionEncodeError,
    SessionFinishedError,
    SessionInProgressError,
    SessionNotFoundError,
    SessionTooLargeError,
    SessionTracker,
    SessionTrackerError,
    StaleSessionError,
)
from sessiontracker.contract import Capability
from tests.trackers import ALL, MEMORY, Checkout, Clock, opened

KEY = "order-42"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=ALL, ids="-".join)
async def tracker(request: pytest.FixtureRequest, clock: Clock) -> Any:
    async with opened(request.param, clock) as tracker:
        yield tracker


def at(clock: Clock, seconds: float = 0) -> datetime:
    ms = clock.now // 1000
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms, seconds=seconds)


# start -----------------------------------------------------------------------


async def test_start_fills_in_and_returns_the_very_object(tracker: Any, clock: Clock) -> None:
    given = Checkout(key=KEY, items=["book"])
    started = await tracker.start(given)
    assert started is given
    assert (started.key, started.id, started.version, started.owner) == (KEY, KEY, 1, "")
    assert started.started_at == started.updated_at == at(clock)
    assert started.expires_at == at(clock, 30 * 60)
    assert started.finished_at is None


async def test_start_refuses_while_one_is_active_and_hands_that_one_out(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY, items=["book"]))
    with pytest.raises(SessionInProgressError, match=r"in progress.*get_or_start\(\)") as refused:
        await tracker.start(Checkout(key=KEY))
    assert refused.value.session.items == ["book"]
    assert refused.value.session.key == KEY


async def test_what_was_refused_a_start_stays_unstarted(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    second = Checkout(key=KEY)
    with pytest.raises(SessionInProgressError):
        await tracker.start(second)
    assert (second.version, second.id, second.expires_at) == (0, "", None)


async def test_start_works_beside_a_finished_one(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY, items=["old"]))
    await tracker.finish(Checkout, KEY)
    await tracker.start(Checkout(key=KEY, items=["new"]))
    assert (await tracker.get(Checkout, KEY)).items == ["new"]
    assert (await tracker.get_finished(Checkout, KEY)).items == ["old"]


async def test_mutable_defaults_are_not_shared(tracker: Any) -> None:
    one = await tracker.start(Checkout(key="1"))
    two = await tracker.start(Checkout(key="2"))
    one.items.append("book")
    await tracker.update(one)
    assert two.items == []
    assert (await tracker.get(Checkout, "2")).items == []


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


# get_or_start ----------------------------------------------------------------


async def test_get_or_start_starts_and_then_gets(tracker: Any) -> None:
    given = Checkout(key=KEY, items=["first"])
    assert await tracker.get_or_start(given) is given
    other = Checkout(key=KEY, items=["second"])
    found = await tracker.get_or_start(other)
    assert found is not other
    assert (found.items, found.version, found.key) == (["first"], 1, KEY)
    assert other.version == 0


async def test_get_or_start_slides_as_get_does(tracker: Any, clock: Clock) -> None:
    await tracker.start(Checkout(key=KEY), idle_timeout=100)
    clock.move(50)
    assert (await tracker.get_or_start(Checkout(key=KEY))).expires_at == at(clock, 100)


# get, touch and sliding ------------------------------------------------------


async def test_a_session_that_never_was(tracker: Any) -> None:
    for call in (tracker.get, tracker.touch, tracker.finish, tracker.resume, tracker.get_finished):
        with pytest.raises(SessionNotFoundError, match=r"no 'checkout' session 'none'.*start\(\)"):
            await call(Checkout, "none")
    assert await tracker.delete(Checkout, "none") is False
    with pytest.raises(SessionNotFoundError):
        async with tracker.get_locked(Checkout, "none"):
            pytest.fail("there is nothing to lock")


async def test_a_session_names_itself(tracker: Any) -> None:
    started = await tracker.start(Checkout(key=KEY))
    assert (await tracker.get(started)).key == KEY
    with pytest.raises(TypeError, match="names itself"):
        await tracker.get(started, KEY)
    with pytest.raises(TypeError, match="its key, id= or the session"):
        await tracker.get(Checkout)
    with pytest.raises(TypeError, match="not by both"):
        await tracker.get(Checkout, KEY, id=KEY)
    with pytest.raises(SessionNotFoundError, match=r"never started.*start\(session\)"):
        await tracker.get(Checkout(key=KEY))


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


# update, versions and lives --------------------------------------------------


async def test_every_change_counts_the_version_up(tracker: Any) -> None:
    session = await tracker.start(Checkout(key=KEY))
    seen = [session.version]
    for change in (tracker.update, tracker.finish, tracker.resume, tracker.rotate, tracker.update):
        assert await change(session) is session
        seen.append(session.version)
    assert seen == [1, 2, 3, 4, 5, 6]


async def test_the_second_of_two_writers_is_stale(tracker: Any) -> None:
    first = await tracker.start(Checkout(key=KEY))
    second = await tracker.get(Checkout, KEY)
    first.items.append("first")
    await tracker.update(first)
    second.items.append("second")
    for call in (tracker.update, tracker.finish, tracker.rotate):
        with pytest.raises(StaleSessionError, match=r"version 2.*version 1.*get\(\)") as refused:
            await call(second)
        assert (refused.value.expected, refused.value.actual) == (1, 2)
    assert (await tracker.get(Checkout, KEY)).items == ["first"]
    assert second.version == 1


async def test_a_writer_from_a_former_life_is_refused(tracker: Any) -> None:
    old = await tracker.start(Checkout(key=KEY, items=["old"]))
    await tracker.delete(Checkout, KEY)
    new = await tracker.start(Checkout(key=KEY, items=["new"]))
    assert old.version == new.version
    for call in (tracker.update, tracker.finish, tracker.rotate):
        with pytest.raises(StaleSessionError, match="started anew"):
            await call(old)
    with pytest.raises(SessionNotFoundError):
        await tracker.touch(old)
    assert await tracker.delete(old) is False
    assert (await tracker.get(Checkout, KEY)).items == ["new"]


async def test_update_never_creates_and_never_revives(tracker: Any) -> None:
    with pytest.raises(SessionNotFoundError, match=r"start\(session\) comes first"):
        await tracker.update(Checkout(key=KEY))
    session = await tracker.start(Checkout(key=KEY))
    await tracker.finish(Checkout, KEY)
    with pytest.raises(SessionFinishedError, match=r"resume\(\)"):
        await tracker.update(session)
    await tracker.delete(Checkout, KEY)
    with pytest.raises(SessionNotFoundError):
        await tracker.update(session)


async def test_what_cannot_be_saved_is_not_written(tracker: Any) -> None:
    session = await tracker.start(Checkout(key=KEY))
    session.items = [object()]  # type: ignore[list-item]
    with pytest.raises(SessionEncodeError):
        await tracker.update(session)
    session.items = ["x" * 2_000_000]
    with pytest.raises(SessionTooLargeError, match=r"Checkout|checkout") as refused:
        await tracker.update(session)
    assert refused.value.size > refused.value.limit == 1_048_576
    assert (await tracker.get(Checkout, KEY)).items == []
    session.items = ["fine"]
    assert (await tracker.update(session)).version == 2


# finish, get_finished, resume ------------------------------------------------


async def test_finish_by_key_and_of_a_session(tracker: Any, clock: Clock) -> None:
    await tracker.start(Checkout(key="by key", items=["book"]))
    done = await tracker.finish(Checkout, "by key")
    assert (done.items, done.version, done.finished_at) == (["book"], 2, at(clock))
    session = await tracker.start(Checkout(key="by session"))
    session.paid = True
    assert await tracker.finish(session) is session
    assert session.finished_at == at(clock)
    assert session.expires_at == at(clock, 86_400)
    assert (await tracker.get_finished(Checkout, "by session")).paid


async def test_a_finished_session_is_not_active(tracker: Any) -> None:
    session = await tracker.start(Checkout(key=KEY))
    await tracker.finish(session)
    for call in (tracker.get, tracker.touch, tracker.finish):
        with pytest.raises(SessionFinishedError, match=r"get_finished\(\).*resume\(\)"):
            await call(Checkout, KEY)
    with pytest.raises(SessionFinishedError):
        async with tracker.get_locked(Checkout, KEY):
            pytest.fail("it is finished")
    assert await tracker.get_many(Checkout, [KEY]) == {}


async def test_an_active_session_is_not_finished(tracker: Any) -> None:
    session = await tracker.start(Checkout(key=KEY))
    for what in ((Checkout, KEY), (session,)):
        with pytest.raises(SessionActiveError, match=r"get\(\).*finish\(\)"):
            await tracker.get_finished(*what)
        with pytest.raises(SessionActiveError):
            await tracker.resume(*what)


async def test_finished_sessions_go_after_their_retention(tracker: Any, clock: Clock) -> None:
    session = await tracker.start(Checkout(key=KEY))
    await tracker.finish(session)
    clock.move(86_399)
    assert (await tracker.get_finished(session)).version == 2
    clock.move(1)
    with pytest.raises(SessionNotFoundError):
        await tracker.get_finished(session)


async def test_finishing_again_replaces_the_older_finished_one(tracker: Any) -> None:
    for item in ("old", "new"):
        await tracker.start(Checkout(key=KEY, items=[item]))
        await tracker.finish(Checkout, KEY)
    assert (await tracker.get_finished(Checkout, KEY)).items == ["new"]


async def test_resume_by_key_and_of_a_session(tracker: Any) -> None:
    session = await tracker.start(Checkout(key=KEY, items=["book"]))
    await tracker.finish(Checkout, KEY)
    resumed = await tracker.resume(Checkout, KEY)
    assert (resumed.items, resumed.version, resumed.finished_at) == (["book"], 3, None)
    await tracker.finish(Checkout, KEY)
    session.items = ["not saved"]
    assert await tracker.resume(session) is session
    assert (session.items, session.version) == (["book"], 5)


async def test_resume_of_a_session_checks_that_it_is_the_life_it_knows(tracker: Any) -> None:
    old = await tracker.start(Checkout(key=KEY))
    await tracker.delete(Checkout, KEY)
    await tracker.start(Checkout(key=KEY, items=["new"]))
    await tracker.finish(Checkout, KEY)
    with pytest.raises(SessionNotFoundError):
        await tracker.resume(old)
    assert (await tracker.resume(Checkout, KEY)).items == ["new"]


async def test_resume_never_overwrites_an_active_one(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY, items=["old"]))
    await tracker.finish(Checkout, KEY)
    await tracker.start(Checkout(key=KEY, items=["new"]))
    with pytest.raises(SessionActiveError):
        await tracker.resume(Checkout, KEY)
    assert (await tracker.get(Checkout, KEY)).items == ["new"]


async def test_resume_moves_the_absolute_end_by_the_time_it_lay(tracker: Any, clock: Clock) -> None:
    session = await tracker.start(Checkout(key=KEY), idle_timeout=1_000, absolute_timeout=100)
    clock.move(40)
    await tracker.finish(session)
    clock.move(500)
    await tracker.resume(session)
    assert session.expires_at == at(clock, 60)


@pytest.mark.parametrize("arrangement", ALL, ids="-".join)
async def test_finished_sessions_may_stay_for_ever(arrangement: Any, clock: Clock) -> None:
    async with opened(arrangement, clock, finished_retention="off") as tracker:
        session = await tracker.start(Checkout(key=KEY))
        await tracker.finish(session)
        assert session.expires_at is None
        clock.move(10 * 365 * 86_400)
        assert (await tracker.get_finished(Checkout, KEY)).version == 2


# delete ----------------------------------------------------------------------


async def test_delete_removes_the_active_and_the_finished_one(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    await tracker.finish(Checkout, KEY)
    await tracker.start(Checkout(key=KEY))
    assert await tracker.delete(Checkout, KEY) is True
    for call in (tracker.get, tracker.get_finished):
        with pytest.raises(SessionNotFoundError):
            await call(Checkout, KEY)
    assert await tracker.delete(Checkout, KEY) is False


async def test_delete_of_a_session_takes_its_own_life_alone(tracker: Any) -> None:
    session = await tracker.start(Checkout(key=KEY))
    assert await tracker.delete(session) is True
    assert await tracker.delete(session) is False


# get_many and scan -----------------------------------------------------------


async def test_get_many_gives_those_that_are_there_in_the_order_asked(tracker: Any) -> None:
    for key in ("a", "b", "c", "d"):
        await tracker.start(Checkout(key=key, items=[key]))
    await tracker.finish(Checkout, "b")
    secret = await tracker.start(Checkout())
    many = await tracker.get_many(
        Checkout, ["d", "b", secret.key, "nobody", "a", "stk_misspelt", "a"]
    )
    assert list(many) == ["d", secret.key, "a"]
    assert [session.key for session in many.values()] == ["d", secret.key, "a"]
    assert await tracker.get_many(Checkout, []) == {}


async def test_scan_finds_all_of_a_type_active_or_finished(tracker: Any) -> None:
    class Other(Session, name="other_of_scan"):
        pass

    keys = {f"key-{number:04}" for number in range(1_203)}
    for key in keys:
        await tracker.start(Checkout(key=key))
    await tracker.start(Other(key="other"))
    secret = await tracker.start(Checkout())
    await tracker.finish(Checkout, "key-0000")
    active = [session async for session in tracker.scan(Checkout)]
    assert {session.id for session in active} == keys - {"key-0000"} | {secret.id}
    assert len(active) == len(keys)
    (listed,) = (session for session in active if session.id == secret.id)
    assert listed.key == ""
    finished = [session async for session in tracker.scan(Checkout, finished=True)]
    assert [session.key for session in finished] == ["key-0000"]


async def test_scan_while_things_change_finds_all_that_stays_once(tracker: Any) -> None:
    staying = {f"stay-{number:04}" for number in range(700)}
    for key in staying:
        await tracker.start(Checkout(key=key))
    going = [f"go-{number:04}" for number in range(700)]
    for key in going:
        await tracker.start(Checkout(key=key))
    seen: list[str] = []
    async for session in tracker.scan(Checkout):
        seen.append(session.key)
        if going:
            await tracker.delete(Checkout, going.pop())
            await tracker.start(Checkout(key=f"zz-{len(seen):04}"))
        if len(seen) == 10:  # another scan of the same type disturbs nobody
            assert len({s.key async for s in tracker.scan(Checkout)} & staying) == 700
    assert len(seen) == len(set(seen))
    assert staying <= set(seen)


# reap, ping, open and close --------------------------------------------------


async def test_reap_removes_what_expired_in_bounded_batches(tracker: Any, clock: Clock) -> None:
    for number in range(25):
        await tracker.start(Checkout(key=f"{number}"), idle_timeout=10)
    await tracker.start(Checkout(key="stays"))
    clock.move(10)
    assert [await tracker.reap(limit=10) for _ in range(4)] == [10, 10, 5, 0]
    assert [session.key async for session in tracker.scan(Checkout)] == ["stays"]


async def test_ping_answers(tracker: Any) -> None:
    assert await tracker.ping() is None


async def test_a_tracker_that_is_not_open_says_so() -> None:
    asynchronous = AsyncSessionTracker()
    with pytest.raises(SessionTrackerError, match=r"not open.*open\(\)"):
        await asynchronous.get(Checkout, KEY)
    with pytest.raises(SessionTrackerError, match=r"not open.*open\(\)"):
        await asynchronous.ping()
    synchronous = SessionTracker()
    with pytest.raises(SessionTrackerError, match=r"not open.*open\(\)"):
        synchronous.get(Checkout, KEY)
    synchronous.open()
    synchronous.start(Checkout(key=KEY))
    synchronous.close()
    with pytest.raises(SessionTrackerError, match=r"not open"):
        synchronous.get(Checkout, KEY)


@pytest.mark.parametrize("tracker", MEMORY, ids="-".join, indirect=True)
async def test_open_and_close_may_be_called_again(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY))
    await tracker.open()
    assert (await tracker.get(Checkout, KEY)).key == KEY
    await tracker.close()
    await tracker.close()
    await tracker.open()
    with pytest.raises(SessionNotFoundError):  # memory's sessions went with it
        await tracker.get(Checkout, KEY)


# Types -----------------------------------------------------------------------


async def test_two_types_of_one_name_are_refused(tracker: Any) -> None:
    class One(Session, name="twice"):
        pass

    class Two(Session, name="twice"):
        pass

    await tracker.start(One(key=KEY))
    with pytest.raises(ConfigurationError, match=r"One.*Two|Two.*One") as refused:
        await tracker.start(Two(key=KEY))
    assert "name=" in str(refused.value)


async def test_what_is_no_session_type_is_a_type_error(tracker: Any) -> None:
    with pytest.raises(TypeError, match="no session type"):
        await tracker.get(dict, KEY)


async def test_a_type_without_owners_has_none(tracker: Any) -> None:
    for call in (
        tracker.get(Checkout, KEY, owner="alice"),
        tracker.list_sessions(Checkout, "alice"),
        tracker.delete_all(Checkout, "alice"),
        tracker.get_shared(Checkout, "alice"),
    ):
        with pytest.raises(ConfigurationError, match="has no owners"):
            await call


async def test_types_that_are_named_are_checked_when_it_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Login(OwnedSession):
        pass

    monkeypatch.setattr("sessiontracker.memory._CAPABILITIES", frozenset({Capability.CLOCK}))
    asynchronous = AsyncSessionTracker(types=[Checkout, Login])
    with pytest.raises(CapabilityError, match=r"sessions.login.storage"):
        await asynchronous.open()
    with pytest.raises(SessionTrackerError, match="not open"):
        await asynchronous.ping()
    synchronous = SessionTracker(types=[Checkout, Login])
    with pytest.raises(CapabilityError, match=r"sessions.login.storage"):
        synchronous.open()
    with pytest.raises(SessionTrackerError, match="not open"):
        synchronous.ping()
