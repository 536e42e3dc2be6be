"""A backend as the tracker asks it: batched, and asked again where that is safe."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..contract import Asked, AsyncBackend
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
from .batching import AsyncBatcher
from .runtime import monotonic, sleep

__all__ = ["AsyncAsker"]

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5
_HARMLESS = (Read, Touch, Renew, Scan, Reap, Ping)


class AsyncAsker:
    """One backend, by its ``name`` in the configuration.

    What it could not do, and what it gave no answer to, is asked again for ``timeout``
    seconds in all; an operation that was sent before says how long ago (`age`).
    """

    def __init__(
        self, name: str, backend: AsyncBackend, timeout: float, max_in_flight: int | None = None
    ) -> None:
        self.name = name
        self.backend = backend
        self.at_once = backend.at_once
        self._timeout = timeout
        self._batcher = AsyncBatcher(backend, max_in_flight)

    async def ask(self, operation: Asked) -> Outcome:
        """The outcome of ``operation``; `Unavailable` and `NoAnswer` only when time is up."""
        if self.at_once is not None and operation.address is not None:
            return self.at_once(operation)
        began = monotonic()
        outcome = await self._batcher.ask(operation)
        if type(outcome) is Unavailable or type(outcome) is NoAnswer:
            return await self._again(operation, outcome, began)
        return outcome

    async def ask_all(self, operations: Sequence[Asked]) -> list[Outcome]:
        """The outcomes of all ``operations``, in as few round trips as possible."""
        if self.at_once is not None:
            return [await self.ask(operation) for operation in operations]
        began = monotonic()
        outcomes = await self._batcher.ask_all(operations)
        for index, outcome in enumerate(outcomes):
            if type(outcome) is Unavailable or type(outcome) is NoAnswer:
                outcomes[index] = await self._again(operations[index], outcome, began)
        return outcomes

    async def _again(
        self, operation: Asked, outcome: Unavailable | NoAnswer, began: float
    ) -> Outcome:
        was_sent = False
        pause = _FIRST_PAUSE
        while True:
            was_sent |= type(outcome) is NoAnswer and not isinstance(operation, _HARMLESS)
            reason = f"backend {self.name!r}: {outcome.reason}"
            left = began + self._timeout - monotonic()
            if left <= 0:
                return NoAnswer(reason) if was_sent else Unavailable(reason)
            await sleep(min(pause * random.uniform(0.5, 1.0), left))
            pause = min(pause * 2, _LONGEST_PAUSE)
            asked = (
                repeat(operation, round((monotonic() - began) * 1000)) if was_sent else operation
            )
            answer = await self._batcher.ask(asked)
            if type(answer) is Failed and was_sent:
                return NoAnswer(f"backend {self.name!r}: {answer.error}")
            if type(answer) is not Unavailable and type(answer) is not NoAnswer:
                return answer
            outcome = answer

    async def close(self) -> None:
        await self._batcher.close()
