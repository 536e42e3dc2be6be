"""The batcher of threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from sessiontracker import SessionTrackerError
from sessiontracker._async.batching import AsyncBatcher
from sessiontracker._sync import runtime
from sessiontracker._sync.batching import Batcher
from sessiontracker.backend import Asked, Backend
from sessiontracker.operations import (
    NoAnswer,
    Outcome,
    Pong,
    Unavailable,
)
from tests.batches import Recorder, answers, outcome_of, read
from tests.conditions import eventually


class Blocking(Backend):
    def __init__(self, lanes: int = 1, batch: int = 256) -> None:
        self.lanes = lanes
        self.batch = batch
        self.batches: list[list[Any]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.reply: Any = answers
        self.under_way = 0
        self.most_under_way = 0

    def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        self.batches.append(list(operations))
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            assert self.gate.wait(30)
            result: list[Outcome] = self.reply(operations)
            return result
        finally:
            self.under_way -= 1

    def wait(self, ticket: int, timeout: float) -> None:
        raise NotImplementedError


class Asking(threading.Thread):
    """One thread that asks one thing."""

    def __init__(self, ask: Any, *arguments: Any) -> None:
        super().__init__(daemon=True)
        self.work = ask, arguments
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        ask, arguments = self.work
        try:
            self.outcome = ask(*arguments)
        except BaseException as error:
            self.outcome = error

    def result(self) -> Any:
        self.join(30)
        assert not self.is_alive(), "it hangs"
        return self.outcome


def test_threads_gather_while_one_batch_is_under_way() -> None:
    backend = Blocking()
    batcher = Batcher(backend)
    backend.gate.clear()
    asked = [Asking(batcher.ask, read(0))]
    eventually(lambda: len(backend.batches) == 1)
    asked += [Asking(batcher.ask, read(n)) for n in range(1, 17)]
    eventually(lambda: batcher.in_flight == 17)
    backend.gate.set()
    assert [thread.result() for thread in asked] == [Pong(n) for n in range(17)]
    assert [len(batch) for batch in backend.batches] == [1, 16]
    assert backend.most_under_way == 1
    assert batcher.in_flight == 0


def test_many_threads_lose_nothing() -> None:
    backend = Blocking(lanes=2, batch=5)
    batcher = Batcher(backend)

    def ask(first: int) -> list[Outcome]:
        got = [batcher.ask(read(n)) for n in range(first, first + 200)]
        return got + batcher.ask_all([read(n) for n in range(first, first + 13)])

    threads = [Asking(ask, first) for first in range(0, 1600, 200)]
    for first, thread in zip(range(0, 1600, 200), threads, strict=True):
        numbers = [*range(first, first + 200), *range(first, first + 13)]
        assert thread.result() == [Pong(n) for n in numbers]
    assert max(len(batch) for batch in backend.batches) <= 5
    assert batcher.in_flight == 0


@pytest.mark.parametrize(
    "reply",
    [
        lambda operations: answers(operations)[:-1],
        lambda operations: None,
        lambda operations: 1 / 0,
    ],
    ids=["too few", "nothing", "an error"],
)
def test_a_blocking_backend_that_breaks_the_contract_gives_no_answer(reply: Any) -> None:
    backend = Blocking()
    batcher = Batcher(backend)
    backend.gate.clear()
    backend.reply = reply
    first = Asking(batcher.ask, read(0))
    eventually(lambda: backend.batches)
    second = Asking(batcher.ask_all, [read(1), read(2)])
    eventually(lambda: batcher.in_flight == 3)
    backend.gate.set()
    assert type(first.result()) is NoAnswer
    assert [type(outcome) for outcome in second.result()] == [NoAnswer] * 2
    backend.reply = answers
    assert Asking(batcher.ask, read(3)).result() == Pong(3)


def test_an_interrupted_leader_passes_the_lead_on() -> None:
    backend = Blocking()
    batcher = Batcher(backend)
    backend.gate.clear()
    struck = [True]

    def interrupted(operations: Sequence[Asked]) -> list[Outcome]:
        if struck.pop():
            raise KeyboardInterrupt
        return answers(operations)

    backend.reply = interrupted
    leader = Asking(batcher.ask, read(0))
    eventually(lambda: backend.batches)
    struck.insert(0, False)
    follower = Asking(batcher.ask, read(1))
    eventually(lambda: batcher.in_flight == 2)
    backend.gate.set()
    assert isinstance(leader.result(), KeyboardInterrupt)
    assert follower.result() == Pong(1)


@pytest.mark.parametrize("leads", [False, True])
def test_an_interrupted_follower_leaves_no_gap(leads: bool, monkeypatch: Any) -> None:
    """Struck while it waits, or in the very moment in which it was given the lead."""
    backend = Blocking()
    lane = runtime.Lane(backend)
    backend.gate.clear()
    leader = Asking(lane.ask, read(0))
    eventually(lambda: backend.batches)
    strike = threading.Event()

    class Turn(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if leads:
                super().wait(30)
            strike.wait(30)
            raise KeyboardInterrupt

    monkeypatch.setattr(runtime, "threading", SimpleNamespace(Event=Turn))
    struck = Asking(lane.ask, read(1))
    eventually(lambda: lane.load == 2)
    monkeypatch.undo()
    follower = Asking(lane.ask, read(2))
    eventually(lambda: lane.load == 3)
    if leads:
        backend.gate.set()
        assert leader.result() == Pong(0)
        strike.set()
    else:
        strike.set()
        assert isinstance(struck.result(), KeyboardInterrupt)
        backend.gate.set()
        assert leader.result() == Pong(0)
    assert isinstance(struck.result(), KeyboardInterrupt)
    assert follower.result() == Pong(2)
    assert Asking(lane.ask, read(3)).result() == Pong(3)
    assert lane.load == 0
    assert [operation.address.key for batch in backend.batches for operation in batch] == [
        "0",
        "2",
        "3",
    ]


def test_a_closed_lane_takes_no_more() -> None:
    backend = Blocking()
    batcher = Batcher(backend)
    batcher.close()
    assert type(batcher.ask(read(0))) is Unavailable
    assert [type(o) for o in batcher.ask_all([read(0), read(1)])] == [Unavailable] * 2
    assert backend.batches == []


async def test_a_batcher_of_another_event_loop_says_so() -> None:
    batcher = AsyncBatcher(Recorder())

    def elsewhere() -> None:
        with pytest.raises(SessionTrackerError, match="another event loop"):
            asyncio.run(outcome_of(batcher, read(0)))

    await asyncio.to_thread(elsewhere)
    await batcher.close()
