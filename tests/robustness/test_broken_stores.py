"""The checker catches every store that is broken on purpose, and blames no sound one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import monotonic_ns

import pytest

from sessiontracker.backend import AsyncBackend, operations
from sessiontracker.operations import Acquire, Address, Granted, NoAnswer, Queued
from tests.broken.twin import AsyncTwinBackend, Twin
from tests.faulty import AsyncFaulty, Faults

from .broken import BROKEN, EXPIRING
from .campaign import History, judged
from .checker import Rolled
from .drawing import WRONG, draw
from .history import Recorder, read_calls
from .order import AsyncNotingTracker, Looks, overtaken, read_looks, waited
from .shrinking import shrunk
from .workload import Client, Plan

FULL = 500  # calls of a history, in which most of the broken ones are caught nine times in ten
BUDGET = 20 * FULL  # calls within which the least broken one is missed once in millions of times
EXPIRY = Plan(keys=2, each=15, lease=30.0, wait=0.5, pause=0.02, idle=0.04, absolute=0.12,
    retention=0.06, back=0.3)  # fmt: skip
PLAN = Plan(keys=2, each=40, lease=30.0, wait=0.5, pause=0.0, cancelled=0.05)


class _Tracker(AsyncNotingTracker):
    """One client of a store that others have, too, over a connection that loses replies."""

    def __init__(self, store: Twin, seed: int, loss: float, plan: Plan) -> None:
        super().__init__({"operation_timeout": "0.3s", "defaults": plan.defaults})
        self._twin = store
        random = Random(seed)
        self._faults = Faults()
        self._faults.pauses = 1
        self._faults.rule = lambda _: random.choice(LOSSES) if random.random() < loss else ""

    def _made(self, name: str) -> AsyncBackend:
        return AsyncFaulty(AsyncTwinBackend(self._twin), self._faults)


LOSSES = ("before", "after", "away")


async def history_on(
    store: Twin,
    seed: int,
    path: Path,
    loss: float = 0.02,
    losses: Sequence[Rolled] = (),
    plan: Plan = PLAN,
) -> History:
    """What seed ``seed`` comes to on ``store``, which may append to ``losses`` meanwhile."""
    recorder = Recorder(path)
    trackers = [_Tracker(store, seed + number, loss, plan) for number in range(3)]
    looks = Looks(path.with_suffix(".looks"))
    for tracker in trackers:
        tracker.looks = looks
        await tracker.open()

    def is_over() -> bool:
        return path.read_bytes().count(b'"is":"begin"') >= FULL

    clients = [
        Client(f"{number}.{task}", f"{seed}/{number}/{task}", tracker, plan, recorder, False)
        for number, tracker in enumerate(trackers)
        for task in range(3)
    ]
    await asyncio.gather(*(client.work(is_over) for client in clients))
    for tracker in trackers:
        await tracker.close()
    recorder.close()
    looks.close()
    history = judged(seed, read_calls([path]), Counter(), losses, plan.timeouts)
    if losses:  # a queue is lost as anything else is
        return history
    noted = read_looks([path.with_suffix(".looks")])
    return history._replace(overtaken=overtaken(noted), waited=waited(noted))


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
async def test_a_broken_store_is_caught(kind: type[Twin], tmp_path: Path) -> None:
    calls = 0
    plan = EXPIRY if kind in EXPIRING else PLAN
    for seed in range(BUDGET // FULL):
        history = await history_on(kind(), seed, tmp_path / f"{seed}.jsonl", plan=plan)
        calls += len(history.calls)
        assert not history.undecided
        if history.illegal is not None:
            small = shrunk(history.illegal, plan.timeouts)
            assert small.call is not None
            assert small.call in small.calls
            assert len(small.calls) < len(history.illegal.calls)
            assert WRONG in draw(small, kind.__name__)
            return
        if history.strange or history.overtaken:
            return
    pytest.fail(f"not caught within {calls} calls")


@pytest.mark.parametrize(("loss", "plan"), [(0.0, PLAN), (0.05, PLAN), (0.02, EXPIRY)])
async def test_a_sound_store_is_not_blamed(tmp_path: Path, loss: float, plan: Plan) -> None:
    for seed in range(2):
        history = await history_on(Twin(), seed, tmp_path / f"{seed}.jsonl", loss, plan=plan)
        assert history.is_legal, (history.illegal, history.strange, history.overtaken)
        assert history.waited


@pytest.mark.parametrize("read", [False, True])
def test_who_may_have_found_no_session_may_have_left_the_queue(read: bool, tmp_path: Path) -> None:
    path = tmp_path / "looks"
    looks = Looks(path)
    queued, granted = Queued("another", 0, 50), Granted(5, 50)
    answers = [(1, queued), (1, NoAnswer("it is lost")), (2, granted), (1, queued)]
    for ticket, outcome in answers:
        asked = Acquire(Address("thing", "", "k"), ticket, 50, "", 1000, read=read)
        looks.note([asked], monotonic_ns(), [outcome])
    looks.close()
    assert (overtaken(read_looks([path])) is None) == read


class FailsOver(Twin):
    """As a primary whose replica takes over, once, and lacks the last things it was told."""

    def __init__(self, at: int = 300, lacks: int = 40) -> None:
        super().__init__()
        self.losses: list[Rolled] = []
        self._since = 0
        self._at, self._lacks, self._count = at, lacks, 0

    def step(self, operation: operations.Operation) -> operations.Outcome:
        self._count += 1
        if self._count == self._at - self._lacks:
            self._since, self._copy = monotonic_ns(), dict(self.slots)
        if self._count == self._at:
            self.slots = self._copy
            self.losses.append(Rolled(self._since, monotonic_ns(), Anything()))
        return super().step(operation)


class Anything:
    def __contains__(self, key: object) -> bool:
        return True


async def test_what_a_failover_loses_is_modelled(tmp_path: Path) -> None:
    """Such histories are legal, and would not be if nothing might be lost, nor if less might; but
    for one in which nobody saw what was lost."""
    blamed = 0
    for seed in range(12):
        store = FailsOver()
        path = tmp_path / f"{seed}.jsonl"
        history = await history_on(store, seed, path, losses=store.losses)
        assert history.is_legal, (history.illegal, history.strange)
        assert len(history.rollbacks) == 1
        if history.has_lost:
            late = [each._replace(since=each.at) for each in store.losses]
            blamed += not judged(seed, history.calls, Counter(), late).is_legal
        if blamed == 2:
            return
    pytest.fail(f"{blamed} blamed of 12")
