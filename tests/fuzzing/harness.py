"""One target, many inputs: what each came to, how long it took, and whether memory grew.

An input is made from the target's name, a seed and a number alone, so that these three replay it.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from time import monotonic, perf_counter
from typing import Any, NamedTuple, Self, TypeVar

from sessiontracker.errors import SessionTrackerError

__all__ = ["KEPT", "Failure", "Report", "Target", "run"]

T = TypeVar("T")

KEPT = Path("build/fuzzing")
_LONGEST_SHOWN = 20_000
_TRIES = 3
_LOGGERS = ("sessiontracker", "asyncio", "sqlalchemy", "push_response")


class Target(ABC):
    """What takes foreign bytes, and how inputs for it are made."""

    name: str
    share: int
    """How many of a million inputs it takes."""

    few = 100
    """How many it takes by default, in a fraction of a second."""

    patience = 10.0
    """After so many seconds an input hangs, if it does so each time."""

    may_grow = 8.0
    """MiB between the middle and the end, by which memory does not grow for ever."""

    def __enter__(self) -> Self:
        self._left = ExitStack()
        try:
            self.open()
        except BaseException:
            self._left.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def open(self) -> None:
        """Get ready whatever is there for all inputs."""

    def using(self, manager: AbstractContextManager[T]) -> T:
        """What ``manager`` gives, until the target is left."""
        return self._left.enter_context(manager)

    @abstractmethod
    def attempt(self, random: Random) -> Any:
        """Make an input and feed it. A `SessionTrackerError` refuses it; what else is raised is a
        failure. Returns what it came to, in a word, if not in ``None``."""

    made: Any = None
    """The latest input, which is kept with a failure."""


class Failure(NamedTuple):
    """An input that came to what is not ours."""

    target: str
    seed: int
    number: int
    what: str
    trace: str
    made: str

    def keep(self) -> Path:
        KEPT.mkdir(parents=True, exist_ok=True)
        path = KEPT / f"{self.target}-{self.seed}-{self.number}.json"
        path.write_text(json.dumps(self._asdict(), indent=2))
        return path


class Report(NamedTuple):
    """What a target's inputs came to."""

    target: str
    inputs: int
    outcomes: Counter[str]
    failures: list[Failure]
    growth: float  # MiB
    may_grow: float
    slowest: float  # s
    slowest_number: int
    seconds: float

    @property
    def is_sound(self) -> bool:
        return not self.failures and self.growth <= self.may_grow

    def __str__(self) -> str:
        outcomes = ", ".join(f"{name} {count:,}" for name, count in self.outcomes.most_common())
        return (
            f"{self.target}: {self.inputs:,} inputs in {self.seconds:.0f} s, {len(self.failures)} "
            f"failures, memory {self.growth:+.1f} MiB, slowest {self.slowest * 1000:.0f} ms "
            f"(#{self.slowest_number}): {outcomes}"
        )


def run(target: Target, seed: int, numbers: range, *, ends: bool = False) -> Report:
    """Feed ``target``, which is entered, the inputs of these ``numbers``; an input that never ends
    is kept, and with ``ends`` it ends the process."""
    outcomes: Counter[str] = Counter()
    failures: list[Failure] = []
    slowest, slowest_number = 0.0, 0
    began = perf_counter()
    middle, before = numbers.start + len(numbers) // 2, 0.0
    with _quiet(), _Watch(target, seed, ends) as watch:
        for number in numbers:
            if number == middle:
                before = _memory()
            watch.number, watch.since = number, monotonic()
            at = perf_counter()
            failure: Failure | None = None
            try:
                outcome = target.attempt(Random(f"{target.name}/{seed}/{number}")) or "taken"
            except SessionTrackerError as error:
                outcome = type(error).__name__
                if not str(error).strip():
                    failure = _failure(target, seed, number, error)
            except Exception as error:
                outcome = f"FAILED {type(error).__name__}"
                failure = _failure(target, seed, number, error)
            took = perf_counter() - at
            if took > slowest:
                slowest, slowest_number = took, number
            if took > target.patience and failure is None and _is_slow(target, seed, watch):
                outcome = "HUNG"
                failure = _failure(target, seed, number, TimeoutError(f"it took {took:.1f} s"))
            outcomes[outcome] += 1
            if failure is not None:
                failures.append(failure)
        growth = _memory() - before
    seconds = perf_counter() - began
    return Report(
        target.name, len(numbers), outcomes, failures, growth, target.may_grow, slowest,
        slowest_number, seconds,
    )  # fmt: skip


def _is_slow(target: Target, seed: int, watch: _Watch) -> bool:
    """Whether the watched input takes as long each time: a busy machine is late now and then."""
    for _ in range(_TRIES):
        watch.since = at = monotonic()
        with suppress(Exception):
            target.attempt(Random(f"{target.name}/{seed}/{watch.number}"))
        if monotonic() - at <= target.patience:
            return False
    return True


def _failure(target: Target, seed: int, number: int, error: Exception) -> Failure:
    trace = "".join(traceback.format_exception(error))
    made = repr(target.made)[:_LONGEST_SHOWN]
    return Failure(target.name, seed, number, repr(error)[:500], trace[-_LONGEST_SHOWN:], made)


def _memory() -> float:
    """MiB that are resident."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what is logged of what is spoilt; levels are as they were afterwards."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Watch:
    """Looks whether an input never ends, and says which it is."""

    def __init__(self, target: Target, seed: int, ends: bool) -> None:
        self._target, self._seed, self._ends = target, seed, ends
        self.number, self.since = 0, monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="fuzzing watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(1.0):
            if monotonic() - self.since > 3 * self._target.patience:
                self._over.set()
                frames = sys._current_frames().items()
                trace = "".join(
                    f"thread {name}\n{''.join(traceback.format_stack(frame))}"
                    for name, frame in frames
                )
                failure = Failure(
                    self._target.name, self._seed, self.number, "it never ends", trace,
                    repr(self._target.made)[:_LONGEST_SHOWN],
                )  # fmt: skip
                print(f"HUNG: {failure.keep()}", file=sys.stderr, flush=True)
                if self._ends:
                    os._exit(3)
