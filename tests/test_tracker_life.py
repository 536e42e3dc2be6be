"""The life of a session, call by call: what each does, what it refuses, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from sessiontracker import (
    SessionActiveError,
    SessionEncodeError,
    SessionFinishedError,
    SessionInProgressError,
    SessionNotFoundError,
    SessionTooLargeError,
    StaleSessionError,
)
from tests.clock import Clock
from tests.trackers import ALL, KEY, Checkout, at, opened


@pytest.fixture(params=ALL, ids="-".join)
async def tracker(request: pytest.FixtureRequest, clock: Clock) -> Any:
    async with opened(request.param, clock) as tracker:
        yield tracker


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


# get_or_start ----------------------------------------------------------------


async def test_get_or_start_starts_and_then_gets(tracker: Any) -> None:
    given = Checkout(key=KEY, items=["first"])
    assert await tracker.get_or_start(given) is given
    other = Checkout(key=KEY, items=["second"])
    found = await tracker.get_or_start(other)
    assert found is not other
    assert (found.items, found.version, found.key) == (["first"], 1, KEY)
    assert other.version == 0


# get, and what is not there --------------------------------------------------


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
