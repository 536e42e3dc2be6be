"""Observers are told after every deed, with ids and never with a secret key."""

from __future__ import annotations

import pytest

from sessiontracker import AsyncSessionTracker, LockLostError, Session, events


class Order(Session):
    paid: bool = False


class Listener:
    def __init__(self) -> None:
        self.heard: list[events.Event] = []

    def notify(self, event: events.Event, /) -> None:
        self.heard.append(event)

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.heard]


@pytest.fixture
def listener() -> Listener:
    return Listener()


async def test_the_whole_life_is_told(listener: Listener) -> None:
    async with AsyncSessionTracker(observers=[listener]) as tracker:
        order = await tracker.start(Order(key="a"))
        await tracker.update(order)
        await tracker.finish(Order, "a")
        await tracker.resume(Order, "a")
        await tracker.delete(Order, "a")
    assert listener.kinds() == [
        "SessionStarted",
        "SessionUpdated",
        "SessionFinished",
        "SessionResumed",
        "SessionDeleted",
    ]
    versions = [event.version for event in listener.heard if isinstance(event, events.SessionEvent)]
    assert versions == [1, 2, 3, 4, 0]
    assert {(event.type, event.id) for event in listener.heard} == {("order", "a")}


async def test_a_locked_session_is_told_of_in_order(listener: Listener) -> None:
    async with (
        AsyncSessionTracker(observers=[listener]) as tracker,
        tracker.get_locked(Order, "a", missing=Order()) as order,
    ):
        order.paid = True
        token = tracker.lock_of(order).token
    assert listener.kinds() == ["LockAcquired", "SessionStarted", "SessionUpdated", "LockReleased"]
    tokens = [event.token for event in listener.heard if isinstance(event, events.LockEvent)]
    assert tokens == [token, token]


async def test_an_error_in_the_block_is_told_as_a_release_and_no_update(listener: Listener) -> None:
    async with AsyncSessionTracker(observers=[listener]) as tracker:
        with pytest.raises(RuntimeError, match="of the block"):
            async with tracker.get_locked(Order, "a", missing=Order()) as order:
                order.paid = True
                raise RuntimeError("of the block")
    assert listener.kinds() == ["LockAcquired", "SessionStarted", "LockReleased"]


async def test_a_lost_lock_is_told(listener: Listener) -> None:
    async with AsyncSessionTracker(observers=[listener]) as tracker:
        with pytest.raises(LockLostError):
            async with tracker.lock(Order, "a", lease="20ms") as lock:
                tracker._keeper.close()  # nobody renews it any more
                while lock.expires_in:
                    pass
    assert listener.kinds() == ["LockAcquired", "LockLost"]


async def test_a_secret_key_is_told_to_nobody(listener: Listener) -> None:
    async with AsyncSessionTracker(observers=[listener]) as tracker:
        order = await tracker.start(Order())
        old = order.key
        await tracker.rotate(order)
        await tracker.finish(order)
    rotated = listener.heard[1]
    assert isinstance(rotated, events.SessionRotated)
    assert rotated.old_id.startswith("sti_")
    assert rotated.id == order.id
    for secret in (old, order.key):
        assert secret.startswith("stk_")
        assert secret not in repr(listener.heard)


async def test_what_an_observer_raises_reaches_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def notify(self, event: events.Event, /) -> None:
            raise ValueError("broken observer")

    async with AsyncSessionTracker(observers=[Broken()]) as tracker:
        await tracker.start(Order(key="a"))
        assert (await tracker.get(Order, "a")).version == 1
    assert "Broken raised on SessionStarted" in caplog.text
