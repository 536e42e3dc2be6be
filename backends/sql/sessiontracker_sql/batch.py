"""The keys that one transaction touches: read once, stepped by the machine, written once."""

from __future__ import annotations

import logging
import sqlite3

from msgspec.structs import replace

from sessiontracker.backend import BackendError, machine, operations, state

from .known import NO_ROW, Known, Stored
from .lapsing import has_just_lapsed
from .owned import Others, Owner, decode_owner, names_of, others_of
from .rows import decode
from .statements import Statements
from .writes import Writes, place_of

__all__ = ["Batch"]

Address = operations.Address
_apply = machine.apply
_log = logging.getLogger("sessiontracker")


class Batch:
    """Plain sessions' keys by address, and owners by theirs."""

    def __init__(self, cursor: sqlite3.Cursor, statements: Statements, known: Known) -> None:
        self.claims: list[int] = []
        self._cursor = cursor
        self._statements = statements
        self._known = known
        self._slots: dict[Address, state.Slot] = {}
        self._broken: dict[Address, str] = {}
        self._changed: dict[Address, Stored] = {}  # as they were
        self._owners: dict[Address, Owner] = {}
        self._in_doubt: set[Address] = set()

    def step(self, operation: operations.Operation, now: int) -> operations.Outcome:
        """Execute ``operation`` at ``now`` (µs), in memory."""
        address = operation.address
        if address.scope:
            return self._step_of_owner(operation, now)
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
        elif machine.depends_on_time(outcome) and has_just_lapsed(slot, now):
            self._in_doubt.add(address)
        return outcome

    def _step_of_owner(self, operation: operations.Operation, now: int) -> operations.Outcome:
        address = operation.address
        owner = self._owner(address.slot)
        if isinstance(owner, str):
            return operations.Broken(owner)
        others = others_of(operation)
        if others != "none":
            self._look_at(owner, others)
        for name in names_of(operation):
            if not owner.knows(name):
                at = replace(address, key=name)
                row = self._known.get(at) or self._load(at)
                if row is not None:
                    owner.learn(name, row)
        if address in self._broken:
            return operations.Broken(self._broken[address])
        slot = owner.slot
        try:
            after, outcome = _apply(slot, operation, now)
        except Exception as error:
            return operations.Failed(BackendError(f"{type(operation).__name__} failed: {error!r}"))
        if after is not slot:
            owner.become(after)
            ticket = state.claimed(slot, after, address.key)
            if ticket:
                self.claims.append(ticket)
        elif machine.depends_on_time(outcome) and has_just_lapsed(slot, now):
            self._in_doubt.add(address)
        return outcome

    def _owner(self, address: Address) -> Owner | str:
        """The owner at ``address``; a text says why its row is none of ours."""
        owner = self._owners.get(address)
        if owner is None:
            row = self._known.get(address)
            if row is None:
                place = place_of(address)[:2]
                found = self._cursor.execute(self._statements.load_owner, place).fetchone()
                try:
                    row = NO_ROW if found is None else decode_owner(found)
                except ValueError as error:
                    return str(error)
                self._known.learn(address, row)
            owner = self._owners[address] = Owner(address, row)
        return owner

    def _look_at(self, owner: Owner, others: Others) -> None:
        """Have ``owner`` know these ``others`` of its keys. A row that is none of ours is passed
        over."""
        if owner.others in (others, "all"):
            return
        statements = self._statements
        load = statements.load_all if others == "all" else statements.load_those_with_sessions
        for *values, name in self._cursor.execute(load, place_of(owner.address)[:2]).fetchall():
            try:
                key = name.decode()
                address = replace(owner.address, key=key)
                if owner.knows(key) or address in self._broken:
                    continue
                row = self._known.get(address)
                if row is None:
                    stored, due = decode(values)
                    row = state.Slot({key: stored}), due
            except (ValueError, AttributeError) as error:
                _log.warning("the row of key %r of an owner is passed over: %s", name, error)
                continue
            owner.learn(key, row)
        owner.others = others

    def is_for_a_writer(self, address: operations.Address) -> bool:
        """Whether a step changed what is at ``address``, or what else is its owner's, or said what
        others who write may be about to make untrue."""
        if address in self._in_doubt:
            return True
        if address.scope:
            owner = self._owners.get(address.slot)
            return owner is not None and owner.has_changed
        return address in self._changed

    def write(self) -> Writes:
        """Send what changed to the database, and say what that was. Raises: sqlite3.Error."""
        writes = Writes()
        for address, before in self._changed.items():
            writes.add(address, before, self._slots[address])
        for owner in self._owners.values():
            if owner.has_changed:
                for change in owner.changes():
                    writes.add(*change)
                changed = owner.change()
                if changed is not None:
                    writes.add_owner(owner.address, *changed)
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
