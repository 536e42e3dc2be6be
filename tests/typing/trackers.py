"""What type checkers see of the trackers' calls: checked, never run."""

from __future__ import annotations

from typing import assert_type

from sessiontracker import (
    AsyncBoundTracker,
    AsyncSessionTracker,
    BoundTracker,
    Session,
    SessionTracker,
)


class Checkout(Session):
    paid: bool = False


async def asynchronous() -> None:
    assert_type(AsyncSessionTracker.from_toml("sessions.toml"), AsyncSessionTracker)
    async with AsyncSessionTracker() as tracker:
        assert_type(tracker, AsyncSessionTracker)
        started = await tracker.start(Checkout(key="order-42"))
        assert_type(started, Checkout)
        assert_type(await tracker.get(Checkout, "order-42"), Checkout)
        assert_type(await tracker.get(Checkout, id=started.id), Checkout)
        assert_type(await tracker.get(started), Checkout)
        assert_type(await tracker.get_or_start(Checkout(key="order-42")), Checkout)
        assert_type(await tracker.get_many(Checkout, ["order-42"]), dict[str, Checkout])
        async with tracker.get_locked(Checkout, "order-42", missing=Checkout()) as checkout:
            assert_type(checkout, Checkout)
            assert_type(tracker.lock_of(checkout).token, int)
        async with tracker.lock(Checkout, "order-42", lease="5s", wait=None) as lock:
            assert_type(await tracker.finish(started, lock=lock), Checkout)
        assert_type(await tracker.get_finished(Checkout, "order-42"), Checkout)
        assert_type(await tracker.resume(Checkout, "order-42"), Checkout)
        assert_type(await tracker.update(started), Checkout)
        assert_type(await tracker.rotate(Checkout()), Checkout)
        assert_type(await tracker.delete(started), bool)
        bound = tracker.bind(object())
        assert_type(bound, AsyncBoundTracker)
        assert_type(await bound.start(Checkout()), Checkout)
        assert_type(await bound.finish(Checkout, "order-42", lock=lock), Checkout)
        async for scanned in tracker.scan(Checkout, finished=True):
            assert_type(scanned, Checkout)


def synchronous() -> None:
    assert_type(SessionTracker.from_toml("sessions.toml"), SessionTracker)
    with SessionTracker() as tracker:
        assert_type(tracker, SessionTracker)
        started = tracker.start(Checkout(key="order-42"))
        assert_type(started, Checkout)
        assert_type(tracker.get(Checkout, "order-42"), Checkout)
        with tracker.get_locked(Checkout, "order-42") as checkout:
            assert_type(checkout, Checkout)
            assert_type(tracker.lock_of(checkout).token, int)
        with tracker.lock(Checkout, "order-42") as lock:
            assert_type(tracker.finish(started, lock=lock), Checkout)
        bound = tracker.bind(object())
        assert_type(bound, BoundTracker)
        assert_type(bound.update(started), Checkout)
        for scanned in tracker.scan(Checkout):
            assert_type(scanned, Checkout)
