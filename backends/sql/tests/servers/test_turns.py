"""Who is overtaken at an owner's row has a turn: others leave it to him for a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from sessiontracker.contract import new_id
from sessiontracker.operations import (
    Address,
    Counted,
    CountOwner,
    EndOwner,
    Found,
    Limit,
    LimitReached,
    Read,
    Reap,
    Reaped,
    Saved,
    Start,
    Unavailable,
    WriteShared,
)
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.talk import Query
from tests.clock import Clock

from .conftest import Admin, Asked, OpenBackend, have_asked_through
from .owned import start


@pytest.fixture
def slow(open_backend: OpenBackend, monkeypatch: pytest.MonkeyPatch) -> ServerBackend:
    """A client that takes its time between what it reads and what it writes."""

    def slowly(query: Query, ask: Callable[[], Any]) -> Any:
        answer = ask()
        time.sleep(0.03)
        return answer

    with monkeypatch.context() as patch:
        have_asked_through(patch, slowly)
        return open_backend()


@pytest.fixture
def busy(open_backend: OpenBackend, owner: Address) -> Iterator[Callable[[], int]]:
    """Others who are quick, and never at rest; how many times they wrote so far."""
    quick = open_backend()
    begun, over = threading.Event(), threading.Event()
    written = 0

    def work() -> None:
        nonlocal written
        while not over.is_set():
            written += isinstance(start(quick, owner, f"kquick-{written % 10}"), Saved)
            quick.execute([EndOwner(owner, new_id())])
            begun.set()

    with ThreadPoolExecutor(1) as pool:
        work_ = pool.submit(work)
        assert begun.wait(30)
        yield lambda: written
        over.set()
        work_.result()


def test_who_is_slow_has_a_turn(
    slow: ServerBackend, busy: Callable[[], int], owner: Address
) -> None:
    for number in range(3):
        # It has but a moment to ask for its turn in, and may be overtaken there as well.
        outcomes = (start(slow, owner, f"kslow-{number}") for _ in range(15))
        assert any(isinstance(outcome, Saved) for outcome in outcomes)
    before, deadline = busy(), time.monotonic() + 30
    while busy() == before:  # and so have the others
        assert time.monotonic() < deadline


class Reservation:
    """Of the row of the only owner, for somebody else, by a clock that stands still."""

    def __init__(self, admin: Admin, clock: Clock) -> None:
        self._admin, self._clock = admin, clock
        self._owners = f"{admin.prefix}owners"

    def make(self, ms: int) -> None:
        until = self._clock.now // 1000 + ms
        sets = f"revision = {new_id()}, reserved_until = {until}"
        self._admin.execute(f"UPDATE {self._owners} SET {sets}")

    def is_there(self) -> bool:
        [(until,)] = self._admin.execute(f"SELECT reserved_until FROM {self._owners}")
        return until is not None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reservation(admin: Admin, clock: Clock) -> Reservation:
    return Reservation(admin, clock)


@pytest.fixture
def reserved(
    asked: Asked, open_backend: OpenBackend, owner: Address, clock: Clock, reservation: Reservation
) -> ServerBackend:
    """The owner has a session, and somebody else his turn, for a second."""
    backend = open_backend(clock=clock)
    start(backend, owner, "ka")
    reservation.make(1_000)
    asked.clear()
    return backend


def test_who_reads_does_not_wait_for_anothers_turn(
    asked: Asked, reserved: ServerBackend, owner: Address, clock: Clock, reservation: Reservation
) -> None:
    clock.move(0.1)  # so that there is something to slide
    [found] = reserved.execute([Read(replace(owner, key="ka"), slide=True, touch_every=0)])
    assert isinstance(found, Found)
    assert reserved.execute([CountOwner(owner)]) == [Counted(1)]
    assert len(asked) == 2
    assert reservation.is_there()


def test_who_writes_waits_for_a_turn_that_a_dead_client_had(
    reserved: ServerBackend, owner: Address, clock: Clock, reservation: Reservation
) -> None:
    assert isinstance(start(reserved, owner, "kb"), Unavailable)
    clock.move(1)
    assert isinstance(start(reserved, owner, "kb"), Saved)
    assert not reservation.is_there()


def test_who_reaps_leaves_a_turn_alone(
    reserved: ServerBackend, clock: Clock, reservation: Reservation
) -> None:
    clock.move(61)
    reservation.make(1_000)
    assert reserved.execute([Reap(100)]) == [Reaped(0)]
    clock.move(1)
    assert reserved.execute([Reap(100)]) == [Reaped(1)]


def test_what_was_reserved_before_the_clock_was_set_back_is_not_reserved(
    reserved: ServerBackend, owner: Address, clock: Clock
) -> None:
    clock.move(-3_600)
    assert isinstance(start(reserved, owner, "kb"), Saved)


def test_a_transaction_that_overtakes_ends_a_turn(
    reserved: ServerBackend, owner: Address, engine: Engine, reservation: Reservation
) -> None:
    with engine.begin() as connection:
        transaction = reserved.bind(connection)
        assert transaction is not None
        begin = Start(replace(owner, key="kb"), new_id(), b"x", "alice")
        assert isinstance(transaction.execute(begin), Saved)
    assert not reservation.is_there()


def test_a_turn_in_which_nothing_is_to_be_written_is_over_at_once(
    open_backend: OpenBackend,
    owner: Address,
    reservation: Reservation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = open_backend()
    start(quick, owner, "kfirst")
    quick.execute([EndOwner(owner, new_id())])
    others = [
        lambda: quick.execute([WriteShared(owner, new_id(), 0, 0, b"dark", 60_000)]),
        lambda: start(quick, owner, "kquick"),
    ]
    texts = beset(monkeypatch, others)
    begin = Start(replace(owner, key="kslow"), new_id(), b"x", limit=Limit(1))
    assert open_backend().execute([begin]) == [LimitReached(1)]
    assert not others
    reserving = [text for text in texts if "reserved_until =" in text and "= NULL" not in text]
    assert len(reserving) == 1
    assert not reservation.is_there()


def beset(monkeypatch: pytest.MonkeyPatch, others: list[Callable[[], Any]]) -> list[str]:
    """Have connections that are made from now on be overtaken by one of the ``others``, in turn,
    before each of their first writes; what they ask."""
    texts: list[str] = []

    def overtaken(query: Query, ask: Callable[[], Any]) -> Any:
        texts.append(query.text)
        if others and "reserved_until = NULL" in query.text:
            others.pop(0)()
        return ask()

    have_asked_through(monkeypatch, overtaken)
    return texts
