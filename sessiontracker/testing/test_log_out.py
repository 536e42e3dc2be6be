"""Log out everywhere: in one step, whoever holds locks."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from ..contract import Capability, new_id
from ..operations import (
    FOREVER,
    Address,
    Counted,
    CountOwner,
    Delete,
    Ended,
    EndOwner,
    Finish,
    Found,
    IsFinished,
    Limit,
    Locked,
    Missing,
    Read,
    Release,
    Released,
    Start,
    Unknown,
)
from .harness import LONG, SCOPE, Store, at_once, new_address, take
from .owners import at, listed, start, try_to_start

pytestmark = pytest.mark.needs(Capability.OWNERS)


@pytest.fixture
def owner() -> Address:
    """Whose name no test has used before."""
    return new_address("", SCOPE)


def test_all_are_finished_at_once(store: Store, owner: Address) -> None:
    for key in ("ka", "kb"):
        start(store, owner, key, key.encode())
    store.expect(EndOwner(owner, new_id(), LONG), Ended)
    assert listed(store, owner) == []
    found = store.expect(Read(at(owner, "kb"), finished=True), Found)
    assert (found.payload, found.meta.version) == (b"kb", 2)
    assert found.meta.expires == found.meta.finished + LONG
    store.expect(Read(at(owner, "ka")), IsFinished)


def test_the_one_that_is_kept_is_kept(store: Store, owner: Address) -> None:
    for key in ("ka", "kb", "kc"):
        start(store, owner, key)
    assert store.expect(EndOwner(owner, new_id(), LONG, "kb"), Ended).count == 2
    assert store.expect(EndOwner(owner, new_id(), None, "kb"), Ended).count == 2
    assert listed(store, owner) == ["kb"]


def test_all_are_removed_finished_ones_too(store: Store, owner: Address) -> None:
    for key in ("ka", "kb"):
        start(store, owner, key)
    store.expect(Finish(at(owner, "ka"), new_id(), FOREVER), Found)
    assert store.expect(EndOwner(owner, new_id()), Ended).count == 2
    for key in ("ka", "kb"):
        store.expect(Read(at(owner, key)), Missing)
        store.expect(Read(at(owner, key), finished=True), Missing)
    assert store.expect(EndOwner(owner, new_id()), Ended).count == 0


@pytest.mark.roles("locking")
def test_locks_are_no_bar_to_a_log_out(both: Store, owner: Address) -> None:
    start(both, owner, "ka")
    ticket, token = take(both, at(owner, "ka"))
    assert both.expect(EndOwner(owner, new_id(), LONG), Ended).count == 1
    assert type(try_to_start(both, owner, "ka", Limit(9))) is Locked
    both.expect(Release(at(owner, "ka"), ticket), Released)
    assert take(both, at(owner, "ka"))[1] > token


def test_a_repeated_log_out_ends_no_more(store: Store, owner: Address) -> None:
    for key in ("ka", "kb"):
        start(store, owner, key)
    end = EndOwner(owner, new_id(), LONG)
    assert store.expect(end, Ended).count == 2
    start(store, owner, "kc")
    assert store.expect(store.repeated(end, 10_000), Ended).count == 2
    assert listed(store, owner) == ["kc"]


def test_a_log_out_is_not_done_late(store: Store, owner: Address) -> None:
    start(store, owner, "ka")
    store.expect(store.repeated(EndOwner(owner, new_id()), 10_000), Unknown)
    store.expect(store.repeated(EndOwner(owner, new_id(), LONG), 10_000), Unknown)
    assert listed(store, owner) == ["ka"]


def test_what_went_by_key_before_a_log_out_is_not_done_after_it(
    store: Store, owner: Address
) -> None:
    start(store, owner, "ka")
    store.elapse(3)
    store.expect(EndOwner(owner, new_id()), Ended)
    for operation in (
        Start(at(owner, "ka"), new_id(), b"", "alice"),
        Finish(at(owner, "ka"), new_id(), LONG),
        Delete(at(owner, "ka"), new_id()),
    ):
        # First sent before the log-out, and after all else that was done to the key.
        store.expect(store.repeated(operation, 2 * store.tick), Unknown)
    assert listed(store, owner) == []


def test_a_start_is_wholly_before_a_log_out_or_wholly_after(store: Store, owner: Address) -> None:
    """Whoever starts one session after the other is left with the last ones alone."""
    for _ in range(6):
        keys: list[str] = []
        over = threading.Event()

        def begin(keys: list[str] = keys, over: threading.Event = over) -> int:
            while not over.is_set() or len(keys) < 4:
                keys.append(f"k{'az'[len(keys) % 2]}{len(keys)}")
                start(store, owner, keys[-1])
            return 0

        def end(over: threading.Event = over) -> int:
            time.sleep(0.002)
            try:
                return store.expect(EndOwner(owner, new_id()), Ended).count
            finally:
                over.set()

        _, gone = at_once(begin, end)
        left = set(listed(store, owner))
        assert left == set(keys[gone:]), f"of {len(keys)}, {gone} were ended, {left} are left"
        assert store.expect(EndOwner(owner, new_id()), Ended).count == len(left)


def test_what_was_started_has_ended_or_is_there(store: Store, owner: Address) -> None:
    def begin(caller: int) -> int:
        for number in range(6):
            start(store, owner, f"k{caller}.{number}")
        return 6

    def end() -> int:
        count = 0
        for _ in range(4):
            count -= store.expect(EndOwner(owner, new_id()), Ended).count
        return count

    left = sum(at_once(*[partial(begin, caller) for caller in range(6)], end, end))
    assert store.expect(CountOwner(owner), Counted).count == left
