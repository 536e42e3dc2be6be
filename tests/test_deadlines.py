"""A lane owns the deadline of what it is asked: whatever the backend does, everybody hears in time.

In an event loop whose time is its own, and passes when there is nothing else to do.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from sessiontracker._async import asking
from sessiontracker._async import runtime as async_runtime
from sessiontracker._async.asking import AsyncAsker
from sessiontracker._async.runtime import AsyncLane
from sessiontracker.backend import Answer, Asked, AsyncBackend
from sessiontracker.operations import (
    Address,
    Delete,
    NoAnswer,
    Outcome,
    Pong,
    Reaped,
    Time,
    Unavailable,
)
from tests.batches import keys, read

WHOLE = 8.0  # s


# For an event loop -----------------------------------------------------------


class TimelessLoop(asyncio.SelectorEventLoop):
    """Its time passes where it would wait, and at once. Nothing outside of it is waited for."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.timers = 0
        loop = self

        class Passing(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> Any:
                assert timeout is not None, "it would wait for ever"
                loop.now += timeout
                return super().select(0)

        super().__init__(Passing())

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, *more: Any, **kwargs: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(when, *more, **kwargs)


class Silent(AsyncBackend):
    """Answers a batch when the test says so."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Asked]] = []
        self.answers: list[Answer] = []
        self.send = self._note

    def _note(self, operations: Sequence[Asked], answer: Answer) -> None:
        self.batches.append(list(operations))
        self.answers.append(answer)

    def answer(self) -> None:
        """The last batch: each with the number that it was asked for."""
        batch = self.batches[-1]
        self.answers[-1]([Pong(int(asked.address.key)) for asked in batch if asked.address])

    async def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        raise NotImplementedError

    async def wait(self, ticket: int, timeout: float) -> None:
        raise NotImplementedError


class Scene:
    """A lane, the backend behind it, and what its callers were told when."""

    def __init__(self, loop: TimelessLoop) -> None:
        self.loop = loop
        self.began = loop.now
        self.backend = Silent()
        self.lane = AsyncLane(self.backend, WHOLE)
        self.told: dict[int, tuple[str, float]] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def ask(self, number: int, ago: float = 0.0) -> asyncio.Task[None]:
        """Have one ask for ``number`` who began to wait so many seconds ago."""
        task = self.tasks[number] = self.loop.create_task(self._ask(number, self.loop.now - ago))
        return task

    async def _ask(self, number: int, began: float) -> None:
        outcome = await self.lane.ask(read(number), began)
        name = "answered" if outcome == Pong(number) else type(outcome).__name__
        self.told[number] = name, round(self.loop.now - self.began, 3)

    async def until(self, seconds: float) -> None:
        """So many seconds since the scene began."""
        await asyncio.sleep(self.began + seconds - self.loop.now)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a scene in a loop whose time passes at once."""
    loop = TimelessLoop()
    monkeypatch.setattr(async_runtime, "monotonic", loop.time)
    monkeypatch.setattr(asking, "monotonic", loop.time)

    def run(scene: Callable[[Scene], Coroutine[Any, Any, None]]) -> Scene:
        async def whole() -> Scene:
            played = Scene(loop)
            await scene(played)
            assert played.lane.load == 0, "somebody is still waited for"
            await played.lane.close()
            return played

        return loop.run_until_complete(whole())

    yield run
    loop.close()


Play = Callable[[Callable[[Scene], Coroutine[Any, Any, None]]], Scene]


def test_what_waits_behind_a_batch_without_answer_is_told_in_time(play: Play) -> None:
    async def scene(it: Scene) -> None:
        it.ask(1)
        await it.until(1)
        it.ask(2)
        await it.until(3)
        it.ask(3)
        await it.until(10)
        assert keys(it.backend.batches) == [["1"]]
        it.backend.answer()  # nobody waits for that any more
        await it.until(10.5)
        assert keys(it.backend.batches) == [["1"], ["3"]], "what was told not to be sent was sent"
        it.backend.answer()

    told = play(scene).told
    assert told == {1: ("NoAnswer", WHOLE), 2: ("Unavailable", WHOLE + 1), 3: ("answered", 10.5)}


def test_of_one_batch_each_has_its_own_time(play: Play) -> None:
    async def scene(it: Scene) -> None:
        it.ask(1, ago=7)
        it.ask(2, ago=2)
        it.ask(3)
        await it.until(4)
        it.backend.answer()

    assert play(scene).told == {1: ("NoAnswer", 1.0), 2: ("answered", 4.0), 3: ("answered", 4.0)}


def test_who_has_less_time_than_those_before_is_told_before_them(play: Play) -> None:
    async def scene(it: Scene) -> None:
        it.ask(1)
        await it.until(1)
        it.ask(2)
        it.ask(3, ago=7.5)
        await it.until(9.5)
        it.backend.answer()
        await it.until(9.6)
        assert len(it.backend.batches) == 1

    told = play(scene).told
    assert told == {1: ("NoAnswer", 8.0), 2: ("Unavailable", 9.0), 3: ("Unavailable", 1.5)}


def test_a_slot_s_operations_stay_in_order_where_some_are_left_out(play: Play) -> None:
    async def scene(it: Scene) -> None:
        for number in range(20):
            it.ask(number, ago=number % 5)
            await it.until(number / 10)
        await it.until(6)
        it.backend.answer()
        await it.until(6.1)
        it.backend.answer()
        await asyncio.wait(it.tasks.values())

    played = play(scene)
    first, second = keys(played.backend.batches)
    assert first == ["0"]
    assert second == [f"{n}" for n in range(1, 20) if played.told[n][0] == "answered"]
    assert set(second).isdisjoint({"3", "4"})


def test_a_caller_who_has_gone_disturbs_nobody(play: Play) -> None:
    async def scene(it: Scene) -> None:
        it.ask(1)
        await it.until(1)
        it.ask(2)
        it.ask(3)
        await it.until(2)
        it.tasks[1].cancel()
        it.tasks[2].cancel()
        await it.until(9.5)
        it.backend.answer()
        await it.until(9.6)
        assert len(it.backend.batches) == 1  # nor is it sent when its time is over

    assert play(scene).told == {3: ("Unavailable", 9.0)}


def test_what_was_handed_over_is_carried_out_while_there_is_time(play: Play) -> None:
    async def scene(it: Scene) -> None:
        it.ask(1)
        await it.until(1)
        it.ask(2)
        await it.until(2)
        it.tasks[2].cancel()
        await it.until(3)
        it.backend.answer()
        await it.until(4)
        assert keys(it.backend.batches) == [["1"], ["2"]]
        it.backend.answer()

    assert play(scene).told == {1: ("answered", 3.0)}


def test_a_loop_that_stood_still_hears_first_what_came_meanwhile(play: Play) -> None:
    async def scene(it: Scene) -> None:
        it.ask(1)
        await it.until(1)

        def turns(left: int) -> None:
            if left:
                it.loop.call_soon(turns, left - 1)
            else:
                it.backend.answer()

        it.loop.call_soon(turns, 3)
        it.loop.now += 60  # something else had the processor
        await it.tasks[1]

    assert play(scene).told == {1: ("answered", 61.0)}


def test_calls_cost_no_timers(play: Play) -> None:
    async def scene(it: Scene) -> None:
        before = it.loop.timers
        for number in range(1_000):
            it.ask(number)
            for _ in range(3):
                await asyncio.sleep(0)
            it.backend.answer()
        assert it.loop.timers - before == 1
        await asyncio.wait(it.tasks.values())
        await it.until(WHOLE + 1)
        assert it.lane._timer is None, "one that watches over nothing"

    assert {name for name, _ in play(scene).told.values()} == {"answered"}


def test_many_that_wait_in_vain_cost_few_looks(play: Play) -> None:
    async def scene(it: Scene) -> None:
        before = it.loop.timers
        for number in range(500):
            it.ask(number)
            await it.until(number / 100)
        await asyncio.wait(it.tasks.values())
        assert it.loop.timers - before < 500 + 6 * 64  # 500 of them the scene's own
        it.backend.answer()

    told = play(scene).told
    assert told[0][0] == "NoAnswer"
    for number, (name, when) in told.items():
        late = when - WHOLE - (number - 1) / 100
        assert -0.02 < late <= WHOLE / 64, (number, when)
        assert name == "Unavailable" or number == 0


def test_a_closed_lane_looks_no_more(play: Play) -> None:
    async def scene(it: Scene) -> None:
        it.ask(1)
        await it.until(1)
        it.ask(2)
        await it.until(2)
        await it.lane.close()
        await it.until(20)

    assert play(scene).told == {1: ("NoAnswer", 2.0), 2: ("Unavailable", 2.0)}


# A call, with its repeats ----------------------------------------------------


class Refusing(Silent):
    """Says after ``takes`` seconds that nothing was done, or (``sent``) nothing."""

    def __init__(self, loop: TimelessLoop, takes: float, *, sent: bool = False) -> None:
        super().__init__()
        self.loop = loop
        self.takes = takes
        outcome = NoAnswer("the connection broke") if sent else Unavailable("it is away")
        self._say: Callable[[Sequence[Asked]], list[Outcome]] = lambda asked: [outcome] * len(asked)

    def _note(self, operations: Sequence[Asked], answer: Answer) -> None:
        super()._note(operations, answer)
        self.loop.call_later(self.takes, lambda: answer(self._say(operations)))


@pytest.mark.parametrize(
    ("takes", "sent", "kinds", "tries"),
    [
        (0.0, False, Unavailable, None),
        (3.2, False, Unavailable, 2),  # a third time could not be answered
        (3.2, True, NoAnswer, 3),  # what would say when it was sent makes no difference by then
        (5.0, False, Unavailable, 1),
        (60.0, False, NoAnswer, 1),  # the backend breaks its word
    ],
)
def test_a_call_ends_in_its_time(
    play: Play, takes: float, sent: bool, kinds: type, tries: int | None
) -> None:
    async def scene(it: Scene) -> None:
        backend = Refusing(it.loop, takes, sent=sent)
        asker = AsyncAsker("hot", backend, WHOLE)
        outcome = await asker.ask(Delete(Address("t", "", "1"), 1))
        assert type(outcome) is kinds
        took = it.loop.now - it.began
        assert took <= WHOLE + 0.001
        assert took > WHOLE / 2
        if tries is None:
            assert len(backend.batches) > 10
        else:
            assert len(backend.batches) == tries
        await asker.close()

    play(scene)


def test_a_repeat_waits_no_longer_than_its_call(play: Play) -> None:
    async def scene(it: Scene) -> None:
        backend = Silent()
        asker = AsyncAsker("hot", backend, WHOLE)
        call = asyncio.create_task(asker.ask(Delete(Address("t", "", "1"), 1)))
        await it.until(2)
        backend.answers[-1]([NoAnswer("the connection broke")])
        await it.until(3)
        assert [type(batch[0]) for batch in backend.batches] == [Delete, Time]
        assert type(await call) is NoAnswer
        assert it.loop.now - it.began == pytest.approx(WHOLE, abs=0.01)
        await asker.close()

    play(scene)


def test_reaping_takes_as_long_as_it_takes(play: Play) -> None:
    async def scene(it: Scene) -> None:
        backend = Silent()
        asker = AsyncAsker("hot", backend, WHOLE)
        reaping = asyncio.create_task(asker.reap(1_000))
        await it.until(1)
        backend.answers[-1]([Unavailable("another server is the primary now")])
        await it.until(100)
        backend.answers[-1]([Reaped(7)])
        assert await reaping == Reaped(7)
        assert len(backend.batches) == 2
        await asker.close()

    play(scene)
