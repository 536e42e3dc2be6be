"""A lane of threads owns the deadline of what it is asked, too: everybody hears in time.

The backend stands still until it is told to go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from sessiontracker._sync import runtime
from sessiontracker._sync.batching import Batcher
from sessiontracker._sync.runtime import Lane
from sessiontracker.backend import Asked, Backend
from sessiontracker.operations import (
    NoAnswer,
    Outcome,
    Pong,
    Unavailable,
)
from tests.batches import keys, read
from tests.conditions import eventually


class Standing(Backend):
    """Stands still in each batch until it may ``go``; notes which thread brought it."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.brought_by: list[threading.Thread] = []
        self.within = 0
        self.refuses = False
        self._may_go = threading.Semaphore(0)

    def go(self, batches: int = 1) -> None:
        self._may_go.release(batches)

    def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        self.batches.append(list(operations))
        self.brought_by.append(threading.current_thread())
        self.within += 1
        assert self._may_go.acquire(timeout=30)
        self.within -= 1
        if self.refuses:
            return [Unavailable("it is away")] * len(operations)
        return [Pong(int(asked.address.key)) for asked in operations if asked.address]

    def wait(self, ticket: int, timeout: float) -> None:
        raise NotImplementedError


class Asking(threading.Thread):
    """Asks one thing."""

    def __init__(self, lane: Lane, number: int, ago: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.outcome: Outcome | None = None
        self._ask = lane.ask, read(number), time.monotonic() - ago
        self.start()

    def run(self) -> None:
        ask, operation, began = self._ask
        self.outcome = ask(operation, began)

    def result(self) -> Outcome:
        self.join(30)
        assert self.outcome is not None, "it hangs"
        return self.outcome


@pytest.fixture
def standing() -> Any:
    backend = Standing()
    yield backend
    backend.go(100)


SHORT = 0.1  # s


def test_who_waits_behind_a_thread_that_hangs_is_told_in_time(standing: Standing) -> None:
    lane = Lane(standing, SHORT)
    leader = Asking(lane, 0, ago=-30)
    eventually(lambda: standing.within)
    waiting = [Asking(lane, number) for number in range(1, 9)]
    assert {type(each.result()) for each in waiting} == {Unavailable}
    assert leader.is_alive()  # it waits for the backend itself
    assert lane.load == 1
    standing.go(2)
    assert leader.result() == Pong(0)
    assert Asking(lane, 9, ago=-30).result() == Pong(9)
    assert keys(standing.batches) == [["0"], ["9"]], "what was told not to be sent was sent"
    assert lane.load == 0


def slow(standing: Standing, lane: Lane) -> None:
    """Have a batch take long."""
    leader = Asking(lane, 0, ago=-30)
    eventually(lambda: standing.within)
    time.sleep(SHORT / 4)
    standing.go()
    assert leader.result() == Pong(0)


def test_after_a_slow_batch_nobody_goes_there_himself(standing: Standing) -> None:
    lane = Lane(standing, SHORT)
    slow(standing, lane)
    calls = [Asking(lane, 1, ago=-3 * SHORT)]
    eventually(lambda: standing.within)
    calls += [Asking(lane, number) for number in (2, 3)]
    assert [type(call.result()) for call in calls] == [NoAnswer, Unavailable, Unavailable]
    assert standing.brought_by[1] not in calls
    assert lane.load == 1  # it is still under way
    standing.go(100)
    eventually(lambda: lane.load == 0)

    def goes_there_himself() -> bool:
        call = Asking(lane, 4, ago=-30)
        assert call.result() == Pong(4)
        return standing.brought_by[-1] is call

    eventually(goes_there_himself)  # when a batch was fast


def test_who_is_given_the_lead_after_a_slow_batch_goes_there_neither(standing: Standing) -> None:
    lane = Lane(standing, 4 * SHORT)
    leader = Asking(lane, 0, ago=-30)
    eventually(lambda: standing.within)
    follower = Asking(lane, 1)
    eventually(lambda: lane.load == 2)
    time.sleep(SHORT)
    standing.go()
    assert leader.result() == Pong(0)
    assert type(follower.result()) in (NoAnswer, Unavailable)  # Unavailable: on a busy machine
    assert follower not in standing.brought_by


def test_what_fails_at_once_after_a_slow_batch_may_hang_the_next_time(standing: Standing) -> None:
    lane = Lane(standing, SHORT)
    slow(standing, lane)
    standing.refuses = True
    standing.go(100)
    for number in (1, 2):
        call = Asking(lane, number, ago=-30)
        assert type(call.result()) is Unavailable
        assert standing.brought_by[-1] is not call


def test_who_has_not_much_time_left_does_not_go_there_himself(standing: Standing) -> None:
    lane = Lane(standing, 10 * SHORT)
    late = Asking(lane, 0, ago=8 * SHORT)
    assert type(late.result()) in (NoAnswer, Unavailable)  # Unavailable: on a busy machine
    assert late not in standing.brought_by


def test_who_has_no_time_left_asks_for_nothing(standing: Standing) -> None:
    standing.go(100)
    lane = Lane(standing, SHORT)
    outcomes = lane.ask_all([read(1), read(2)], time.monotonic() - 2 * SHORT)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 2
    assert not standing.batches
    assert lane.load == 0


def test_of_many_lanes_those_behind_one_that_hangs_are_told_in_time(standing: Standing) -> None:
    standing.lanes = 8
    batcher = Batcher(standing, timeout=5 * SHORT)
    asked = threading.Thread(
        target=lambda: outcomes.extend(
            batcher.ask_all([read(number) for number in range(64)], time.monotonic())
        )
    )
    outcomes: list[Outcome] = []
    asked.start()
    eventually(lambda: standing.within)
    time.sleep(7.5 * SHORT)
    standing.go(100)
    asked.join(30)
    kinds = [type(outcome) for outcome in outcomes]
    assert len(standing.batches) == 1
    assert kinds.count(Pong) == len(standing.batches[0])
    assert set(kinds) == {Pong, Unavailable}


def test_a_lead_that_comes_as_time_is_up_is_passed_on(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = Lane(standing, 30)
    leader = Asking(lane, 0)
    eventually(lambda: standing.within)

    class Late(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert super().wait(30)
            return False  # so it says, and is set only just after

    monkeypatch.setattr(runtime, "threading", SimpleNamespace(Event=Late))
    late = Asking(lane, 1)
    eventually(lambda: lane.load == 2)
    monkeypatch.undo()
    following = Asking(lane, 2)
    eventually(lambda: lane.load == 3)
    standing.go(100)
    assert leader.result() == Pong(0)
    assert type(late.result()) is Unavailable
    assert following.result() == Pong(2)
    assert keys(standing.batches) == [["0"], ["2"]]
    assert lane.load == 0


def test_where_no_thread_can_be_had_one_goes_there_himself(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = Lane(standing, SHORT)
    slow(standing, lane)
    standing.go(100)

    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    asking = SimpleNamespace(Event=threading.Event, Thread=NoThread)
    monkeypatch.setattr(runtime, "threading", asking)
    assert lane.ask(read(1), time.monotonic()) == Pong(1)
    assert standing.brought_by[-1] is threading.current_thread()
