"""The backend under a `SessionTracker`: two writers and locks, from threads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .._sync.tracker import SessionTracker
from ..contract import new_id
from ..errors import (
    LockNotAcquiredError,
    SessionFinishedError,
    SessionInProgressError,
    SessionLockedError,
    SessionNotFoundError,
    StaleSessionError,
)
from .harness import Mode, at_once
from .subject import Subject
from .trackers import PLACES, Basket, tracker_config

pytestmark = [pytest.mark.modes("sync"), PLACES]

Opened = Callable[[], SessionTracker]


@pytest.fixture
def opened(
    subject: Subject, locking_subject: Subject | None, mode: Mode, elsewhere: bool
) -> Opened:
    """Makes a tracker on the backend under test, whose locks are there or elsewhere."""
    config = tracker_config(subject, locking_subject, elsewhere=elsewhere)
    return lambda: SessionTracker(config, types=[Basket])


def _key() -> str:
    return f"kit-{new_id():x}"


def test_the_life_of_a_session(opened: Opened) -> None:
    with opened() as tracker:
        key = _key()
        with pytest.raises(SessionNotFoundError):
            tracker.get(Basket, key)
        tracker.start(Basket(key=key, items=["book"]))
        with pytest.raises(SessionInProgressError):
            tracker.start(Basket(key=key))
        with tracker.get_locked(Basket, key) as basket:
            basket.count = 7
        assert tracker.get(Basket, key).count == 7
        tracker.finish(Basket, key)
        with pytest.raises(SessionFinishedError):
            tracker.get(Basket, key)
        done = tracker.get_finished(Basket, key)
        assert (done.count, done.items) == (7, ["book"])
        tracker.resume(Basket, key)
        assert tracker.delete(Basket, key)
        assert not tracker.delete(Basket, key)


def test_of_two_writers_the_second_is_stale(opened: Opened) -> None:
    with opened() as tracker:
        key = _key()
        tracker.start(Basket(key=key))
        one, two = tracker.get(Basket, key), tracker.get(Basket, key)
        one.count, two.count = 1, 2
        tracker.update(one)
        with pytest.raises(StaleSessionError) as caught:
            tracker.update(two)
        assert (caught.value.expected, caught.value.actual) == (1, 2)
        assert tracker.get(Basket, key).count == 1
        tracker.delete(Basket, key)


def test_threads_count_under_the_lock(opened: Opened) -> None:
    with opened() as tracker:
        key = _key()
        tracker.start(Basket(key=key))

        def many() -> None:
            for _ in range(8):
                with tracker.get_locked(Basket, key) as basket:
                    basket.count += 1

        at_once(*[many] * 12)
        basket = tracker.get(Basket, key)
        assert (basket.count, basket.version) == (96, 97)
        tracker.delete(Basket, key)


def test_a_locked_session_is_its_holders(opened: Opened, elsewhere: bool) -> None:
    with opened() as tracker:
        key = _key()
        tracker.start(Basket(key=key))
        before = tracker.get(Basket, key)
        with tracker.get_locked(Basket, key) as basket:
            with pytest.raises(LockNotAcquiredError), tracker.lock(Basket, key, wait=0):
                pass
            if not elsewhere:
                with pytest.raises(SessionLockedError):
                    tracker.update(before)
            basket.count = 5
            tracker.update(basket)
            basket.count = 6
        after = tracker.get(Basket, key)
        assert (after.count, after.version) == (6, 3)
        tracker.delete(Basket, key)


def test_an_error_in_the_body_saves_nothing_and_lets_go(opened: Opened) -> None:
    with opened() as tracker:
        key = _key()
        tracker.start(Basket(key=key))
        with pytest.raises(ZeroDivisionError), tracker.get_locked(Basket, key) as basket:
            basket.count = 1 // 0
        with tracker.lock(Basket, key, wait=0):
            assert tracker.get(Basket, key).count == 0
        tracker.delete(Basket, key)
