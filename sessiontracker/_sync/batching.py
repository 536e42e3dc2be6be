# Generated from sessiontracker/_async/batching.py by scripts/generate_sync.py: edit that.
"""The batcher: what is asked at once goes to the backend as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf

from ..contract import Asked, Backend
from ..operations import Outcome, Release, Renew, Unavailable
from .runtime import Lane, all_of, ready

__all__ = ["Batcher"]


class Batcher:
    """Lanes in front of a backend: one batch in flight in each, a slot always in the same."""

    def __init__(
        self, backend: Backend, max_in_flight: int | None = None, timeout: float = inf
    ) -> None:
        self._backend = backend
        self._timeout = timeout
        self._lanes = {number: Lane(backend, timeout) for number in range(backend.lanes)}
        self._closed = False
        self._max_in_flight = max_in_flight

    @property
    def in_flight(self) -> int:
        """How many operations have no outcome yet, also those whose callers have gone."""
        return sum(lane.load for lane in list(self._lanes.values()))

    def ask(self, operation: Asked, began: float = 0.0) -> Outcome:
        """The outcome of ``operation``. If there is none ``timeout`` s after its caller ``began``
        to wait, in monotonic time (inf: it waits as long as it takes): `Unavailable` of what was
        not sent, `NoAnswer` of what was."""
        refused = None if self._max_in_flight is None else self._refused(operation)
        return self._lane(operation).ask(operation, began) if refused is None else ready(refused)

    def ask_all(self, operations: Sequence[Asked], began: float = 0.0) -> list[Outcome]:
        """All of ``operations``, in as few batches as there are lanes for them, side by side."""
        refused = self._refused(operations[0]) if operations else None
        if refused is not None:
            return [refused] * len(operations)
        by_lane: dict[Lane, list[int]] = {}
        for index, operation in enumerate(operations):
            by_lane.setdefault(self._lane(operation), []).append(index)
        answers: dict[int, Outcome] = {}
        parts = all_of(
            [
                partial(lane.ask_all, [operations[index] for index in indexes], began)
                for lane, indexes in by_lane.items()
            ]
        )
        for indexes, outcomes in zip(by_lane.values(), parts, strict=True):
            answers.update(zip(indexes, outcomes, strict=True))
        return [answers[index] for index in range(len(operations))]

    def _refused(self, operation: Asked) -> Unavailable | None:
        """The answer where the limit is reached. What keeps or frees a lock is never refused."""
        most = self._max_in_flight
        if most is None or self.in_flight < most or isinstance(operation, (Renew, Release)):
            return None
        return Unavailable(
            f"max_in_flight = {most} operations are in flight already: ask for less at once, or "
            "raise it"
        )

    def _lane(self, operation: Asked) -> Lane:
        number = self._backend.lane_of(operation)
        lane = self._lanes.get(number)
        if lane is None:
            if self._closed:
                return self._lanes[0]
            lane = self._lanes.setdefault(number, Lane(self._backend, self._timeout))
        return lane

    def close(self) -> None:
        self._closed = True
        for lane in list(self._lanes.values()):
            lane.close()
