"""The keys that one transaction touches: read once, stepped by the machine, written once."""

from __future__ import annotations

import sqlite3
from typing import Any

from sessiontracker.backend import BackendError, machine, operations, state

from .rows import ALL, DUE, changed, decode, values_of
from .statements import Statements

__all__ = ["Batch", "place_of"]

Address = operations.Address
_apply = machine.apply


def place_of(address: operations.Address) -> tuple[bytes, bytes, bytes]:
    """The primary key of ``address``."""
    return address.type.encode(), address.scope.encode(), address.key.encode()


class Batch:
    """Keys by address. A key's slot holds that key alone, also where an owner has others:
    no operation on one key looks at another."""

    def __init__(self, cursor: sqlite3.Cursor, statements: Statements) -> None:
        self.claims: list[int] = []
        self._cursor = cursor
        self._statements = statements
        self._slots: dict[Address, state.Slot] = {}
        self._stored: dict[Address, tuple[state.Key, int] | None] = {}
        self._broken: dict[Address, str] = {}
        self._changed: set[Address] = set()

    def step(self, operation: operations.Operation, now: int) -> operations.Outcome:
        """Execute ``operation`` at ``now`` (µs), in memory."""
        address = operation.address
        slot = self._slots.get(address)
        if slot is None:
            slot = self._load(address)
            if slot is None:
                return operations.Broken(self._broken[address])
        try:
            after, outcome = _apply(slot, operation, now)
        except Exception as error:  # one operation's failure is not its neighbours'
            return operations.Failed(BackendError(f"{type(operation).__name__} failed: {error!r}"))
        if after is not slot:
            self._slots[address] = after
            self._changed.add(address)
            ticket = state.claimed(slot, after, address.key)
            if ticket:
                self.claims.append(ticket)
        return outcome

    def has_changed(self, address: operations.Address) -> bool:
        """Whether a step changed what is at ``address``."""
        return address in self._changed

    def write(self) -> None:
        """Send what changed to the database. Raises: sqlite3.Error."""
        writes = Writes()
        for address in self._changed:
            writes.add(address, self._stored[address], self._slots[address])
        writes.send(self._cursor, self._statements)

    def _load(self, address: operations.Address) -> state.Slot | None:
        if address in self._broken:
            return None
        row = self._cursor.execute(self._statements.load, place_of(address)).fetchone()
        slot = state.EMPTY
        self._stored[address] = None
        if row is not None:
            try:
                key, due = decode(row)
            except ValueError as error:
                self._broken[address] = str(error)
                return None
            self._stored[address] = key, due
            slot = state.Slot({address.key: key})
        self._slots[address] = slot
        return slot


class Writes:
    """What a transaction writes, by kind of statement."""

    def __init__(self) -> None:
        self._inserts: list[list[Any]] = []
        self._updates: dict[int, list[list[Any]]] = {}
        self._deletes: list[tuple[bytes, bytes, bytes]] = []

    def add(
        self,
        address: operations.Address,
        before: tuple[state.Key, int] | None,
        after: state.Slot,
        *,
        postpone: bool = False,
    ) -> None:
        """Write ``after`` over what was stored ``before``; ``postpone`` if it need not be due."""
        key = after.keys.get(address.key)
        if before is None:
            if key is not None:
                values = values_of(key, state.due(after), ALL)
                self._inserts.append([*place_of(address), *values])
        elif key is None:
            self._deletes.append(place_of(address))
        else:
            groups = changed(before[0], key)
            due = state.due(after)
            if due < before[1] or (postpone and due > before[1]):
                groups |= DUE
            if groups:
                values = values_of(key, due, groups)
                values += place_of(address)
                self._updates.setdefault(groups, []).append(values)

    def leave(self, place: tuple[bytes, bytes, bytes]) -> None:
        """Leave the row at ``place`` as it is, and never due."""
        self._updates.setdefault(DUE, []).append([operations.FOREVER, *place])

    def send(self, cursor: sqlite3.Cursor, statements: Statements) -> None:
        if self._inserts:
            cursor.executemany(statements.insert, self._inserts)
        for groups, values in self._updates.items():
            cursor.executemany(statements.update(groups), values)
        if self._deletes:
            cursor.executemany(statements.delete, self._deletes)
