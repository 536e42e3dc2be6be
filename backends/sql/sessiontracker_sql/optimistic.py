"""A batch against rows that others may write at any time, and nobody keeps locked meanwhile.

Rows are read without a lock, the machine decides, and what it changed is written where the
row still is as it was read: one statement to read and one to write, however many keys, and no
transaction is open between the two. Where somebody else was quicker, or has the row locked,
that key is read and decided anew; its neighbours do not wait.

The store's clock is read twice with the rows: before their snapshot was taken, and after.
What a step decides at the later time holds at any time until something in the row lapses:
so nothing may have lapsed between the two, and it is written only if nothing has by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from sessiontracker.backend import BackendError, machine, new_id, operations, state

from .lapsing import LATEST, has_just_lapsed, lapse_of, without_sessions_that_expired
from .pending import Pending, Steps
from .rows import decode

__all__ = [
    "Batch",
    "Change",
    "Place",
    "Row",
    "change_of",
    "lapses",
    "place_of",
    "read_row",
]

_apply = machine.apply
Place = tuple[bytes, bytes, bytes]
"""The primary key of a row."""


class Row(NamedTuple):
    """What stood at a place: a slot with that key alone, when it is due, which write left it so
    (None: there is no row), and the clock, in µs, before and after its snapshot was taken."""

    slot: state.Slot
    due: int
    revision: int | None
    before: int
    after: int


class Change(NamedTuple):
    """A row to be written where it still is as in ``row``, before the clock (ms) is at ``until``.

    It is to be left by the write ``revision`` with ``key`` in it; None: it is to go. ``wake``
    is the ticket that is given a claim by it, or 0.
    """

    place: Place
    row: Row
    key: state.Key | None
    due: int
    revision: int
    until: int
    wake: int

    @property
    def old(self) -> state.Key | None:
        """The key as it was read."""
        return next(iter(self.row.slot.keys.values()), None)

    @property
    def wakes(self) -> Sequence[int]:
        return (self.wake,) if self.wake else ()

    @property
    def weight(self) -> int:
        if self.key is None:
            return 0
        records = (self.key.active, self.key.finished)
        return sum(len(record.payload) for record in records if record is not None)


def read_row(name: str, values: Sequence[Any], revision: int | None, clock: tuple[int, int]) -> Row:
    """The row whose columns are ``values``, of the key ``name``. Raises: ValueError."""
    if revision is None:
        return Row(state.EMPTY, operations.FOREVER, None, *clock)
    key, due = decode(values)
    return Row(state.Slot({name: key}), due, revision, *clock)


def lapses(row: Row) -> int:
    """When, in ms, the first thing in ``row`` lapses that had not before it was read."""
    first = operations.FOREVER
    for key in row.slot.keys.values():
        first = lapse_of(key, row.before // 1000)
    return first


def change_of(place: Place, name: str, row: Row, after: state.Slot, due: int) -> Change:
    """What is to be written for ``row`` to become ``after``, and to be due at ``due``."""
    until = min(lapses(row), row.after // 1000 + LATEST)
    wake = state.claimed(row.slot, after, name)
    return Change(place, row, after.keys.get(name), due, new_id(), until, wake)


class _Steps(Steps):
    """The steps of a batch on one key, in order."""

    def __init__(self, address: operations.Address, place: Place) -> None:
        super().__init__()
        self.address = address
        self.place = place

    def decide(self, row: Row) -> Change | None:
        """Have the machine take the steps from ``row`` on: what is to be written for that to be
        true, if anything is."""
        slot = row.slot
        self.outcomes = []
        for _, operation in self.asked:
            step = operation
            if self.tries and isinstance(step, operations.Read):
                # Somebody is at this row: reading does not wait for it to slide.
                step = replace(step, slide=False)
            try:
                slot, outcome = _apply(slot, step, row.after)
            except Exception as error:  # one operation's failure is not its neighbours'
                outcome = operations.Failed(
                    BackendError(f"{type(operation).__name__} failed: {error!r}")
                )
            self.outcomes.append(outcome)
        if slot is row.slot or slot == row.slot:
            if not (self.depend_on_time and has_just_lapsed(row.slot, row.after)):
                return None
            slot = without_sessions_that_expired(row.slot, row.after)
        due = min(state.due(slot), row.due)  # only ever sooner, see the schema
        return change_of(self.place, self.address.key, row, slot, due)


class Batch(Pending[Place, _Steps]):
    """Steps by key, and what has come of them so far."""

    def __init__(self, steps: Sequence[operations.Operation]) -> None:
        super().__init__(len(steps))
        by_address: dict[operations.Address, _Steps] = {}
        for index, operation in enumerate(steps):
            address = operation.address
            known = by_address.get(address)
            if known is None:
                try:
                    known = _Steps(address, place_of(address))
                except ValueError as error:  # no text that can be stored
                    self.outcomes[index] = operations.Failed(BackendError(str(error)))
                    continue
                by_address[address] = self._open[known.place] = known
            known.asked.append((index, operation))

    @property
    def places(self) -> list[Place]:
        """Where steps have no outcome yet, in the order of the primary key."""
        return sorted(self._open)

    def alone(self, condition: Callable[[operations.Operation], bool]) -> dict[Place, Any]:
        """The steps that ``condition`` holds of and that are the only ones at their place."""
        return {
            place: steps.asked[0][1]
            for place, steps in sorted(self._open.items())
            if len(steps.asked) == 1 and condition(steps.asked[0][1])
        }

    def decide(self, rows: Mapping[Place, Row | str]) -> list[Change]:
        """Take the steps from the ``rows`` on, which are as just read or say why they cannot be.

        What changes nothing has its outcome then; what does is to be written.
        """
        changes: list[Change] = []
        for place in self.places:
            row = rows[place]
            if isinstance(row, str):
                self._close(place, operations.Broken(row))
                continue
            if lapses(row) <= row.after // 1000:
                continue  # before or after it was read: to be read once more
            change = self._open[place].decide(row)
            if change is None:
                self._close(place)
            else:
                changes.append(change)
        return changes


def place_of(address: operations.Address) -> Place:
    """The primary key of ``address``. Raises: ValueError."""
    return address.type.encode(), address.scope.encode(), address.key.encode()
