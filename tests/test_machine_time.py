"""The machine, promise by promise: what expires, and what is forgotten, in plain examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiontracker.operations import (
    FOREVER,
    Missing,
    Resume,
    Touch,
)
from sessiontracker.state import due, sweep
from tests.one_key import BEGIN, DAY, HERE, Store, found, saved


@pytest.fixture
def store() -> Store:
    return Store()


# Time is the store's clock ----------------------------------------------------------


def test_an_expired_session_is_not_there(store: Store) -> None:
    store.start(idle=1_000)
    store.go_on(999)
    found(store.read())
    store.go_on(1)
    assert store.read() == Missing()
    store.start()


def test_expiry_is_the_earlier_of_both_timeouts(store: Store) -> None:
    meta = store.start(idle=1_000, absolute=1_500)
    assert meta.expires == BEGIN + 1_000
    store.go_on(900)
    assert saved(store.ask(Touch(HERE))).expires == BEGIN + 1_500
    store.go_on(600)
    assert store.read() == Missing()


def test_fourteen_days_are_fourteen_days(store: Store) -> None:
    assert store.start(idle=14 * DAY).expires == BEGIN + 14 * DAY
    store.go_on(14 * DAY - 1)
    found(store.read())


def test_without_timeouts_it_never_expires(store: Store) -> None:
    assert store.start().expires == FOREVER
    store.go_on(100 * 365 * DAY)
    found(store.read())
    assert store.finish(FOREVER).expires == FOREVER


def test_start_resume_update_and_touch_slide(store: Store) -> None:
    meta = store.start(idle=10_000)
    for step in (
        lambda: store.write(meta.stamp),
        lambda: saved(store.ask(Touch(HERE))),
        lambda: store.finish() and store.resume(),
    ):
        store.go_on(1)
        slid = step()
        assert slid.slid == store.now // 1000
        assert slid.expires == slid.slid + 10_000


def test_a_lock_alone_does_not_slide(store: Store) -> None:
    store.start(idle=10_000)
    store.go_on(9_000)
    store.lock(1)
    assert found(store.read()).meta.slid == BEGIN


@given(
    idle=st.integers(1, 30 * DAY),
    touch_every=st.none() | st.integers(0, 30 * DAY),
    elapsed=st.integers(0, 31 * DAY),
)
def test_a_read_slides_when_it_is_due_and_not_before(
    idle: int, touch_every: int | None, elapsed: int
) -> None:
    store = Store()
    store.start(idle=idle)
    store.go_on(elapsed)
    outcome = store.read(slide=True, touch_every=touch_every)
    if elapsed >= idle:
        assert outcome == Missing()
        return
    every = idle // 20 if touch_every is None else min(touch_every, idle // 20)
    slid = BEGIN + elapsed if elapsed > every else BEGIN
    meta = found(outcome).meta
    assert (meta.slid, meta.expires) == (slid, slid + idle)
    assert meta.version == 1


def test_a_read_that_is_told_not_to_slide_never_does(store: Store) -> None:
    store.start(idle=10_000)
    store.go_on(9_999)
    assert found(store.read()).meta.slid == BEGIN


def test_resume_moves_the_absolute_end_by_the_time_it_lay_finished(store: Store) -> None:
    store.start(absolute=10_000)
    store.go_on(4_000)
    store.finish()
    store.go_on(DAY - 1)
    assert store.resume().ends == BEGIN + 10_000 + DAY - 1


def test_a_finished_one_is_kept_for_its_retention_alone(store: Store) -> None:
    store.start(idle=1_000)
    store.finish(5_000)
    store.go_on(4_999)
    found(store.read(finished=True))
    store.go_on(1)
    assert store.read(finished=True) == Missing()
    assert store.ask(Resume(HERE, store.id())) == Missing()


# Forgetting --------------------------------------------------------------------------------


def test_nothing_of_a_dead_key_stays(store: Store) -> None:
    store.start(idle=1_000)
    store.lock(1, lease=500)
    store.look(2)
    steps = 0
    while store.slot.keys:
        assert due(store.slot) > store.now // 1000
        store.now = due(store.slot) * 1000
        store.slot, _ = sweep(store.slot, store.now)
        steps += 1
        assert steps < 10
    assert due(store.slot) == FOREVER


def test_a_sweep_counts_the_sessions_that_went(store: Store) -> None:
    store.start(idle=1_000)
    store.finish(1_000)
    store.start(idle=2_000)
    assert due(store.slot) == BEGIN + 1_000
    store.go_on(1_000)
    store.slot, gone = sweep(store.slot, store.now)
    assert gone == 1
    found(store.read())
    assert due(store.slot) == BEGIN + 2_000
