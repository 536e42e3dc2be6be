"""The batcher: what is asked at once goes to the backend as one batch."""

from __future__ import annotations

from collections.abc import Sequence

from ..contract import Asked, AsyncBackend
from ..operations import Outcome, Unavailable
from .runtime import AsyncLane

__all__ = ["AsyncBatcher"]


class AsyncBatcher:
    """Lanes in front of a backend: one batch in flight in each, a slot always in the same."""

    def __init__(self, backend: AsyncBackend, max_in_flight: int | None = None) -> None:
        self._lanes = [AsyncLane(backend.execute, backend.batch) for _ in range(backend.lanes)]
        self._max_in_flight = max_in_flight
        self.in_flight = 0

    async def ask(self, operation: Asked) -> Outcome:
        if self._max_in_flight is not None and self.in_flight >= self._max_in_flight:
            return Unavailable(
                f"max_in_flight = {self._max_in_flight} operations are in flight already: ask for "
                "less at once, or raise it"
            )
        self.in_flight += 1
        try:
            return await self._lane(operation).ask(operation)
        finally:
            self.in_flight -= 1

    async def ask_all(self, operations: Sequence[Asked]) -> list[Outcome]:
        """All of ``operations``, in as few batches as there are lanes for them."""
        by_lane: dict[AsyncLane, list[int]] = {}
        for index, operation in enumerate(operations):
            by_lane.setdefault(self._lane(operation), []).append(index)
        answers: dict[int, Outcome] = {}
        for lane, indexes in by_lane.items():
            outcomes = await lane.ask_all([operations[index] for index in indexes])
            answers.update(zip(indexes, outcomes, strict=True))
        return [answers[index] for index in range(len(operations))]

    def _lane(self, operation: Asked) -> AsyncLane:
        if len(self._lanes) == 1 or operation.address is None:
            return self._lanes[0]
        return self._lanes[hash(operation.address.slot) % len(self._lanes)]

    async def close(self) -> None:
        for lane in self._lanes:
            await lane.close()
