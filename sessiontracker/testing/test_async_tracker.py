"""The backend under an `AsyncSessionTracker`: two writers, locks, and cancellation anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from time import monotonic

import pytest

from .._async.tracker import AsyncSessionTracker
from ..contract import new_id
from ..errors import (
    LockNotAcquiredError,
    SessionFinishedError,
    SessionInProgressError,
    SessionLockedError,
    SessionNotFoundError,
    StaleSessionError,
)
from ..memory import AsyncMemoryBackend
from .harness import Mode, TooSlowError
from .subject import Subject
from .trackers import PLACES, Basket, cancel_at, tracker_config

pytestmark = [pytest.mark.modes("async"), PLACES]

MOST_AWAITS = 60


@pytest.fixture
def opened(
    subject: Subject, locking_subject: Subject | None, mode: Mode, elsewhere: bool
) -> Callable[[], AsyncSessionTracker]:
    """Makes a tracker on the backend under test, whose locks are there or elsewhere."""
    config = tracker_config(subject, locking_subject, elsewhere=elsewhere)
    return lambda: AsyncSessionTracker(config, types=[Basket])


Opened = Callable[[], AsyncSessionTracker]


def _key() -> str:
    return f"kit-{new_id():x}"


def test_the_life_of_a_session(opened: Opened) -> None:
    async def main() -> None:
        async with opened() as tracker:
            key = _key()
            with pytest.raises(SessionNotFoundError):
                await tracker.get(Basket, key)
            await tracker.start(Basket(key=key, items=["book"]))
            with pytest.raises(SessionInProgressError):
                await tracker.start(Basket(key=key))
            async with tracker.get_locked(Basket, key) as basket:
                basket.count = 7
            assert (await tracker.get(Basket, key)).count == 7
            await tracker.finish(Basket, key)
            with pytest.raises(SessionFinishedError):
                await tracker.get(Basket, key)
            done = await tracker.get_finished(Basket, key)
            assert (done.count, done.items) == (7, ["book"])
            await tracker.resume(Basket, key)
            assert await tracker.delete(Basket, key)
            assert not await tracker.delete(Basket, key)

    asyncio.run(main())


def test_an_id_is_never_a_key(opened: Opened) -> None:
    async def main() -> None:
        async with opened() as tracker:
            basket = await tracker.start(Basket(count=1))
            assert (await tracker.get(Basket, basket.key)).count == 1
            assert (await tracker.get(Basket, id=basket.id)).count == 1
            with pytest.raises(SessionNotFoundError):
                await tracker.get(Basket, basket.id)
            await tracker.delete(basket)

    asyncio.run(main())


def test_of_two_writers_the_second_is_stale(opened: Opened) -> None:
    async def main() -> None:
        async with opened() as tracker:
            key = _key()
            await tracker.start(Basket(key=key))
            one, two = await tracker.get(Basket, key), await tracker.get(Basket, key)
            one.count, two.count = 1, 2
            await tracker.update(one)
            with pytest.raises(StaleSessionError) as caught:
                await tracker.update(two)
            assert (caught.value.expected, caught.value.actual) == (1, 2)
            assert (await tracker.get(Basket, key)).count == 1
            await tracker.delete(Basket, key)

    asyncio.run(main())


def test_tasks_count_under_the_lock(opened: Opened) -> None:
    async def main() -> None:
        async with opened() as tracker:
            key = _key()
            await tracker.start(Basket(key=key))

            async def many() -> None:
                for _ in range(8):
                    async with tracker.get_locked(Basket, key) as basket:
                        basket.count += 1
                        await asyncio.sleep(0)

            await asyncio.gather(*(many() for _ in range(12)))
            basket = await tracker.get(Basket, key)
            assert (basket.count, basket.version) == (96, 97)
            await tracker.delete(Basket, key)

    asyncio.run(main())


def test_a_locked_session_is_its_holders(opened: Opened, elsewhere: bool) -> None:
    async def main() -> None:
        async with opened() as tracker:
            key = _key()
            await tracker.start(Basket(key=key))
            before = await tracker.get(Basket, key)
            async with tracker.get_locked(Basket, key) as basket:
                with pytest.raises(LockNotAcquiredError):
                    async with tracker.lock(Basket, key, wait=0):
                        pass
                if not elsewhere:
                    with pytest.raises(SessionLockedError):
                        await tracker.update(before)
                basket.count = 5
                await tracker.update(basket)
                basket.count = 6
            after = await tracker.get(Basket, key)
            assert (after.count, after.version) == (6, 3)
            await tracker.delete(Basket, key)

    asyncio.run(main())


# Cancellation ----------------------------------------------------------------


@pytest.fixture
def claim(subject: Subject, locking_subject: Subject | None, mode: Mode, elsewhere: bool) -> float:
    """How long, in s, a lock is kept for a waiter that is gone."""
    locks = locking_subject if elsewhere and subject.storage is not None else subject
    if locks is None:
        return 1.5 * AsyncMemoryBackend.look_every
    store = locks.open(mode)
    store.close()
    return 1.5 * store.backend.look_every


async def is_free(tracker: AsyncSessionTracker, key: str, claim: float) -> None:
    """See that neither lease nor claim nor ticket is left behind.

    What a cancelled call holds is let go behind it, which takes a moment; what leaked
    would last for a ``claim`` at least.
    """
    until = monotonic() + 0.9 * claim
    slowest = 0.0
    while True:
        began = monotonic()
        try:
            async with tracker.lock(Basket, key, wait=0):
                return
        except LockNotAcquiredError:
            slowest = max(slowest, monotonic() - began)
            if monotonic() >= until:
                if slowest > 0.1 * claim:
                    raise TooSlowError(f"to ask for a lock took up to {slowest:.2f} s") from None
                pytest.fail("a cancelled caller left its lock or its ticket")
            await asyncio.sleep(0)


def test_cancelled_anywhere_under_the_lock(opened: Opened, claim: float) -> None:
    async def main() -> None:
        async with opened() as tracker:
            key = _key()
            await tracker.start(Basket(key=key))

            async def count() -> None:
                async with tracker.get_locked(Basket, key) as basket:
                    basket.count += 1
                    await asyncio.sleep(0)

            for number in range(MOST_AWAITS):
                before = await tracker.get(Basket, key)
                reached = await cancel_at(number, count())
                await is_free(tracker, key, claim)
                after = await tracker.get(Basket, key)
                done = after.count - before.count
                assert done in (0, 1)
                assert after.version - before.version == done
                if not reached:
                    assert done == 1
                    return
            pytest.fail(f"more than {MOST_AWAITS} awaits to count once")

    asyncio.run(main())


def test_cancelled_anywhere_in_line(opened: Opened, claim: float) -> None:
    async def main() -> None:
        async with opened() as tracker:
            key = _key()
            await tracker.start(Basket(key=key))

            async def count() -> None:
                async with tracker.get_locked(Basket, key) as basket:
                    basket.count += 1

            for number in range(MOST_AWAITS):
                async with tracker.lock(Basket, key):
                    waiter = asyncio.ensure_future(cancel_at(number, count()))
                    for _ in range(number + 3):  # so that it is in line, or cancelled by now
                        await asyncio.sleep(0)
                reached = await waiter
                await is_free(tracker, key, claim)
                if not reached:
                    return
            pytest.fail(f"more than {MOST_AWAITS} awaits to wait once")

    asyncio.run(main())


def test_waiters_cancelled_at_random_leave_nothing(opened: Opened, claim: float, seed: int) -> None:
    random = Random(seed)

    async def main() -> None:
        async with opened() as tracker:
            key = _key()
            await tracker.start(Basket(key=key))

            async def count() -> None:
                async with tracker.get_locked(Basket, key) as basket:
                    basket.count += 1
                    await asyncio.sleep(0)

            tasks = [asyncio.ensure_future(count()) for _ in range(100)]
            for task in random.sample(tasks, 60):
                for _ in range(random.randrange(4)):
                    await asyncio.sleep(0)
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            done = sum(outcome is None for outcome in outcomes)
            others = [outcome for outcome in outcomes if outcome is not None]
            assert {type(outcome) for outcome in others} <= {asyncio.CancelledError}, others
            await is_free(tracker, key, claim)
            # A save that was under way when its caller was cancelled may have been done.
            assert done <= (await tracker.get(Basket, key)).count <= 100

    asyncio.run(main())


def test_other_calls_cancelled_anywhere_do_their_neighbours_no_harm(opened: Opened) -> None:
    async def main() -> None:
        async with opened() as tracker:
            keys = [_key() for _ in range(8)]
            for key in keys:
                await tracker.start(Basket(key=key))

            for number in range(MOST_AWAITS):
                others = [asyncio.ensure_future(tracker.get(Basket, key)) for key in keys[1:]]
                reached = await cancel_at(number, tracker.touch(Basket, keys[0]))
                assert [other.key for other in await asyncio.gather(*others)] == keys[1:]
                if not reached:
                    return
            pytest.fail(f"more than {MOST_AWAITS} awaits to touch once")

    asyncio.run(main())
