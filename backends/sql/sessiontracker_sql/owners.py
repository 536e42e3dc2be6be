"""Owners on a server: all that is an owner's changes with its own row, or not at all.

An owner's row and rows of its keys are read in one snapshot, the machine decides, and what it
changed is written in one transaction where the owner's row is still as it was read. As every
change of an owner's writes that row anew, all that was read beside it is then still true: what
concerns one key looks at two rows, however many sessions the owner has; what concerns others as
well looks at those that hold sessions. What others only remember goes by itself, with or without
the owner's row, once nobody asks for it any more.

Nobody keeps a row locked while he decides, so who is slow may be overtaken again and again. He
reserves the row for a moment, which is a write that changes nothing else: whoever finds it
reserved leaves it until it is written, or that moment has passed. But a caller's own transaction
does not ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from sessiontracker.backend import BackendError, machine, new_id, operations, state

from .known import NO_ROW, Stored
from .lapsing import LATEST, has_just_lapsed, lapse_of, without_sessions_that_expired
from .owned import (
    OTHERS,
    OWNER_COLUMNS,
    Others,
    Owner,
    decode_owner,
    names_of,
    others_of,
    owner_values,
)
from .pending import Pending, Steps
from .rows import ALL, decode, values_of

__all__ = [
    "TURN",
    "OwnerBatch",
    "OwnerChange",
    "OwnerPlace",
    "OwnerRows",
    "Wanted",
    "by_others",
    "change_of",
    "collect",
    "lapses",
    "owner_of",
]

_apply = machine.apply

TURN = 1_000
"""For how long, in ms, a row is reserved: who stalls for longer is overtaken again."""

_TRIES = 2
"""How often a step is tried that others overtake, before it has them wait for its turn."""

OwnerPlace = tuple[bytes, bytes]
"""The primary key of an owner's row."""


class Wanted(NamedTuple):
    """Which of an owner's keys are to be read: these, and which others."""

    keys: Sequence[bytes] = ()
    others: Others = "none"


def by_others(wanted: Mapping[OwnerPlace, Wanted]) -> dict[Others, dict[OwnerPlace, Wanted]]:
    """What is ``wanted``, by what is asked in one query: by the kind of others."""
    parts: dict[Others, dict[OwnerPlace, Wanted]] = {}
    for place, its in wanted.items():
        parts.setdefault(its.others, {})[place] = its
    return parts


class OwnerRows(NamedTuple):
    """What stood there: the owner's row, which write left it so (None: there is no row) and until
    when (ms) it is left to who wrote that, rows of its keys, or why they are none of ours, and the
    clock, in µs, before and after the snapshot."""

    row: Stored
    revision: int | None
    reserved_until: int
    keys: dict[str, Stored]
    broken: dict[str, str]
    before: int
    after: int

    @property
    def is_reserved(self) -> bool:
        """Whether the owner's row is. One that is for longer is so by a clock that was set back."""
        return 0 < self.reserved_until - self.after // 1000 <= TURN


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


def owner_of(
    address: operations.Address, rows: OwnerRows, others: Others, names: Iterable[str] = ()
) -> Owner:
    """What is known of the owner at ``address`` by its ``rows``, which hold what there is at those
    ``names`` and ``others``."""
    owner = Owner(address, rows.row)
    for name in {**rows.keys, **dict.fromkeys(names)}:
        if name not in rows.broken:
            owner.learn(name, rows.keys.get(name, NO_ROW))
    owner.others = others
    return owner


def collect(
    found: dict[OwnerPlace, OwnerRows | str],
    place: OwnerPlace,
    revision: int | None,
    reserved_until: int | None,
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
        rows = found[place] = OwnerRows(row, revision, reserved_until or 0, {}, {}, *clock)
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
            puts.append((address.key.encode(), values_of(key, _goes_by_itself(key), ALL)))
            ticket = state.claimed(before, owner.slot, address.key)
            if ticket:
                wakes.append(ticket)
    lasting = {
        name: key
        for name, key in owner.slot.keys.items()
        if _goes_by_itself(key) == operations.FOREVER
    }
    shared, ending = owner.slot.shared, owner.slot.ending
    due = state.due(state.Slot(lasting, shared, ending))
    is_whole = owner.others != "none"
    is_over = is_whole and not lasting and shared is None and ending is None and not rows.broken
    is_new = rows.revision is None  # then it is written even if it is over, or nothing would be
    if not is_whole or is_new:
        # Only ever sooner, unless all is known; and looked at once more if nothing may be left.
        due = min(due, rows.row[1], state.due(owner.slot))
    values = None if is_over and not is_new else owner_values(owner.slot, due)
    return OwnerChange(place, rows.revision, new_id(), until, values, puts, gone, wakes)


def _goes_by_itself(key: state.Key) -> int:
    """When, in ms, the row of ``key`` can go; FOREVER: when its owner's is looked at."""
    lock = key.lock
    is_alive = key.active is not None or key.finished is not None
    if is_alive or (lock is not None and lock.lease is not None):
        return operations.FOREVER
    return state.due(state.Slot({"": key}))


class _Steps(Steps):
    """The steps of a batch on one owner, in order."""

    def __init__(self, address: operations.Address, place: OwnerPlace) -> None:
        super().__init__()
        self.address = address
        self.place = place
        self.names: dict[str, None] = {}  # the keys that the steps are about
        self.others: Others = "none"
        self.turn = 0  # the revision by which the owner's row was reserved for them; 0: it is not

    def add(self, index: int, operation: operations.Operation) -> None:
        """Have ``operation`` done, whose outcome is that at ``index``."""
        self.asked.append((index, operation))
        self.names |= dict.fromkeys(names_of(operation))
        self.others = max(self.others, others_of(operation), key=OTHERS.index)

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
        is_theirs = rows.is_reserved and not self.turn
        if (self.tries or is_theirs) and isinstance(operation, operations.Read):
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
                for name in names_of(operation):
                    name.encode()
            except ValueError as error:  # no text that can be stored
                self.outcomes[index] = operations.Failed(BackendError(str(error)))
                continue
            known = self._open.setdefault(place, _Steps(address, place))
            known.add(index, operation)

    def wanted(self) -> dict[OwnerPlace, Wanted]:
        """Which keys' rows the steps that have no outcome yet need, by owner."""
        return {
            place: Wanted([name.encode() for name in steps.names], steps.others)
            for place, steps in sorted(self._open.items())
        }

    def overtaken(self) -> list[OwnerPlace]:
        """Where others were quicker, and may be again and again."""
        return [
            place
            for place, steps in sorted(self._open.items())
            if steps.tries >= _TRIES and not steps.turn
        ]

    def take_turn(self, place: OwnerPlace, revision: int) -> None:
        """The row at ``place`` was reserved by the write ``revision``."""
        self._open[place].turn = revision

    def decide(self, found: Mapping[OwnerPlace, OwnerRows | str]) -> list[OwnerChange]:
        """Take the steps from what was ``found``, as just read; what changes nothing has its
        outcome then, what does is to be written."""
        changes: list[OwnerChange] = []
        for place, steps in sorted(self._open.items()):
            rows = found[place]
            if isinstance(rows, str):
                self._close(place, operations.Broken(rows))
                continue
            owner = owner_of(steps.address, rows, steps.others, steps.names)
            first = lapses(owner, rows.before)
            if first <= rows.after // 1000:
                continue  # before or after it was read: to be read once more
            before = owner.slot
            if steps.turn != rows.revision:
                steps.turn = 0
            # With a turn it is written in any case, which lets others go on.
            if steps.decide(owner, rows) or steps.turn:
                if rows.is_reserved and not steps.turn:
                    continue  # it is somebody else's turn
                until = min(first, rows.after // 1000 + LATEST)
                changes.append(change_of(place, owner, before, rows, until))
            else:
                self._close(place)
        return changes
