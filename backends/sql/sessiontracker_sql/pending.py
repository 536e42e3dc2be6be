"""The steps of a batch that have no outcome yet, by the row that they are decided on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from sessiontracker.backend import machine, operations

__all__ = ["Pending", "Steps", "Writable"]

P = TypeVar("P")
S = TypeVar("S", bound="Steps")


class Writable(Protocol):
    """What steps changed, to be left by the write ``revision``. ``wakes`` are the tickets that
    are given claims by it, ``weight`` about how many bytes are sent."""

    @property
    def place(self) -> Any: ...
    @property
    def revision(self) -> int: ...
    @property
    def wakes(self) -> Sequence[int]: ...
    @property
    def weight(self) -> int: ...


class Steps:
    """Those on one row, in order: with their places in the batch, what they come to if what
    they change is written, and how often somebody else was quicker."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, operations.Operation]] = []
        self.outcomes: list[operations.Outcome] = []
        self.tries = 0

    @property
    def depend_on_time(self) -> bool:
        return any(map(machine.depends_on_time, self.outcomes))


class Pending(Generic[P, S]):
    """Steps by the primary key of their row, and what has come of the batch so far."""

    def __init__(self, size: int) -> None:
        self.outcomes: list[operations.Outcome | None] = [None] * size
        self._open: dict[P, S] = {}

    def written(self, changes: Iterable[Writable], done: Collection[int]) -> None:
        """Of ``changes``, those whose revision is in ``done`` were written."""
        for change in changes:
            if change.revision in done:
                self._close(change.place)
            else:
                self._open[change.place].tries += 1

    def give_up(self, places: Iterable[P], outcome: operations.Outcome) -> None:
        """The steps at ``places`` come to ``outcome``."""
        for place in list(places):
            self._close(place, outcome)

    def _close(self, place: P, outcome: operations.Outcome | None = None) -> None:
        steps = self._open.pop(place)
        for at, (index, _) in enumerate(steps.asked):
            self.outcomes[index] = steps.outcomes[at] if outcome is None else outcome
