"""The backend against the machine: one random walk after another, and every answer compared."""

from __future__ import annotations

from random import Random

import pytest

from ..contract import Capability
from .harness import Clock, Store
from .model import Difference, Judge, Step, Walker, new_places, replay, shrink, take_step
from .subject import Subject

STEPS = 250
TRIES = 400


@pytest.mark.parametrize("elsewhere", [False, True], ids=["locks here", "locks elsewhere"])
def test_every_answer_is_the_machines(
    subject: Subject, any_role: Store, seed: int, walks: int, elsewhere: bool
) -> None:
    if elsewhere and subject.storage is None:
        walks = 0  # the fence is the storage's
    for number in range(walks):
        walk(subject, any_role, f"{seed}/{number}/{elsewhere}", elsewhere=elsewhere)


def walk(subject: Subject, store: Store, seed: str, *, elsewhere: bool) -> None:
    clock = store.clock
    begin = 0 if clock is None else clock.now
    walker = Walker(
        Random(seed),
        new_places(),
        storage=subject.storage is not None,
        locking=subject.locking is not None,
        fair=Capability.FAIR in subject.capabilities,
        real=clock is None,
        elsewhere=elsewhere,
        owners=Capability.OWNERS in subject.capabilities,
    )
    judge = Judge(store)
    steps: list[Step] = []
    for _ in range(STEPS):
        step = walker.draw(0 if clock is None else clock.now, judge.due())
        steps.append(step)
        outcome, difference = take_step(store, judge, step)
        if difference is not None:
            if clock is not None:
                steps, difference = _shorter(store, clock, begin, steps, difference)
            pytest.fail(_told(seed, steps, difference), pytrace=False)
        walker.learn(step.operation, outcome)


def _shorter(
    store: Store, clock: Clock, begin: int, steps: list[Step], difference: Difference
) -> tuple[list[Step], Difference]:
    def fails(fewer: list[Step]) -> bool:
        return replay(store, clock, begin, fewer) is not None

    if not fails(steps):
        return steps, difference  # not by these steps alone
    steps = shrink(fails, steps, TRIES)
    return steps, replay(store, clock, begin, steps) or difference


def _told(seed: str, steps: list[Step], difference: Difference) -> str:
    lines = [f"walk {seed}: the backend answers otherwise than the machine, {len(steps)} steps in"]
    time = 0
    for step in steps[-20:]:
        time += step.later
        lines.append(f"  +{time / 1000:.3f} ms  {step.operation}")
    lines.append(f"the backend: {difference.outcome}")
    lines.append(f"the machine: {difference.expected}")
    return "\n".join(lines)
