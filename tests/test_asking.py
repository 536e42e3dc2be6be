"""A backend that is away, that loses requests and replies: repeats are done once, errors tell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sessiontracker import (
    BackendError,
    BackendUnavailableError,
    OutcomeUnknownError,
    SessionNotFoundError,
    SessionTrackerError,
)
from sessiontracker.operations import (
    Acquire,
    Delete,
    Failed,
    Finish,
    Ping,
    Read,
    Release,
    Renew,
    Resume,
    Saved,
    Start,
    Touch,
    Write,
)
from tests.clock import Clock
from tests.conditions import until
from tests.faulty import FaultyAsyncTracker, faulty_tracker, locks_left, of
from tests.paced import attempts
from tests.trackers import Checkout

KEY = "order-42"


TIMEOUTS = {"async": "300ms", "sync": "1s"}  # threads come late where a machine is busy


@pytest.fixture(params=TIMEOUTS)
async def faulty(request: pytest.FixtureRequest) -> Any:
    config = {"operation_timeout": TIMEOUTS[request.param]}
    async with faulty_tracker(request.param, config) as opened:
        yield opened


async def _update(tracker: Any) -> int:
    session = await tracker.get(Checkout, KEY)
    session.count += 1
    return (await tracker.update(session)).version


async def _finish_session(tracker: Any) -> int:
    session = await tracker.get(Checkout, KEY)
    return (await tracker.finish(session)).version


async def _rotate(tracker: Any) -> int:
    session = await tracker.get(Checkout, KEY)
    await tracker.rotate(session)
    return (await tracker.get(Checkout, session.key)).version


async def _get_locked(tracker: Any) -> int:
    async with tracker.get_locked(Checkout, KEY) as session:
        session.count += 1
    return session.version


async def _missing(tracker: Any) -> int:
    async with tracker.get_locked(Checkout, "new", missing=Checkout()) as session:
        pass
    return session.version + 1


async def _version(call: Awaitable[Any]) -> int:
    return (await call).version


async def _delete(tracker: Any) -> int:
    assert await tracker.delete(Checkout, KEY) is True
    with pytest.raises(SessionNotFoundError):
        await tracker.get(Checkout, KEY)
    return 2


async def _touch(tracker: Any) -> int:
    await tracker.touch(Checkout, KEY)
    return (await tracker.get(Checkout, KEY)).version + 1


# Each ends at version 2 if what it asks is done exactly once.
CALLS: dict[str, tuple[type, Callable[[Any], Awaitable[int]]]] = {
    "start": (Start, lambda t: _plus(t.start(Checkout(key="new")))),
    "get_or_start": (Start, lambda t: _plus(t.get_or_start(Checkout(key="new")))),
    "get": (Read, lambda t: _plus(t.get(Checkout, KEY))),
    "touch": (Touch, _touch),
    "update": (Write, _update),
    "finish by key": (Finish, lambda t: _version(t.finish(Checkout, KEY))),
    "finish of a session": (Finish, _finish_session),
    "resume": (Resume, lambda t: _less(t.resume(Checkout, "finished"))),
    "delete": (Delete, _delete),
    "rotate, at the start of the new": (Start, _rotate),
    "rotate, at the end of the old": (Delete, _rotate),
    "get_locked, at the lock": (Acquire, _get_locked),
    "get_locked, at the save": (Write, _get_locked),
    "get_locked of a missing one": (Acquire, _missing),
}


# All of them on the one side of the house, some on the other: each waits until its time is up.
IN_VAIN = [
    *(("async", name) for name in CALLS),
    *(("sync", name) for name in ("start", "get", "finish by key", "get_locked, at the save")),
]


async def _plus(call: Awaitable[Any]) -> int:
    return (await call).version + 1


async def _less(call: Awaitable[Any]) -> int:
    return (await call).version - 1


async def _prepared(tracker: Any, stores: dict[str, Any]) -> None:
    await tracker.start(Checkout(key=KEY))
    await tracker.start(Checkout(key="finished"))
    await tracker.finish(Checkout, "finished")
    (store,) = stores.values()  # what is asked from now on comes a minute later
    store._store._clock = lambda: time.time_ns() // 1000 + 60_000_000


@pytest.mark.parametrize("faults", ["before", "after", "away", "after before", "before after away"])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("mode", TIMEOUTS)
async def test_a_repeat_is_done_once(mode: str, name: str, faults: str) -> None:
    kind, call = CALLS[name]
    async with faulty_tracker(mode, {"operation_timeout": "30s"}) as (tracker, backend, stores):
        await _prepared(tracker, stores)
        backend.batches.clear()
        backend.rule = of(kind, *faults.split())
        assert await call(tracker) == 2
        asked = backend.asked(kind)
    assert len(asked) == 1 + len(faults.split())
    assert len({getattr(operation, "id", 0) for operation in asked}) == 1
    assert locks_left(stores) == []
    since = [operation.since for operation in asked if hasattr(operation, "since")]
    if since and faults.startswith(("before", "after")):
        first, *again = since
        assert first == 0
        assert len(set(again)) == 1, "each says since when it is sent"
        assert 0 < again[0] < time.time() * 1000 + 60_000


@pytest.mark.parametrize(("faulty", "name"), IN_VAIN, indirect=["faulty"])
async def test_a_store_that_stays_away_did_nothing(faulty: Any, name: str) -> None:
    tracker, backend, stores = faulty
    kind, call = CALLS[name]
    await _prepared(tracker, stores)
    before = _sessions(stores)
    backend.rule = lambda operation: "away" if type(operation) is kind else ""
    with pytest.raises(BackendUnavailableError, match=r"'memory'.*is away.*nothing was done"):
        await call(tracker)
    if name == "rotate, at the end of the old":
        await until(lambda: type(backend.log[-1]) is Delete)
        backend.rule = lambda operation: ""
        assert (await tracker.get(Checkout, KEY)).version == 1
    else:
        assert _sessions(stores) == before


@pytest.mark.parametrize(("faulty", "name"), IN_VAIN, indirect=["faulty"])
async def test_a_store_that_never_answers_leaves_it_unknown(faulty: Any, name: str) -> None:
    tracker, backend, stores = faulty
    kind, call = CALLS[name]
    await _prepared(tracker, stores)
    began = time.monotonic()
    backend.rule = lambda operation: "after" if type(operation) is kind else ""
    harmless = kind in {Read, Touch}
    expected = BackendUnavailableError if harmless else OutcomeUnknownError
    match = "nothing was done" if harmless else "whether it was done is not known"
    with pytest.raises(expected, match=match):
        await call(tracker)
    assert time.monotonic() - began >= 0.25  # and something for an answer to the last
    backend.rule = lambda operation: ""
    async with tracker.lock(Checkout, KEY, wait=20):  # no lock stays behind
        pass
    assert locks_left(stores) == []


def _sessions(stores: dict[str, Any]) -> list[Any]:
    return [
        (name, key.active, key.finished)
        for store in stores.values()
        for name, slot in store._store.slots.items()
        for key in slot.keys.values()
        if key.active is not None or key.finished is not None
    ]


async def test_what_others_did_meanwhile_is_not_done_over(faulty: Any) -> None:
    """By key alone, a repeat that finds others' deeds is unknown, never a second effect."""
    tracker, backend, stores = faulty
    (store,) = stores.values()
    await _prepared(tracker, stores)

    def meddling(operation: Any) -> str:
        if type(operation) is not Finish or operation.since:
            return ""
        store._store.step(operation)  # it is done, and then others come
        store._store.step(Resume(operation.address, 12345))
        return "before"

    backend.rule = meddling
    with pytest.raises(OutcomeUnknownError, match=r"others have changed it.*get\(\)"):
        await tracker.finish(Checkout, KEY)
    assert (await tracker.get(Checkout, KEY)).version == 3


@pytest.mark.parametrize("on_its_way", [0, 10])
@pytest.mark.parametrize("mode", ["async", "sync"])
async def test_a_repeat_that_is_late_is_not_done_over_what_others_did(
    mode: str, on_its_way: int
) -> None:
    """However long it is on its way, others' deeds are none from before it was first sent."""
    clock = Clock()
    config = {"backends": {"memory": {"use": "memory", "clock": clock}}}
    async with faulty_tracker(mode, config) as (tracker, backend, stores):
        (store,) = stores.values()
        await tracker.start(Checkout(key=KEY))
        clock.move(60)

        def delayed(operation: Any) -> str:
            if type(operation) is not Finish:
                return ""
            if len(backend.asked(Finish)) > 1:
                clock.move(on_its_way)
                return ""
            store._store.step(operation)  # it is done, and then others come
            store._store.step(Resume(operation.address, 12345))
            return "before"

        backend.rule = delayed
        with pytest.raises(OutcomeUnknownError, match=r"others have changed it.*get\(\)"):
            await tracker.finish(Checkout, KEY)
        assert (await tracker.get(Checkout, KEY)).version == 3


async def test_no_lock_leaks_when_the_reply_to_acquire_is_lost_for_good(faulty: Any) -> None:
    tracker, backend, stores = faulty
    await tracker.start(Checkout(key=KEY))
    backend.rule = lambda operation: "after" if type(operation) is Acquire else ""
    for block in (tracker.lock, tracker.get_locked):
        with pytest.raises(OutcomeUnknownError):
            async with block(Checkout, KEY):
                pytest.fail("nobody knows that it is held")
    await until(lambda: len(backend.asked(Release)) >= 2 and not locks_left(stores))


async def test_a_lost_reply_to_the_release_is_no_error(faulty: Any) -> None:
    tracker, backend, stores = faulty
    await tracker.start(Checkout(key=KEY))
    backend.rule = of(Release, "after")
    async with tracker.get_locked(Checkout, KEY):
        pass
    backend.rule = of(Release, "before", "after")
    async with tracker.lock(Checkout, KEY):
        pass
    assert locks_left(stores) == []


async def test_a_lost_reply_to_the_release_that_others_followed_is_no_error(faulty: Any) -> None:
    tracker, backend, stores = faulty
    (store,) = stores.values()

    def meddling(operation: Any) -> str:
        if type(operation) is not Release or operation.since:
            return ""
        store._store.step(operation)
        store._store.step(Acquire(operation.address, 77, 1))
        return "before"

    backend.rule = meddling
    async with tracker.lock(Checkout, KEY):
        pass


@pytest.mark.parametrize("when", ["before", "after"])
async def test_whether_a_session_was_there_when_its_lock_was_let_go_may_be_unknown(
    faulty: Any, when: str
) -> None:
    tracker, backend, stores = faulty
    (store,) = stores.values()

    def meddling(operation: Any) -> str:
        if type(operation) is not Release or operation.since:
            return ""
        steps = [operation, Delete(operation.address, 77)]
        for step in steps if when == "after" else reversed(steps):
            store._store.step(step)
        return "before"

    await tracker.start(Checkout(key=KEY))
    backend.rule = meddling
    with pytest.raises(OutcomeUnknownError, match="changed it since"):
        async with tracker.get_locked(Checkout, KEY):
            pass
    assert locks_left(stores) == []


@pytest.mark.parametrize("kind", [Write, Release])
async def test_a_block_left_without_an_answer_lets_go_behind(faulty: Any, kind: type) -> None:
    tracker, backend, stores = faulty
    await tracker.start(Checkout(key=KEY))
    back = time.monotonic() + 60

    def rule(operation: Any) -> str:
        return "away" if type(operation) is kind and time.monotonic() < back else ""

    with pytest.raises(BackendUnavailableError):
        async with tracker.get_locked(Checkout, KEY) as session:
            session.paid = kind is Write
            backend.rule = rule
            whole = getattr(tracker, "tracker", tracker)._config.operation_timeout / 1000
            back = time.monotonic() + 1.4 * whole  # later than the call gives up, not the release
    await until(lambda: not locks_left(stores))


async def test_an_error_of_the_body_does_not_wait_for_a_store_that_is_away(faulty: Any) -> None:
    tracker, backend, stores = faulty
    await tracker.start(Checkout(key=KEY))
    with pytest.raises(KeyError):
        async with tracker.get_locked(Checkout, KEY):
            backend.rule = lambda operation: "away"
            raise KeyError
    assert locks_left(stores)  # it did not wait
    backend.rule = lambda operation: ""
    await until(lambda: not locks_left(stores))


async def test_a_save_refused_for_good_lets_go(faulty: Any) -> None:
    tracker, backend, stores = faulty
    await tracker.start(Checkout(key=KEY))
    full = BackendError("the disk is full")

    def refuse(outcomes: list[Any]) -> list[Any]:
        return [Failed(full)] if type(backend.log[-1]) is Write else outcomes

    with pytest.raises(BackendError, match="the disk is full") as raised:
        async with tracker.get_locked(Checkout, KEY) as session:
            session.paid = True
            backend.rule = of(Write, "away")
            backend.answers = refuse
    assert raised.value is full
    await until(lambda: not locks_left(stores))


async def test_what_fails_after_it_was_sent_is_unknown(faulty: Any) -> None:
    """The first may have been done: that the repeat fails does not say that it was not."""
    tracker, backend, _ = faulty
    await tracker.start(Checkout(key=KEY))
    session = await tracker.get(Checkout, KEY)
    backend.rule = of(Write, "after")
    backend.answers = lambda outcomes: (
        [Failed(BackendError("read-only by now"))]
        if len(backend.asked(Write)) == 2 and type(outcomes[0]) is Saved
        else outcomes
    )
    with pytest.raises(OutcomeUnknownError, match="read-only by now"):
        await tracker.update(session)


async def test_what_fails_at_once_is_its_own_error(faulty: Any) -> None:
    tracker, backend, _ = faulty
    error = BackendError("no such table: run sessiontracker check")
    backend.answers = lambda outcomes: [Failed(error)] * len(outcomes)
    with pytest.raises(BackendError) as raised:
        await tracker.start(Checkout(key=KEY))
    assert raised.value is error
    assert len(backend.log) == 1


async def test_get_many_asks_again_for_those_alone_that_had_no_answer(faulty: Any) -> None:
    tracker, backend, _ = faulty
    keys = [f"{number}" for number in range(50)]
    for key in keys:
        await tracker.start(Checkout(key=key))
    backend.batches.clear()
    backend.rule = of(Read, *["", "away", "before"] * 10)
    assert list(await tracker.get_many(Checkout, keys)) == keys
    assert [len(batch) for batch in backend.batches] == [50, 20]
    backend.rule = lambda operation: "away" if operation.address.key == "k7" else ""
    with pytest.raises(BackendUnavailableError):
        await tracker.get_many(Checkout, keys)


async def test_ping_and_reap_say_that_a_store_is_away(faulty: Any) -> None:
    tracker, backend, _ = faulty
    backend.rule = lambda operation: "before"
    for call in (tracker.ping, tracker.reap):
        with pytest.raises(BackendUnavailableError, match="nothing was done"):
            await call()
    backend.rule = of(Ping, "before")
    await tracker.ping()


async def test_an_answer_that_does_not_fit_is_an_error_of_its_own(faulty: Any) -> None:
    tracker, backend, _ = faulty
    await tracker.start(Checkout(key=KEY))
    session = await tracker.get(Checkout, KEY)
    meta = session._meta
    backend.answers = lambda outcomes: [Saved(meta)] * len(outcomes)
    with pytest.raises(SessionTrackerError, match=r"does not fit: Saved$"):
        await tracker.get(Checkout, KEY)


async def test_a_backend_that_raises_is_no_missing_session(faulty: Any) -> None:
    tracker, backend, _ = faulty
    await tracker.start(Checkout(key=KEY))
    backend.error = ConnectionResetError("reset by peer")
    with pytest.raises(BackendUnavailableError, match="reset by peer"):
        await tracker.get(Checkout, KEY)
    with pytest.raises(OutcomeUnknownError, match="reset by peer"):
        await tracker.finish(Checkout, KEY)
    backend.error = None


async def test_renewals_are_tried_by_themselves_and_not_for_the_whole_timeout() -> None:
    """One lock's renewal without an answer keeps no other one's answer waiting."""

    def rule(operation: Any) -> str:
        return "away" if type(operation) is Renew and operation.address.key == "kstuck" else ""

    for attempt in attempts(stands=0.2):
        with attempt as pace:
            async with (
                FaultyAsyncTracker({"operation_timeout": "60s"}) as tracker,
                tracker.lock(Checkout, "stuck", lease=30 * pace),
                tracker.lock(Checkout, "short", lease=0.6 * pace) as short,
            ):
                tracker.faults["memory"].rule = rule
                for held in list(tracker._keeper._held.values()):
                    held.renew_at = 0.0  # all are due in one batch
                end = time.monotonic() + 1.5 * pace
                while time.monotonic() < end:
                    await asyncio.sleep(0.02)
                    short.check()
