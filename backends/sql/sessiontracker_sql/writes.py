"""What a transaction writes, by kind of statement."""

from __future__ import annotations

import sqlite3
from typing import Any

from sessiontracker.backend import operations, state

from .known import NO_ROW, Known, Stored
from .owned import owner_values
from .rows import ALL, DUE, changed, values_of
from .statements import Statements

__all__ = ["Writes", "place_of"]

Place = tuple[bytes, bytes, bytes]


def place_of(address: operations.Address) -> Place:
    """The primary key of ``address``."""
    return address.type.encode(), address.scope.encode(), address.key.encode()


class Writes:
    """Rows to insert, update and delete: those of one kind go in one call."""

    def __init__(self) -> None:
        self._inserts: list[list[Any]] = []
        self._updates: dict[int, list[list[Any]]] = {}
        self._deletes: list[Place] = []
        self._owners: list[list[Any]] = []
        self._owners_gone: list[tuple[bytes, bytes]] = []
        self._rows: dict[operations.Address, Stored] = {}

    def add(
        self,
        address: operations.Address,
        before: Stored,
        after: state.Slot,
        *,
        postpone: bool = False,
    ) -> None:
        """Write ``after`` over the row ``before``.

        With ``postpone`` it is due later if it may be; else only ever sooner, see the schema.
        """
        old, key = before[0].keys.get(address.key), after.keys.get(address.key)
        row = NO_ROW
        if key is not None:
            groups = ALL if old is None else changed(old, key)
            due = state.due(after)
            if due < before[1] or postpone:
                groups |= DUE
            else:
                due = before[1]
            row = after, due
            values = values_of(key, due, groups)
            if old is None:
                self._inserts.append([*place_of(address), *values])
            elif groups:
                values += place_of(address)
                self._updates.setdefault(groups, []).append(values)
        elif old is not None:
            self._deletes.append(place_of(address))
        self._rows[address] = row

    def add_owner(self, address: operations.Address, before: Stored, after: state.Slot) -> None:
        """Write ``after``, what an owner shares and remembers, over its row ``before``."""
        place = place_of(address)[:2]
        if before is not NO_ROW:
            self._owners_gone.append(place)
        row = NO_ROW
        if not state.is_empty(after):
            row = after, state.due(after)
            self._owners.append([*place, *owner_values(*row)])
        self._rows[address] = row

    def leave(self, place: Place) -> None:
        """Leave the row at ``place`` as it is, and never due."""
        self._updates.setdefault(DUE, []).append([operations.FOREVER, *place])

    def send(self, cursor: sqlite3.Cursor, statements: Statements) -> None:
        """Raises: sqlite3.Error."""
        if self._inserts:
            cursor.executemany(statements.insert, self._inserts)
        for groups, values in self._updates.items():
            cursor.executemany(statements.update(groups), values)
        if self._deletes:
            cursor.executemany(statements.delete, self._deletes)
        if self._owners_gone:
            cursor.executemany(statements.delete_owner, self._owners_gone)
        if self._owners:
            cursor.executemany(statements.insert_owner, self._owners)

    def teach(self, known: Known) -> None:
        """Have ``known`` what was written; to be called once it is committed."""
        for address, row in self._rows.items():
            known.learn(address, row)
