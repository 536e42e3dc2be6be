"""The batcher: one batch a tick, one in flight a lane, a slot in its order, nobody disturbed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from sessiontracker import BackendUnavailableError, SessionTrackerError
from sessiontracker._async.batching import AsyncBatcher
from sessiontracker._sync import runtime
from sessiontracker._sync.batching import Batcher
from sessiontracker.backend import Answer, Asked, AsyncBackend, Backend
from sessiontracker.operations import (
    Address,
    NoAnswer,
    Outcome,
    Ping,
    Pong,
    Read,
    Release,
    Renew,
    Unavailable,
)
from tests.faulty import FaultyAsyncTracker
from tests.trackers import Checkout


def read(number: int, kind: str = "t") -> Read:
    return Read(Address(kind, "", f"{number}"))


def answers(operations: Sequence[Asked]) -> list[Any]:
    """An outcome that tells which operation it answers."""
    return [Pong(int(operation.address.key)) for operation in operations if operation.address]


class Recorder(AsyncBackend):
    """Notes every batch; answers when ``gate`` is open. ``sends``: by `AsyncBackend.send`."""

    def __init__(self, lanes: int = 1, batch: int = 256, *, sends: bool = False) -> None:
        if sends:
            self.send = self._send
        self.tasks: set[asyncio.Task[None]] = set()
        self.lanes = lanes
        self.batch = batch
        self.batches: list[list[Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reply: Any = answers
        self.under_way = 0
        self.most_under_way = 0

    async def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        self.batches.append(list(operations))
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
            result: list[Outcome] = self.reply(operations)
            return result
        finally:
            self.under_way -= 1

    def _send(self, operations: Sequence[Asked], answer: Answer) -> None:
        async def run() -> None:
            try:
                outcomes = await self.execute(operations)
            except Exception as error:
                outcomes = [NoAnswer(repr(error))] * len(operations)
            answer(outcomes)

        task = asyncio.create_task(run())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def wait(self, ticket: int, timeout: float) -> None:
        raise NotImplementedError


async def outcome_of(batcher: AsyncBatcher, operation: Asked) -> Outcome:
    return await batcher.ask(operation)


Recorders = Callable[..., Recorder]


@pytest.fixture(params=[False, True], ids=["execute", "send"])
def recorder(request: pytest.FixtureRequest) -> Recorders:
    """Makes backends of one kind and of the other."""
    return partial(Recorder, sends=request.param)


async def test_what_is_asked_in_one_tick_is_one_batch(recorder: Recorders) -> None:
    backend = recorder()
    batcher = AsyncBatcher(backend)
    got = await asyncio.gather(*(batcher.ask(read(n)) for n in range(100)))
    assert got == [Pong(n) for n in range(100)]
    assert [len(batch) for batch in backend.batches] == [100]
    assert batcher.in_flight == 0
    await batcher.close()


async def test_a_call_alone_waits_for_nobody(recorder: Recorders) -> None:
    backend = recorder()
    batcher = AsyncBatcher(backend)
    for number in range(3):
        assert await batcher.ask(read(number)) == Pong(number)
    assert [len(batch) for batch in backend.batches] == [1, 1, 1]
    await batcher.close()


async def test_one_batch_is_in_flight_and_the_next_gathers_meanwhile(recorder: Recorders) -> None:
    backend = recorder()
    batcher = AsyncBatcher(backend)
    backend.gate.clear()
    asked = [asyncio.create_task(outcome_of(batcher, read(0)))]
    await asyncio.sleep(0.01)
    for number in range(1, 50):
        asked.append(asyncio.create_task(outcome_of(batcher, read(number))))
        await asyncio.sleep(0)
    assert len(backend.batches) == 1
    assert batcher.in_flight == 50
    backend.gate.set()
    assert await asyncio.gather(*asked) == [Pong(n) for n in range(50)]
    assert [len(batch) for batch in backend.batches] == [1, 49]
    assert backend.most_under_way == 1
    await batcher.close()


async def test_a_batch_holds_no_more_than_the_backend_takes(recorder: Recorders) -> None:
    backend = recorder(batch=10)
    batcher = AsyncBatcher(backend)
    got = await batcher.ask_all([read(n) for n in range(25)])
    assert got == [Pong(n) for n in range(25)]
    assert [len(batch) for batch in backend.batches] == [10, 10, 5]
    await batcher.close()


async def test_a_slot_s_operations_stay_in_order_in_one_lane(recorder: Recorders) -> None:
    backend = recorder(lanes=4, batch=7)
    batcher = AsyncBatcher(backend)
    operations = [Release(Address("t", "", f"{n % 10}"), n) for n in range(500)]
    backend.reply = lambda batch: [Pong(operation.ticket) for operation in batch]
    got = await asyncio.gather(*(batcher.ask(operation) for operation in operations))
    assert got == [Pong(n) for n in range(500)]
    executed = [operation for batch in backend.batches for operation in batch]
    for slot in range(10):
        tickets = [o.ticket for o in executed if o.address.key == f"{slot}"]
        assert tickets == sorted(tickets)
        assert len(tickets) == 50
    assert 1 < backend.most_under_way <= 4
    await batcher.close()


async def test_a_backend_may_choose_the_lanes() -> None:
    class Servers(Recorder):
        def lane_of(self, operation: Asked) -> int:
            return 7 if operation.address is None else -ord(operation.address.type)

    backend = Servers()
    batcher = AsyncBatcher(backend)
    backend.gate.clear()
    asked: list[Asked] = [read(1, "a"), read(2, "b"), Ping(), read(3, "a")]
    asking = [asyncio.create_task(outcome_of(batcher, operation)) for operation in asked]
    for _ in range(10):
        await asyncio.sleep(0)
    assert sorted(map(len, backend.batches)) == [1, 1, 2]
    backend.gate.set()
    backend.reply = lambda operations: [Pong(1)] * len(operations)
    await asyncio.gather(*asking)
    await batcher.close()
    assert isinstance(await batcher.ask(read(4, "c")), Unavailable)


async def test_the_lanes_are_asked_side_by_side(recorder: Recorders) -> None:
    backend = recorder(lanes=4)
    batcher = AsyncBatcher(backend)
    backend.gate.clear()
    asked = asyncio.create_task(batcher.ask_all([read(n) for n in range(100)]))
    await asyncio.sleep(0.01)
    assert len(backend.batches) == 4
    backend.gate.set()
    assert await asked == [Pong(n) for n in range(100)]
    await batcher.close()


@pytest.mark.parametrize("when", ["gathered", "under way"])
async def test_a_caller_that_is_cancelled_disturbs_nobody(when: str, recorder: Recorders) -> None:
    backend = recorder()
    batcher = AsyncBatcher(backend)
    backend.gate.clear()
    if when == "gathered":
        first = asyncio.create_task(outcome_of(batcher, read(100)))
        await asyncio.sleep(0.01)
    asked = [asyncio.create_task(outcome_of(batcher, read(n))) for n in range(10)]
    await asyncio.sleep(0.01)
    for task in asked[::2]:
        task.cancel()
    await asyncio.wait(asked[::2])
    backend.gate.set()
    assert await asyncio.gather(*asked[1::2]) == [Pong(n) for n in range(1, 10, 2)]
    if when == "gathered":
        assert await first == Pong(100)
    assert len(backend.batches[-1]) == 10  # what was handed over is carried out
    assert batcher.in_flight == 0
    await batcher.close()


@pytest.mark.parametrize(
    "reply",
    [
        lambda operations: answers(operations)[:-1],
        lambda operations: [*answers(operations), Pong(0)],
        lambda operations: [],
        lambda operations: None,
        lambda operations: (answer for answer in answers(operations)),
    ],
    ids=["too few", "too many", "none", "nothing", "a generator"],
)
async def test_a_backend_that_breaks_the_contract_gives_no_answer(
    reply: Any, recorder: Recorders
) -> None:
    backend = recorder()
    batcher = AsyncBatcher(backend)
    backend.reply = reply
    got = await asyncio.wait_for(batcher.ask_all([read(1), read(2)]), 20)
    assert [type(outcome) for outcome in got] == [NoAnswer, NoAnswer]
    backend.reply = answers
    assert await asyncio.wait_for(batcher.ask(read(3)), 20) == Pong(3)
    await batcher.close()


async def test_a_backend_that_raises_gives_no_answer_and_goes_on(recorder: Recorders) -> None:
    backend = recorder()
    batcher = AsyncBatcher(backend)

    def broken(operations: Sequence[Asked]) -> list[Outcome]:
        raise ValueError("a bug of its own")

    backend.reply = broken
    got = await asyncio.gather(*(batcher.ask(read(n)) for n in range(3)))
    assert [type(outcome) for outcome in got] == [NoAnswer] * 3
    assert "a bug of its own" in got[0].reason  # type: ignore[attr-defined]
    backend.reply = answers
    assert await batcher.ask(read(3)) == Pong(3)
    await batcher.close()


@pytest.mark.parametrize("when", ["not begun", "under way"])
async def test_a_batch_whose_task_was_cancelled_gets_no_answer_and_the_next_goes(when: str) -> None:
    """As a loop does that ends with all that it runs."""
    backend = Recorder()
    batcher = AsyncBatcher(backend)
    backend.gate.clear()
    first = asyncio.create_task(outcome_of(batcher, read(1)))
    for _ in range(2 if when == "not begun" else 5):
        await asyncio.sleep(0)
    assert len(backend.batches) == (when == "under way")
    (sending,) = asyncio.all_tasks() - {asyncio.current_task(), first}
    second = asyncio.create_task(outcome_of(batcher, read(2)))
    sending.cancel()
    backend.gate.set()
    assert type(await asyncio.wait_for(first, 20)) is NoAnswer
    assert await asyncio.wait_for(second, 20) == Pong(2)
    assert batcher.in_flight == 0
    await batcher.close()


async def test_a_closed_batcher_answers_at_once(recorder: Recorders) -> None:
    backend = recorder()
    batcher = AsyncBatcher(backend)
    backend.gate.clear()
    under_way = asyncio.create_task(outcome_of(batcher, read(0)))
    await asyncio.sleep(0.01)
    gathered = asyncio.create_task(outcome_of(batcher, read(1)))
    await asyncio.sleep(0.01)
    await batcher.close()
    assert type(await under_way) is NoAnswer
    assert type(await gathered) is Unavailable
    assert type(await batcher.ask(read(2))) is Unavailable
    assert batcher.in_flight == 0
    backend.gate.set()
    await asyncio.gather(*backend.tasks)  # which answer too late
    assert len(backend.batches) == 1
    assert len(asyncio.all_tasks()) == 1


async def test_what_is_closed_in_the_tick_in_which_it_is_asked_is_not_sent(
    recorder: Recorders,
) -> None:
    backend = recorder()
    batcher = AsyncBatcher(backend)
    asked = asyncio.create_task(outcome_of(batcher, read(0)))
    await asyncio.sleep(0)
    await batcher.close()
    assert type(await asked) is Unavailable
    await asyncio.sleep(0.01)
    assert backend.batches == []


# By callback -----------------------------------------------------------------


class Sender(Recorder):
    """Answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Answer] = []
        self.error: BaseException | None = None
        self.send = self.note

    def note(self, operations: Sequence[Asked], answer: Answer) -> None:
        self.batches.append(list(operations))
        self.answers.append(answer)
        if self.error is not None:
            raise self.error


async def test_a_batch_is_answered_once() -> None:
    backend = Sender()
    batcher = AsyncBatcher(backend)
    first = asyncio.create_task(outcome_of(batcher, read(1)))
    await asyncio.sleep(0.01)
    backend.answers[0]([Pong(1)])
    second = asyncio.create_task(outcome_of(batcher, read(2)))
    await asyncio.sleep(0.01)
    third = asyncio.create_task(outcome_of(batcher, read(3)))
    await asyncio.sleep(0.01)
    backend.answers[0]([Pong(9)])  # again, while another is under way
    await asyncio.sleep(0.01)
    assert not second.done()
    assert len(backend.batches) == 2
    assert batcher.in_flight == 2
    backend.answers[1]([Pong(2)])
    await asyncio.sleep(0.01)
    backend.answers[2]([Pong(3)])
    backend.answers[2]([Pong(9)])
    assert await asyncio.gather(first, second, third) == [Pong(1), Pong(2), Pong(3)]
    assert batcher.in_flight == 0
    await batcher.close()


async def test_who_is_answered_and_asks_again_joins_what_gathered_meanwhile() -> None:
    backend = Sender()
    batcher = AsyncBatcher(backend)

    async def ask_twice() -> list[Outcome]:
        return [await batcher.ask(read(1)), await batcher.ask(read(3))]

    first = asyncio.create_task(ask_twice())
    await asyncio.sleep(0.01)
    second = asyncio.create_task(outcome_of(batcher, read(2)))
    await asyncio.sleep(0.01)
    backend.answers[0]([Pong(1)])
    await asyncio.sleep(0)  # one turn of the loop, for the answer and for sending again
    assert [answers(batch) for batch in backend.batches[1:]] == [[Pong(2), Pong(3)]]
    backend.answers[1]([Pong(2), Pong(3)])
    assert await first == [Pong(1), Pong(3)]
    assert await second == Pong(2)
    await batcher.close()


async def test_an_answer_may_come_before_sending_has_returned() -> None:
    backend = Sender()

    def answer_at_once(operations: Sequence[Asked], answer: Answer) -> None:
        backend.batches.append(list(operations))
        answer(answers(operations))

    backend.send = answer_at_once
    batcher = AsyncBatcher(backend)
    for number in range(3):
        got = await asyncio.wait_for(batcher.ask_all([read(number), read(7)]), 20)
        assert got == [Pong(number), Pong(7)]
    assert len(backend.batches) == 3
    await batcher.close()


async def test_an_answer_after_the_end_disturbs_nobody() -> None:
    backend = Sender()
    batcher = AsyncBatcher(backend)
    asked = asyncio.create_task(outcome_of(batcher, read(1)))
    await asyncio.sleep(0.01)
    await batcher.close()
    backend.answers[0]([Pong(1)])
    assert type(await asked) is NoAnswer  # it was sent
    assert batcher.in_flight == 0


async def test_sending_that_raises_gives_no_answer_and_goes_on() -> None:
    backend = Sender()
    batcher = AsyncBatcher(backend)
    backend.error = ValueError("a bug of its own")
    got = await asyncio.wait_for(batcher.ask_all([read(1), read(2)]), 20)
    assert [type(outcome) for outcome in got] == [NoAnswer] * 2
    assert "a bug of its own" in got[0].reason  # type: ignore[attr-defined]
    backend.error = None
    asked = asyncio.create_task(outcome_of(batcher, read(3)))
    await asyncio.sleep(0.01)
    backend.answers[0]([Pong(1), Pong(2)])  # what it was sent all the same, too late
    backend.answers[1]([Pong(3)])
    assert await asyncio.wait_for(asked, 20) == Pong(3)
    await batcher.close()


def test_an_interrupt_while_sending_reaches_the_loop_and_leaves_nobody_waiting() -> None:
    async def ask() -> tuple[AsyncBatcher, asyncio.Task[Outcome]]:
        backend = Sender()
        batcher = AsyncBatcher(backend)
        backend.error = KeyboardInterrupt()
        return batcher, asyncio.create_task(outcome_of(batcher, read(1)))

    loop = asyncio.new_event_loop()
    batcher, asked = loop.run_until_complete(ask())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.sleep(10))
    assert type(loop.run_until_complete(asyncio.wait_for(asked, 20))) is NoAnswer
    assert batcher.in_flight == 0
    loop.run_until_complete(batcher.close())
    loop.close()


# A limit ---------------------------------------------------------------------


async def test_a_limit_of_operations_in_flight_refuses_more_with_a_clear_error() -> None:
    async with FaultyAsyncTracker({"max_in_flight": 3, "operation_timeout": "100ms"}) as tracker:
        await tracker.start(Checkout(key="a"))
        tracker.faults["memory"].delay = 0.5
        calls = [asyncio.create_task(tracker.get(Checkout, "a")) for _ in range(5)]
        await asyncio.wait(calls)
        errors = [call.exception() for call in calls]
        refused = [error for error in errors if "max_in_flight = 3" in str(error)]
        assert len(refused) == 2  # the others had no answer in time
        for error in errors:
            assert isinstance(error, BackendUnavailableError)
            assert "nothing was done" in str(error)
        tracker.faults["memory"].delay = 0
        end = time.monotonic() + 20
        while tracker._askers["memory"]._batcher.in_flight:  # until they are answered
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        assert (await tracker.get(Checkout, "a")).version == 1


async def test_what_is_refused_for_a_moment_is_asked_again() -> None:
    async with FaultyAsyncTracker({"max_in_flight": 1}) as tracker:
        await tracker.start(Checkout(key="a"))
        tracker.faults["memory"].delay = 0.01
        calls = [tracker.get(Checkout, "a") for _ in range(4)]
        assert [session.key for session in await asyncio.gather(*calls)] == ["a"] * 4


async def test_callers_that_gave_up_count_until_their_operation_is_done() -> None:
    backend = Recorder()
    batcher = AsyncBatcher(backend, max_in_flight=2)
    backend.gate.clear()
    asked = [asyncio.create_task(outcome_of(batcher, read(n))) for n in range(2)]
    await asyncio.sleep(0.01)
    for task in asked:
        task.cancel()
    await asyncio.wait(asked)
    assert type(await batcher.ask(read(3))) is Unavailable
    assert [type(o) for o in await batcher.ask_all([read(3), read(4)])] == [Unavailable] * 2
    # What keeps or frees a lock is never refused.
    releasing = asyncio.create_task(outcome_of(batcher, Release(Address("t", "", "5"), 1)))
    renewing = asyncio.create_task(batcher.ask_all([Renew(Address("t", "", "6"), 1, 1, 1)]))
    await asyncio.sleep(0.01)
    backend.gate.set()
    assert await releasing == Pong(5)
    assert await renewing == [Pong(6)]
    assert await batcher.ask(read(7)) == Pong(7)
    await batcher.close()


# Threads ---------------------------------------------------------------------


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


def eventually(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.002)


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
