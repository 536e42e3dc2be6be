"""What concerns many sessions, a tracker as a whole, or a type: reading many, scanning, reaping."""

from __future__ import annotations

from typing import Any

import pytest

from sessiontracker import (
    AsyncSessionTracker,
    CapabilityError,
    ConfigurationError,
    OwnedSession,
    Session,
    SessionNotFoundError,
    SessionTracker,
    SessionTrackerError,
)
from sessiontracker.contract import Capability
from tests.clock import Clock
from tests.trackers import ALL, KEY, MEMORY, Checkout, opened


@pytest.fixture(params=ALL, ids="-".join)
async def tracker(request: pytest.FixtureRequest, clock: Clock) -> Any:
    async with opened(request.param, clock) as tracker:
        yield tracker


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
