"""Whether who waits for a lock is served in turn: first come, first served.

What a history's calls do not show is when a waiter was in the queue, so each look of one at the
store is noted beside them. One who was in the queue before another asked gets the lock before
it, unless it stood still for longer than its place, or its claim, is kept. One who wants the
session too leaves the queue if there is none, and if it does not hear of that, it asks anew.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from time import monotonic_ns
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from sessiontracker import AsyncSessionTracker, SessionTracker
from sessiontracker.backend import Asked
from sessiontracker.operations import Acquire, Granted, Outcome, Queued, Unavailable

__all__ = [
    "AsyncNotingTracker",
    "Look",
    "Looks",
    "NotingTracker",
    "Overtaken",
    "overtaken",
    "read_looks",
    "waited",
]

Answer = Literal["queued", "granted", "another", "left"]  # another may be none

KEPT = 1.5  # a claim, in intervals between looks
ANSWERS: dict[type[Outcome], Answer] = {Queued: "queued", Granted: "granted"}


class Look(Struct, frozen=True, array_like=True):
    """One waiter asks for a lock. Times are in ns of the monotonic clock."""

    key: str
    ticket: int
    sent: int
    came: int
    every: int
    answer: Answer


class Overtaken(NamedTuple):
    """``late`` had the lock before ``early``, who was in the queue before ``late`` asked."""

    early: list[Look]
    late: list[Look]


# Taking notes ------------------------------------------------------------------


class Looks:
    """Written down as they come, whichever thread they come from."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()

    def note(self, asked: Sequence[Asked], sent: int, outcomes: Sequence[Outcome]) -> None:
        came = monotonic_ns()
        for operation, outcome in zip(asked, outcomes, strict=True):
            if isinstance(operation, Acquire):
                every = operation.look_every * 1_000_000
                answer = ANSWERS.get(type(outcome), "another")
                if answer == "another" and operation.read and type(outcome) is not Unavailable:
                    answer = "left"  # for all that one knows
                look = Look(operation.address.key, operation.ticket, sent, came, every, answer)
                with self._lock:
                    self._file.write(msgspec.json.encode(look) + b"\n")

    def close(self) -> None:
        self._file.close()

    def have_noted(self, backend: Any) -> Any:
        """``backend``, whose answers are noted from now on."""
        at_once = backend.at_once
        if at_once is not None:

            def noted(operation: Any) -> Outcome:
                sent = monotonic_ns()
                outcome: Outcome = at_once(operation)
                self.note([operation], sent, [outcome])
                return outcome

            backend.at_once = noted
        return backend


class AsyncNotingTracker(AsyncSessionTracker):
    """Notes its looks in ``looks``."""

    looks: Looks

    def _made(self, name: str) -> Any:
        return super()._opener(name)

    def _opener(self, name: str) -> Any:
        backend: Any = self.looks.have_noted(self._made(name))
        execute = backend.execute

        async def noted(operations: Sequence[Asked]) -> list[Outcome]:
            sent = monotonic_ns()
            outcomes: list[Outcome] = await execute(operations)
            self.looks.note(operations, sent, outcomes)
            return outcomes

        backend.execute = noted
        return backend


class NotingTracker(SessionTracker):
    """As `AsyncNotingTracker`."""

    looks: Looks

    def _opener(self, name: str) -> Any:
        backend: Any = self.looks.have_noted(super()._opener(name))
        execute = backend.execute

        def noted(operations: Sequence[Asked]) -> list[Outcome]:
            sent = monotonic_ns()
            outcomes: list[Outcome] = execute(operations)
            self.looks.note(operations, sent, outcomes)
            return outcomes

        backend.execute = noted
        return backend


def read_looks(paths: Iterable[Path]) -> list[Look]:
    decoder = msgspec.json.Decoder(Look)
    return [decoder.decode(line) for path in paths for line in path.read_bytes().splitlines()]


# Judging -----------------------------------------------------------------------


def waited(looks: Iterable[Look]) -> int:
    """How many were in a queue and did not stand still."""
    waiters = [waiter for its in _by_key(looks) for waiter in its]
    return sum(_queued(its) is not None and not _stood_still(its) for its in waiters)


def overtaken(looks: Iterable[Look]) -> Overtaken | None:
    """The first who was overtaken without having stood still."""
    for waiters in _by_key(looks):
        for early in (part for its in waiters for part in _unbroken(its)):
            queued = _queued(early)
            if queued is not None and not _stood_still(early):
                for late in waiters:
                    if late[0].sent > queued.came and _was_first(late, early):
                        return Overtaken(early, late)
    return None


def _unbroken(looks: list[Look]) -> Iterator[list[Look]]:
    """``looks``, in parts within which it did not leave the queue."""
    parts: list[list[Look]] = [[]]
    for look in looks:
        if look.answer == "left":
            parts.append([])
        else:
            parts[-1].append(look)
    return filter(None, parts)


def _queued(looks: list[Look]) -> Look | None:
    """The look of one that found it in the queue, if any did."""
    return next((look for look in looks if look.answer == "queued"), None)


def _by_key(looks: Iterable[Look]) -> Iterator[list[list[Look]]]:
    """The looks of each waiter for a key's lock, in the order in which they came first."""
    keys: defaultdict[str, defaultdict[int, list[Look]]] = defaultdict(lambda: defaultdict(list))
    for look in looks:
        keys[look.key][look.ticket].append(look)
    for tickets in keys.values():
        waiters = [sorted(its, key=lambda look: look.came) for its in tickets.values()]
        yield sorted(waiters, key=lambda its: its[0].sent)


def _stood_still(looks: list[Look]) -> bool:
    """Whether there was longer between two of its looks, or may have been, than is kept."""
    told = [look for look in looks if look.answer in ANSWERS.values()]
    return any(later.came - look.sent > KEPT * look.every for look, later in pairwise(told))


def _was_first(late: list[Look], early: list[Look]) -> bool:
    """Whether ``early`` was still waiting when ``late`` was known to have been granted."""
    granted = next((look.came for look in late if look.answer == "granted"), None)
    waiting = [look.sent for look in early if look.answer != "another"]
    return granted is not None and waiting[-1] > granted
