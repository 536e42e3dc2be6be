"""PostgreSQL, MariaDB and MySQL: a step within a caller's transaction, on rows that are locked.

The row of an owner is locked before those of its keys, as everybody does. The clock is read
when all are, since they may have been waited for. A session that is to begin has its row made
first, empty: then there is something to lock, and who comes second waits here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Pool, Row, func, literal_column, select

from sessiontracker.backend import BackendError, machine, operations, state

from .known import NO_ROW
from .locked_rows import LockedRows, OwnersKeys, run
from .optimistic import place_of
from .owned import OWNER_COLUMNS
from .owners import OwnerChange, OwnerPlace, OwnerRows, change_of, collect, owner_of
from .rows import ALL, COLUMNS, DUE, changed, columns_of, decode, values_of
from .server import Server
from .transactions import check_dialect, refuse_autocommit, together
from .versions import check_oldest

__all__ = ["ServerSteps"]

# In µs. What MariaDB calls UTC_TIMESTAMP is when the statement began, whatever zone is set.
_CLOCKS = {
    "postgresql": "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
}
_DIALECTS = {"postgresql": ("postgresql",), "mysql": ("mysql", "mariadb")}


class ServerSteps:
    """`Steps`, on a server of this ``kind``. ``clock``: µs since 1970, for tests."""

    def __init__(
        self, server: Server, kind: str, where: str, clock: Callable[[], int] | None
    ) -> None:
        self.where = where
        self.right: WeakSet[Pool] = WeakSet()
        self._server = server
        self._dialects = _DIALECTS[kind]
        self._clock = clock
        self._keys = LockedRows(server.tables.keys, COLUMNS, kind)
        self._owners = LockedRows(server.tables.owners, OWNER_COLUMNS, kind)
        self._owners_keys = OwnersKeys(self._owners, self._keys, COLUMNS)
        schema = server.tables.schema.c
        oldest = select(schema.oldest).order_by(schema.version.desc()).limit(1).scalar_subquery()
        self._time = select(literal_column(_CLOCKS[kind]), oldest)

    def identify(self, connection: Connection) -> object:
        check_dialect(self, connection, *self._dialects)
        return run(connection, select(literal_column(self._server.identity))).scalar_one()

    def execute(
        self, connection: Connection, operation: operations.Operation
    ) -> operations.Outcome:
        try:
            place = place_of(operation.address)
        except ValueError as error:  # no text that can be stored
            return operations.Failed(BackendError(str(error)))
        driver: Any = connection.connection.dbapi_connection
        if connection.dialect.detect_autocommit_setting(driver):
            raise refuse_autocommit(self)
        step = self._step_of_owner if operation.address.scope else self._step
        return step(connection, operation, place)

    def _now(self, connection: Connection) -> int:
        now, oldest = run(connection, self._time).one()
        check_oldest(self._server.tables, oldest)
        return int(now) if self._clock is None else self._clock()

    # A plain session -------------------------------------------------------------

    def _step(
        self, connection: Connection, operation: operations.Operation, place: Sequence[bytes]
    ) -> operations.Outcome:
        name = operation.address.key
        row, made = self._keys.lock(connection, place, make=_makes(operation))
        now = self._now(connection)
        before, due = NO_ROW
        if row is not None and not made:
            try:
                key, due = decode(row[1:])
            except ValueError as error:
                return operations.Broken(str(error))
            before = state.Slot({name: key})
        after, outcome = machine.apply(before, operation, now)
        if after is before:
            if made:
                self._keys.delete(connection, place)
            return outcome
        old = state.NOTHING if made else before.keys.get(name)
        self._write(connection, place, old, after.keys.get(name), due)
        self._wake(connection, [state.claimed(before, after, name)])
        return outcome

    def _write(
        self,
        connection: Connection,
        place: Sequence[bytes],
        old: state.Key | None,
        new: state.Key | None,
        was_due: int,
    ) -> None:
        if new is None:
            self._keys.delete(connection, place)
            return
        due = min(state.due(state.Slot({"": new})), was_due)  # only ever sooner, see the schema
        if old is None:
            self._keys.insert(connection, place, values_of(new, due, ALL))
            return
        groups = changed(old, new) | (DUE if due != was_due or old is state.NOTHING else 0)
        self._keys.update(connection, place, columns_of(groups), values_of(new, due, groups))

    def _wake(self, connection: Connection, tickets: Iterable[int]) -> None:
        """Once it is committed."""
        if self._server.channel:
            for ticket in filter(None, tickets):
                run(connection, select(func.pg_notify(self._server.channel, str(ticket))))

    # An owner's ------------------------------------------------------------------

    def _step_of_owner(
        self, connection: Connection, operation: operations.Operation, place: Sequence[bytes]
    ) -> operations.Outcome:
        address = operation.address
        row, made = self._owners.lock(connection, place[:2], make=_makes(operation))
        is_whole = machine.concerns_others(operation)
        rows: OwnerRows | str = OwnerRows(NO_ROW, None if row is None else row[0], 0, {}, {}, 0, 0)
        if row is not None:
            rows = self._owner(connection, row, place[:2] if is_whole else place)
        if isinstance(rows, str):
            return operations.Broken(rows)
        if made:  # empty; of its keys there may be rows that are about to go by themselves
            rows = rows._replace(row=NO_ROW)
        if address.key in rows.broken:
            return operations.Broken(rows.broken[address.key])
        owner = owner_of(address.slot, rows, "all" if is_whole else "none", [address.key])
        before = owner.slot
        after, outcome = machine.apply(before, operation, self._now(connection))
        if after is not before:
            owner.become(after)
            change = change_of((place[0], place[1]), owner, before, rows, 0)
            with together(connection) if self._dialects[0] == "mysql" else nullcontext():
                self._write_owner(connection, change, {key.encode() for key in rows.keys})
            self._wake(connection, change.wakes)
        elif made:
            self._owners.delete(connection, place[:2])
        return outcome

    def _owner(
        self, connection: Connection, row: Row[Any], place: Sequence[bytes]
    ) -> OwnerRows | str:
        """What an owner has by its own ``row`` and those of its keys that ``place`` begins, or is;
        a text says why the row is none of ours."""
        found: dict[OwnerPlace, OwnerRows | str] = {}
        owner = place[0], place[1]
        for key in self._owners_keys.load(connection, place, row[0]) or [(None,)]:
            collect(found, owner, row[0], None, (0, 0), (*row[1:], *key))
        return found[owner]

    def _write_owner(self, connection: Connection, change: OwnerChange, there: set[bytes]) -> None:
        place = change.place
        for key, values in change.puts:
            # What is only remembered may have gone by itself meanwhile.
            at = (*place, key)
            if key not in there or not self._keys.update(connection, at, COLUMNS, values):
                self._keys.insert(connection, at, values)
        for key in change.gone:
            self._keys.delete(connection, (*place, key))
        if change.values is None:
            self._owners.delete(connection, place)
        elif change.before is None:
            self._owners.insert(connection, place, change.values)
        else:
            self._owners.update(connection, place, OWNER_COLUMNS, change.values)


def _makes(operation: operations.Operation) -> bool:
    """Whether it may begin something where there was nothing."""
    kinds = (operations.Start, operations.Acquire, operations.WriteShared)
    return isinstance(operation, kinds)
