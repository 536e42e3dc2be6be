"""The keys that one transaction touches: read once, stepped by the machine, written once."""

from __future__ import annotations

import sqlite3

from sessiontracker.backend import BackendError, machine, operations, state

from .known import NO_ROW, Known, Stored
from .rows import decode
from .statements import Statements
from .writes import Writes, place_of

__all__ = ["Batch"]

Address = operations.Address
_apply = machine.apply


class Batch:
    """Keys by address. A key's slot holds that key alone, also where an owner has others:
    no operation on one key looks at another."""

    def __init__(self, cursor: sqlite3.Cursor, statements: Statements, known: Known) -> None:
        self.claims: list[int] = []
        self._cursor = cursor
        self._statements = statements
        self._known = known
        self._slots: dict[Address, state.Slot] = {}
        self._broken: dict[Address, str] = {}
        self._changed: dict[Address, Stored] = {}  # as they were

    def step(self, operation: operations.Operation, now: int) -> operations.Outcome:
        """Execute ``operation`` at ``now`` (µs), in memory."""
        address = operation.address
        slot = self._slots.get(address)
        row = None
        if slot is None:
            row = self._known.get(address) or self._load(address)
            if row is None:
                return operations.Broken(self._broken[address])
            slot = row[0]
        try:
            after, outcome = _apply(slot, operation, now)
        except Exception as error:  # one operation's failure is not its neighbours'
            return operations.Failed(BackendError(f"{type(operation).__name__} failed: {error!r}"))
        if after is not slot:
            self._slots[address] = after
            if row is not None:
                self._changed[address] = row
            ticket = state.claimed(slot, after, address.key)
            if ticket:
                self.claims.append(ticket)
        return outcome

    def has_changed(self, address: operations.Address) -> bool:
        """Whether a step changed what is at ``address``."""
        return address in self._changed

    def write(self) -> Writes:
        """Send what changed to the database, and say what that was. Raises: sqlite3.Error."""
        writes = Writes()
        for address, before in self._changed.items():
            writes.add(address, before, self._slots[address])
        writes.send(self._cursor, self._statements)
        return writes

    def _load(self, address: operations.Address) -> Stored | None:
        """The row at ``address``; None if it is none of ours."""
        if address in self._broken:
            return None
        found = self._cursor.execute(self._statements.load, place_of(address)).fetchone()
        row = NO_ROW
        if found is not None:
            try:
                key, due = decode(found)
            except ValueError as error:
                self._broken[address] = str(error)
                return None
            row = state.Slot({address.key: key}), due
        self._known.learn(address, row)
        return row
