"""The batcher, before a backend that is called back, and a limit to what is in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from sessiontracker import BackendUnavailableError
from sessiontracker._async.batching import AsyncBatcher
from sessiontracker.backend import Answer, Asked
from sessiontracker.operations import (
    Address,
    NoAnswer,
    Outcome,
    Pong,
    Release,
    Renew,
    Unavailable,
)
from tests.batches import Recorder, answers, outcome_of, read
from tests.faulty import FaultyAsyncTracker
from tests.trackers import Checkout

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
