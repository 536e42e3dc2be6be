# Generated from sessiontracker/_async/asking.py by scripts/generate_sync.py: edit that.
"""A backend as the tracker asks it: batched, and asked again where that is safe."""

from __future__ import annotations

import random
from collections.abc import Sequence

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
        self._timeout = timeout
        self._batcher = Batcher(backend, max_in_flight)

    def ask(self, operation: Asked) -> Outcome:
        """The outcome of ``operation``; `Unavailable` and `NoAnswer` only when time is up."""
        if self.at_once is not None and operation.address is not None:
            return self.at_once(operation)
        began = monotonic()
        outcome = self._batcher.ask(operation)
        if type(outcome) is Unavailable or type(outcome) is NoAnswer:
            return self._again(operation, outcome, began)
        return outcome

    def ask_all(self, operations: Sequence[Asked]) -> list[Outcome]:
        """The outcomes of all ``operations``, in as few round trips as possible."""
        if self.at_once is not None:
            return [self.ask(operation) for operation in operations]
        began = monotonic()
        outcomes = self._batcher.ask_all(operations)
        for index, outcome in enumerate(outcomes):
            if type(outcome) is Unavailable or type(outcome) is NoAnswer:
                outcomes[index] = self._again(operations[index], outcome, began)
        return outcomes

    def _again(self, operation: Asked, outcome: Unavailable | NoAnswer, began: float) -> Outcome:
        was_sent = False
        pause = _FIRST_PAUSE
        while True:
            was_sent |= type(outcome) is NoAnswer and not isinstance(operation, _HARMLESS)
            reason = f"backend {self.name!r}: {outcome.reason}"
            left = began + self._timeout - monotonic()
            if left <= 0:
                return NoAnswer(reason) if was_sent else Unavailable(reason)
            sleep(min(pause * random.uniform(0.5, 1.0), left))
            pause = min(pause * 2, _LONGEST_PAUSE)
            asked = (
                repeat(operation, round((monotonic() - began) * 1000)) if was_sent else operation
            )
            answer = self._batcher.ask(asked)
            if type(answer) is Failed and was_sent:
                return NoAnswer(f"backend {self.name!r}: {answer.error}")
            if type(answer) is not Unavailable and type(answer) is not NoAnswer:
                return answer
            outcome = answer

    def close(self) -> None:
        self._batcher.close()
