"""Rotation: a new key for the same session, also when something goes wrong in the middle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from sessiontracker import (
    BackendUnavailableError,
    ConfigurationError,
    OutcomeUnknownError,
    SessionActiveError,
    SessionFinishedError,
    SessionLockedError,
    SessionNotFoundError,
    SessionTrackerError,
    StaleSessionError,
)
from sessiontracker.operations import Acquire, Delete, Finish, Start, Write
from tests.clock import Clock
from tests.faulty import faulty_tracker, of
from tests.trackers import ALL, Checkout, opened

KEY = "order-42"


@pytest.fixture(params=ALL, ids="-".join)
async def tracker(request: pytest.FixtureRequest, clock: Clock) -> Any:
    async with opened(request.param, clock) as tracker:
        yield tracker


TIMEOUTS = {"async": "200ms", "sync": "1s"}  # threads come late where a machine is busy


@pytest.fixture(params=TIMEOUTS)
async def faulty(request: pytest.FixtureRequest) -> Any:
    """A tracker, its backend's faults, and its in-memory store."""
    config = {"operation_timeout": TIMEOUTS[request.param]}
    async with faulty_tracker(request.param, config) as (tracker, faults, stores):
        yield tracker, faults, stores["memory"]._store


async def all_of(tracker: Any) -> list[Any]:
    return [session async for session in tracker.scan(Checkout)]


@pytest.mark.parametrize("key", [KEY, None])
async def test_the_old_key_is_dead_at_once(tracker: Any, key: str | None) -> None:
    given = Checkout(count=7) if key is None else Checkout(key=key, count=7)
    session = await tracker.start(given)
    old_key, old_id = session.key, session.id
    session.count = 8
    assert await tracker.rotate(session) is session
    assert session.key.startswith("stk_")
    assert session.key != old_key
    assert session.id.startswith("sti_")
    assert session.version == 2
    for named in ({"id": old_id}, {}):
        with pytest.raises(SessionNotFoundError):
            await tracker.get(Checkout, *([] if named else [old_key]), **named)
    found = await tracker.get(Checkout, session.key)
    assert (found.count, found.id, found.version) == (8, session.id, 2)
    assert (await tracker.update(session)).version == 3
    assert [listed.id for listed in await all_of(tracker)] == [session.id]


async def test_both_timeouts_stay_as_they_stand(tracker: Any, clock: Clock) -> None:
    session = await tracker.start(Checkout(), idle_timeout=100, absolute_timeout=150)
    started, expires = session.started_at, session.expires_at
    clock.move(60)
    await tracker.rotate(session)
    assert (session.started_at, session.expires_at) == (started, expires)
    assert (await tracker.get(session, touch=False)).expires_at == expires
    clock.move(30)
    await tracker.touch(session)
    clock.move(59)
    assert (await tracker.get(session)).version == 2
    clock.move(1)
    with pytest.raises(SessionNotFoundError):
        await tracker.get(session)


async def test_a_finished_session_stays_under_the_old_key(tracker: Any) -> None:
    await tracker.start(Checkout(key=KEY, items=["old"]))
    await tracker.finish(Checkout, KEY)
    session = await tracker.start(Checkout(key=KEY, items=["new"]))
    await tracker.rotate(session)
    assert (await tracker.get_finished(Checkout, KEY)).items == ["old"]
    with pytest.raises(SessionActiveError):
        await tracker.get_finished(Checkout, session.key)


async def test_a_copy_from_before_is_no_writer_any_more(tracker: Any) -> None:
    session = await tracker.start(Checkout())
    before = await tracker.get(session)
    await tracker.rotate(session)
    for call in (tracker.update, tracker.finish, tracker.rotate, tracker.touch):
        with pytest.raises(SessionNotFoundError):
            await call(before)
    assert len(await all_of(tracker)) == 1


async def test_a_type_without_owners_has_none_to_rotate_to(tracker: Any) -> None:
    session = await tracker.start(Checkout())
    with pytest.raises(ConfigurationError, match="no owners"):
        await tracker.rotate(session, owner="alice")


# In the middle ---------------------------------------------------------------


def meddling(store: Any, meddle: Callable[[Any], Any]) -> Callable[[Any], str]:
    """Others do something between the start of the new one and the end of the old."""
    todo = [True]

    def rule(operation: Any) -> str:
        if type(operation) is Delete and operation.stamp is not None and todo:
            todo.pop()
            store.step(meddle(operation))
        return ""

    return rule


@pytest.mark.parametrize(
    ("meddle", "kind"),
    [
        (lambda o: Write(o.address, 77, o.stamp, b""), StaleSessionError),
        (lambda o: Delete(o.address, 77), SessionNotFoundError),
        (lambda o: Finish(o.address, 77, 60_000), SessionFinishedError),
        (lambda o: Acquire(o.address, 77, 60_000), SessionLockedError),
    ],
    ids=["written", "deleted", "finished", "locked"],
)
async def test_what_others_did_in_the_middle_takes_the_new_one_back(
    faulty: Any, meddle: Any, kind: type[Exception]
) -> None:
    tracker, backend, store = faulty
    session = await tracker.start(Checkout(key=KEY))
    backend.rule = meddling(store, meddle)
    with pytest.raises(kind):
        await tracker.rotate(session)
    assert (session.key, session.version) == (KEY, 1)
    (new,) = {operation.address for operation in backend.asked(Start)} - {session._address}
    assert new not in store.slots or store.slots[new].keys[new.key].active is None


async def test_no_answer_to_the_end_of_the_old_one_keeps_the_new_one(faulty: Any) -> None:
    """The old one may be gone: the object names the one that surely remains."""
    tracker, backend, _ = faulty
    session = await tracker.start(Checkout(key=KEY, count=7))
    backend.rule = lambda operation: "after" if type(operation) is Delete else ""
    with pytest.raises(OutcomeUnknownError):
        await tracker.rotate(session)
    backend.rule = lambda operation: ""
    assert session.key.startswith("stk_")
    assert (await tracker.get(Checkout, session.key)).count == 7
    assert (await tracker.update(session)).version == 3


async def test_a_store_that_goes_away_in_the_middle_leaves_the_old_one(faulty: Any) -> None:
    tracker, backend, _ = faulty
    session = await tracker.start(Checkout(key=KEY, count=7))
    away = [True] * 1_000

    def rule(operation: Any) -> str:
        ended = type(operation) is Delete and operation.address.key.endswith(KEY)
        return "away" if ended and away and away.pop() else ""

    backend.rule = rule
    with pytest.raises(BackendUnavailableError):
        await tracker.rotate(session)
    assert [found.key for found in await all_of(tracker)] == [KEY]
    assert (await tracker.update(session)).version == 2


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_no_answer_to_the_start_of_the_new_one_leaves_the_old_one(
    faulty: Any, fault: str
) -> None:
    tracker, backend, _ = faulty
    session = await tracker.start(Checkout(key=KEY, count=7))
    backend.rule = lambda operation: fault if type(operation) is Start else ""
    with pytest.raises(OutcomeUnknownError):
        await tracker.rotate(session)
    end = time.monotonic() + 20
    while [found.key for found in await all_of(tracker)] != [KEY]:
        assert time.monotonic() < end, "the new one was not taken back"
        await asyncio.sleep(0.005)
    assert (await tracker.update(session)).version == 2


@pytest.mark.parametrize("mode", TIMEOUTS)
async def test_lost_replies_on_the_way_are_asked_for_again(mode: str) -> None:
    async with faulty_tracker(mode, {"operation_timeout": "30s"}) as (tracker, backend, _):
        session = await tracker.start(Checkout(key=KEY, count=7))
        await asyncio.sleep(0.005)
        faults = {
            Start: of(Start, "after", "before"),
            Delete: of(Delete, "before", "after", "away"),
        }
        backend.rule = lambda operation: faults.get(type(operation), of(Start))(operation)
        await tracker.rotate(session)
        assert [found.id for found in await all_of(tracker)] == [session.id]


async def test_a_rotation_that_failed_can_be_tried_again(faulty: Any) -> None:
    tracker, backend, _ = faulty
    session = await tracker.start(Checkout(key=KEY))
    backend.rule = lambda operation: "away" if type(operation) is Start else ""
    with pytest.raises(SessionTrackerError):
        await tracker.rotate(session)
    backend.rule = lambda operation: ""
    await tracker.rotate(session)
    assert [found.id for found in await all_of(tracker)] == [session.id]
