"""The batcher: one batch a tick, one in flight a lane, a slot in its order, nobody disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from sessiontracker._async.batching import AsyncBatcher
from sessiontracker.backend import Asked
from sessiontracker.operations import (
    Address,
    NoAnswer,
    Outcome,
    Ping,
    Pong,
    Release,
    Unavailable,
)
from tests.batches import Recorder, answers, outcome_of, read
from tests.conditions import until

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
    await until(lambda: len(backend.batches) == 4)
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
