# Generated from sessiontracker/_async/asking.py by scripts/generate_sync.py: edit that.
"""A backend as the tracker asks it: batched, and asked again where that is safe."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import ceil
from typing import Any

from ..contract import Asked, Backend
from ..operations import (
    Failed,
    NoAnswer,
    Outcome,
    Ping,
    Read,
    Reap,
    Renew,
    Scan,
    Touch,
    Unavailable,
    repeat,
)
from .batching import Batcher
from .runtime import monotonic, sleep

__all__ = ["Asker"]

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5
_HARMLESS = (Read, Touch, Renew, Scan, Reap, Ping)


class Asker:
    """One backend, by its ``name`` in the configuration.

    What it could not do, and what it gave no answer to, is asked again for ``timeout``
    seconds in all; an operation that was sent before says how long ago (`age`).
    """

    def __init__(
        self, name: str, backend: Backend, timeout: float, max_in_flight: int | None = None
    ) -> None:
        self.name = name
        self.backend = backend
        self.at_once = backend.at_once
        self.look_every = round(backend.look_every * 1000)
        """How often, in ms, one who waits for a lock looks again by itself."""
        self._timeout = timeout
        self._batcher = Batcher(backend, max_in_flight)
        self._closed = False

    def ask(self, operation: Asked) -> Outcome:
        """The outcome of ``operation``; `Unavailable` and `NoAnswer` only when time is up."""
        if self.at_once is not None and operation.address is not None:
            return self.at_once(operation)
        began = monotonic()
        outcome = self._batcher.ask(operation)
        if type(outcome) is Unavailable or type(outcome) is NoAnswer:
            return (self._again([operation], [outcome], began))[0]
        return outcome

    def ask_all(self, operations: Sequence[Asked]) -> list[Outcome]:
        """The outcomes of all ``operations``, in as few round trips as possible."""
        began = monotonic()
        return self._again(operations, self.ask_once(operations), began)

    def ask_once(self, operations: Sequence[Asked]) -> list[Outcome]:
        """As `ask_all`, for one who asks again by itself."""
        if self.at_once is not None:
            return [self.ask(operation) for operation in operations]
        return self._batcher.ask_all(operations)

    def _again(
        self, operations: Sequence[Asked], outcomes: list[Outcome], began: float
    ) -> list[Outcome]:
        """Ask those that have no outcome until they have, or time is up."""
        unsettled = [index for index, outcome in enumerate(outcomes) if _is_unsettled(outcome)]
        sent: set[int] = set()
        pause = _FIRST_PAUSE
        while unsettled:
            for index in unsettled:
                if type(outcomes[index]) is NoAnswer:
                    if not isinstance(operations[index], _HARMLESS):
                        sent.add(index)
            left = began + self._timeout - monotonic()
            if left <= 0 or self._closed:
                for index in unsettled:
                    outcomes[index] = self._given_up(outcomes[index], index in sent)
                return outcomes
            sleep(min(pause * random.uniform(0.5, 1.0), left))
            pause = min(pause * 2, _LONGEST_PAUSE)
            age = ceil((monotonic() - began) * 1000) + 1  # rather too old than too young
            answers = self._batcher.ask_all(
                [
                    repeat(operations[index], age) if index in sent else operations[index]
                    for index in unsettled
                ]
            )
            asked, unsettled = unsettled, list[int]()
            for index, answer in zip(asked, answers, strict=True):
                outcomes[index] = answer
                if _is_unsettled(answer):
                    unsettled.append(index)
                elif type(answer) is Failed and index in sent:
                    # What was sent before may have been done, whatever became of the repeat.
                    outcomes[index] = NoAnswer(f"backend {self.name!r}: {answer.error}")
        return outcomes

    def _given_up(self, outcome: Any, was_sent: bool) -> Outcome:
        reason = f"backend {self.name!r}: {outcome.reason}"
        return NoAnswer(reason) if was_sent else Unavailable(reason)

    def close(self) -> None:
        self._closed = True
        self.at_once = None
        self._batcher.close()


def _is_unsettled(outcome: Outcome) -> bool:
    return type(outcome) is Unavailable or type(outcome) is NoAnswer
