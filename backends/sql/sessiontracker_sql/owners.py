"""Owners on a server: all that is an owner's changes with its own row, or not at all.

An owner's row and rows of its keys are read in one snapshot, the machine decides, and what it
changed is written in one transaction where the owner's row is still as it was read. As every
change of an owner's writes that row anew, all that was read beside it is then still true: what
concerns one key looks at two rows, however many sessions the owner has; what concerns others as
well looks at all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from sessiontracker.backend import BackendError, machine, new_id, operations, state

from .known import NO_ROW, Stored
from .lapsing import LATEST, has_just_lapsed, lapse_of, without_sessions_that_expired
from .owned import OWNER_COLUMNS, Owner, decode_owner, owner_values
from .pending import Pending, Steps
from .rows import ALL, decode, values_of

__all__ = [
    "OwnerBatch",
    "OwnerChange",
    "OwnerPlace",
    "OwnerRows",
    "change_of",
    "collect",
    "lapses",
    "owner_of",
]

_apply = machine.apply

OwnerPlace = tuple[bytes, bytes]
"""The primary key of an owner's row."""


class OwnerRows(NamedTuple):
    """What stood there: the owner's row and which write left it so (None: there is no row), rows of
    its keys, or why they are none of ours, and the clock, in µs, before and after the snapshot."""

    row: Stored
    revision: int | None
    keys: dict[str, Stored]
    broken: dict[str, str]
    before: int
    after: int


class OwnerChange(NamedTuple):
    """What is to be written where the owner's row is still at ``before``, before the clock (ms)
    is at ``until``: the row, left by the write ``revision`` (None: it goes), and rows of keys
    that are there then, whole, or go. ``wakes`` are the tickets that are given claims by it."""

    place: OwnerPlace
    before: int | None
    revision: int
    until: int
    values: list[Any] | None
    puts: list[tuple[bytes, list[Any]]]
    gone: list[bytes]
    wakes: list[int]

    @property
    def weight(self) -> int:
        rows = [self.values or [], *(values for _, values in self.puts)]
        return sum(len(value) for row in rows for value in row if isinstance(value, bytes))


def owner_of(address: operations.Address, rows: OwnerRows, names: Iterable[str] | None) -> Owner:
    """What is known of the owner at ``address`` by its ``rows``: of the keys ``names``; None: of
    all."""
    owner = Owner(address, rows.row)
    for name in rows.keys if names is None else names:
        if name not in rows.broken:
            owner.learn(name, rows.keys.get(name, NO_ROW))
    owner.is_whole = names is None
    return owner


def collect(
    found: dict[OwnerPlace, OwnerRows | str],
    place: OwnerPlace,
    revision: int | None,
    clock: tuple[int, int],
    values: Sequence[Any],
) -> None:
    """Add the owner at ``place``, left by the write ``revision``, beside one of its keys: the
    ``values`` are those of the owner's columns, the key, and those of its columns."""
    size = len(OWNER_COLUMNS)
    rows = found.get(place)
    if rows is None:
        try:
            row = NO_ROW if revision is None else decode_owner(values[:size])
        except ValueError as error:
            found[place] = str(error)
            return
        rows = found[place] = OwnerRows(row, revision, {}, {}, *clock)
    if isinstance(rows, str) or values[size] is None:
        return
    try:
        name = values[size].decode()
    except ValueError:
        return  # no key that anybody could name
    try:
        key, due = decode(values[size + 1 :])
    except ValueError as error:
        rows.broken[name] = str(error)
    else:
        rows.keys[name] = state.Slot({name: key}), due


def lapses(owner: Owner, before: int) -> int:
    """When, in ms, the first thing that is known of ``owner`` lapses that had not at ``before``."""
    ms = before // 1000
    first = min((lapse_of(key, ms) for key in owner.slot.keys.values()), default=operations.FOREVER)
    shared = owner.slot.shared
    if shared is not None and shared.kept > ms:
        first = min(first, shared.kept)
    return first


def change_of(
    place: OwnerPlace, owner: Owner, before: state.Slot, rows: OwnerRows, until: int
) -> OwnerChange:
    """What is to be written for ``owner``, who was as ``before`` by these ``rows``."""
    puts: list[tuple[bytes, list[Any]]] = []
    gone: list[bytes] = []
    wakes: list[int] = []
    for address, _, after in owner.changes():
        key = after.keys.get(address.key)
        if key is None:
            gone.append(address.key.encode())
        else:
            # It is reaped with all of the owner's.
            puts.append((address.key.encode(), values_of(key, operations.FOREVER, ALL)))
            ticket = state.claimed(before, owner.slot, address.key)
            if ticket:
                wakes.append(ticket)
    due = state.due(owner.slot)
    if not owner.is_whole:
        due = min(due, rows.row[1])  # only ever sooner, unless all is known
    values: list[Any] | None = owner_values(owner.slot, due)
    if owner.is_whole and state.is_empty(owner.slot) and not rows.broken:
        values = None
    return OwnerChange(place, rows.revision, new_id(), until, values, puts, gone, wakes)


class _Steps(Steps):
    """The steps of a batch on one owner, in order."""

    def __init__(self, address: operations.Address, place: OwnerPlace) -> None:
        super().__init__()
        self.address = address
        self.place = place

    @property
    def names(self) -> list[str] | None:
        """The keys that the steps are about; None: all."""
        if any(machine.concerns_others(operation) for _, operation in self.asked):
            return None
        return list(dict.fromkeys(operation.address.key for _, operation in self.asked))

    def decide(self, owner: Owner, rows: OwnerRows) -> bool:
        """Have the machine take the steps: whether anything is to be written for that to be
        true."""
        self.outcomes = []
        before = owner.slot
        for _, operation in self.asked:
            self.outcomes.append(self._decide(owner, operation, rows))
        if owner.slot is not before and owner.slot != before:
            return True
        if not (self.depend_on_time and has_just_lapsed(before, rows.after)):
            return False
        owner.become(without_sessions_that_expired(before, rows.after))
        return True

    def _decide(
        self, owner: Owner, operation: operations.Operation, rows: OwnerRows
    ) -> operations.Outcome:
        reason = rows.broken.get(operation.address.key)
        if reason is not None:
            return operations.Broken(reason)
        if self.tries and isinstance(operation, operations.Read):
            # Somebody is at this owner: reading does not wait for it to slide.
            operation = replace(operation, slide=False)
        try:
            slot, outcome = _apply(owner.slot, operation, rows.after)
        except Exception as error:  # one operation's failure is not its neighbours'
            return operations.Failed(BackendError(f"{type(operation).__name__} failed: {error!r}"))
        if slot is not owner.slot:
            owner.become(slot)
        return outcome


class OwnerBatch(Pending[OwnerPlace, _Steps]):
    """Steps by owner, and what has come of them so far."""

    def __init__(self, steps: Sequence[operations.Operation]) -> None:
        super().__init__(len(steps))
        for index, operation in enumerate(steps):
            address = operation.address.slot
            try:
                place = address.type.encode(), address.scope.encode()
                operation.address.key.encode()
            except ValueError as error:  # no text that can be stored
                self.outcomes[index] = operations.Failed(BackendError(str(error)))
                continue
            known = self._open.setdefault(place, _Steps(address, place))
            known.asked.append((index, operation))

    def wanted(self) -> dict[OwnerPlace, list[bytes] | None]:
        """Which keys' rows the steps that have no outcome yet need, by owner; None: all."""
        wanted: dict[OwnerPlace, list[bytes] | None] = {}
        for place, steps in sorted(self._open.items()):
            names = steps.names
            wanted[place] = None if names is None else [name.encode() for name in names]
        return wanted

    def decide(self, found: Mapping[OwnerPlace, OwnerRows | str]) -> list[OwnerChange]:
        """Take the steps from what was ``found``, as just read; what changes nothing has its
        outcome then, what does is to be written."""
        changes: list[OwnerChange] = []
        for place, steps in sorted(self._open.items()):
            rows = found[place]
            if isinstance(rows, str):
                self._close(place, operations.Broken(rows))
                continue
            owner = owner_of(steps.address, rows, steps.names)
            first = lapses(owner, rows.before)
            if first <= rows.after // 1000:
                continue  # before or after it was read: to be read once more
            before = owner.slot
            if steps.decide(owner, rows):
                until = min(first, rows.after // 1000 + LATEST)
                changes.append(change_of(place, owner, before, rows, until))
            else:
                self._close(place)
        return changes
