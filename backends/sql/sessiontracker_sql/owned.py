"""An owner's slot, put together of its rows: one of the owner, and one of each key.

What concerns one key looks at two rows, however many sessions the owner has; what concerns
others as well looks at those that hold sessions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from msgspec.structs import replace

from sessiontracker.backend import machine, operations, shown, state

from .known import NO_ROW, Stored

__all__ = [
    "OTHERS",
    "OWNER_COLUMNS",
    "Others",
    "Owner",
    "decode_owner",
    "due_later",
    "names_of",
    "others_of",
    "owner_values",
]

Others = Literal["none", "with sessions", "all"]
"""Which of an owner's keys, beside those that are named. (With sessions, or with a lease.)"""

OTHERS: tuple[Others, ...] = ("none", "with sessions", "all")
"""Each with those before it."""

OWNER_COLUMNS = (
    *(f"shared_{name}" for name in ("payload", "version", "write", "kept")),
    *(f"ending_{name}" for name in ("id", "time", "count")),
    "due",
)
"""All of an owner's row but its primary key."""

_DAY = 86_400_000


def names_of(operation: operations.Operation) -> tuple[str, ...]:
    """The keys that ``operation`` is about."""
    key = operation.address.key
    return (key, operation.to) if isinstance(operation, operations.Rotate) else (key,)


def others_of(operation: operations.Operation) -> Others:
    """Which other keys ``operation`` looks at, too."""
    if machine.concerns_the_ended(operation):
        return "all"
    return "with sessions" if machine.concerns_others(operation) else "none"


def decode_owner(row: Sequence[Any]) -> Stored:
    """What an owner's ``row`` (all of `OWNER_COLUMNS`) holds: a slot without keys.

    Raises: ValueError for a row that is none of ours.
    """
    payload, *numbers, due = row
    shared, ending = numbers[:3], numbers[3:]
    for group in (shared, ending):
        if None in group and group != [None] * 3:
            raise ValueError("an owner's row is filled in part")
    for number in (*numbers, due):
        if number is not None and (type(number) is not int or number < 0):
            raise ValueError(f"a column holds {shown(number)} where a number from 0 on must be")
    if (payload is None) != (shared[0] is None) or not isinstance(payload, (bytes, type(None))):
        raise ValueError("a column holds no bytes where bytes must be")
    return state.Slot(
        {},
        None if payload is None else operations.Shared(payload, *shared),
        None if ending[0] is None else state.Ending(*ending),
    ), due


def owner_values(slot: state.Slot, due: int) -> list[Any]:
    """What the row of the owner of ``slot`` is to hold."""
    shared, ending = slot.shared, slot.ending
    return [
        *(
            (None,) * 4
            if shared is None
            else (shared.payload, shared.version, shared.write, shared.kept)
        ),
        *((None,) * 3 if ending is None else (ending.id, ending.time, ending.count)),
        due,
    ]


def due_later(slot: state.Slot, ms: int) -> int:
    """When to look again at an owner's row that was due, while it has sessions still.

    Not later than in a day, whatever their timeouts are: they may be ended before.
    """
    times = [
        record.meta.expires
        for key in slot.keys.values()
        for record in (key.active, key.finished)
        if record is not None
    ]
    return min(max(times, default=ms), ms + _DAY)


class Owner:
    """An owner's slot, as far as one transaction has looked into it."""

    def __init__(self, address: operations.Address, row: Stored) -> None:
        self.address = address
        self.slot = row[0]
        self.others: Others = "none"
        """What was looked at beside the keys that were learnt one by one."""
        self.has_changed = False
        self._row = row
        self._rows: dict[str, Stored] = {}  # of its keys, as they were

    def knows(self, name: str) -> bool:
        """Whether it was looked at what there is at this key."""
        return name in self._rows or self.others == "all"

    def learn(self, name: str, row: Stored) -> None:
        """This is what there is at the key ``name``."""
        self._rows[name] = row
        key = row[0].keys.get(name)
        if key is not None:
            keys = {**self.slot.keys, name: key}
            self.slot = state.Slot(keys, self.slot.shared, self.slot.ending)

    def become(self, slot: state.Slot) -> None:
        """A step has changed it."""
        self.slot = slot
        self.has_changed = True

    def changes(self) -> Iterator[tuple[operations.Address, Stored, state.Slot]]:
        """Whatever is to be written: where, what there was, and what there is to be."""
        keys = self.slot.keys
        for name in {**self._rows, **keys}:
            row, key = self._rows.get(name, NO_ROW), keys.get(name)
            if key is not row[0].keys.get(name):
                after = state.EMPTY if key is None else state.Slot({name: key})
                yield replace(self.address, key=name), row, after

    def change(self) -> tuple[Stored, state.Slot] | None:
        """What there was in its own row, and what there is to be, if that is another."""
        before, slot = self._row[0], self.slot
        if slot.shared is before.shared and slot.ending is before.ending:
            return None
        return self._row, state.Slot({}, slot.shared, slot.ending)
