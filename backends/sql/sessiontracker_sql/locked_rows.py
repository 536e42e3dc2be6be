"""PostgreSQL, MariaDB and MySQL: rows that a caller's transaction has locked, or made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnClause,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    LargeBinary,
    Row,
    String,
    Table,
    TableClause,
    TypeDecorator,
    and_,
    bindparam,
    column,
    delete,
    func,
    insert,
    select,
    table,
    update,
)
from sqlalchemy.dialects import mysql, postgresql

from sessiontracker.backend import new_id

__all__ = ["LockedRows", "OwnersKeys", "run"]

_PLACE = ("type", "scope", "key")
# Tables of ours are where the backend has them, wherever the caller's own may be.
_OPTIONS: dict[str, Any] = {"schema_translate_map": None}


def run(connection: Connection, statement: Executable, values: Any = None) -> Any:
    return connection.execute(statement, values, execution_options=_OPTIONS)


class _Hexadecimal(TypeDecorator[bytes]):
    """Bytes that are sent as text: aiomysql takes none beside a new PyMySQL."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> str | None:
        return None if value is None else value.hex()

    def bind_expression(self, bindvalue: BindParameter[bytes]) -> ColumnElement[bytes]:
        return func.unhex(bindvalue)


def _as_sent(made: Table, kind: str) -> TableClause:
    """The table as statements name it, its bytes as this ``kind`` of server is sent them."""
    binary = LargeBinary() if kind == "postgresql" else _Hexadecimal()
    columns: list[ColumnClause[Any]] = [
        column(each.name, binary if isinstance(each.type, LargeBinary) else each.type)
        for each in made.columns
    ]
    return table(made.name, *columns, schema=made.schema)


class LockedRows:
    """Rows of the table ``made``, with these ``columns``, on a server of this ``kind``."""

    def __init__(self, made: Table, columns: Sequence[str], kind: str) -> None:
        sent = self.table = _as_sent(made, kind)
        self._columns = columns
        self._place = [name for name in _PLACE if name in sent.c]
        self._here = and_(*(sent.c[name] == bindparam(f"at_{name}") for name in self._place))
        found = select(sent.c.revision, *(sent.c[name] for name in columns))
        self._lock = found.where(self._here).with_for_update()
        self._delete = delete(sent).where(self._here)
        self._insert = insert(sent)
        self._updates: dict[Sequence[str], Executable] = {}
        # A row that is not there cannot be locked, but for the gap between its neighbours, where
        # nobody could begin anything then.
        self._makes_all = kind != "postgresql"
        if kind == "postgresql":
            self._make: Executable = postgresql.insert(sent).on_conflict_do_nothing()
        else:  # IGNORE would share the row's lock, and two that do wait for each other
            self._make = mysql.insert(sent).on_duplicate_key_update(due=sent.c.due)

    def lock(
        self, connection: Connection, place: Sequence[bytes], *, make: bool
    ) -> tuple[Row[Any] | None, bool]:
        """The revision and the columns of the row at ``place``, locked, and whether it was made
        just now, empty: with ``make``, it is if there is none."""
        revision = 0
        if make or self._makes_all:
            revision = new_id()
            there = dict(zip(self._place, place, strict=True))
            run(connection, self._make, {**there, "revision": revision, "due": 0})
        row: Row[Any] | None = run(connection, self._lock, _at(place)).one_or_none()
        return row, row is not None and row[0] == revision

    def insert(self, connection: Connection, place: Sequence[bytes], values: Sequence[Any]) -> None:
        names = (*self._place, *self._columns)
        row = dict(zip(names, (*place, *values), strict=True))
        run(connection, self._insert, {**row, "revision": new_id()})

    def update(
        self,
        connection: Connection,
        place: Sequence[bytes],
        columns: Sequence[str],
        values: Sequence[Any],
    ) -> bool:
        """Whether there was such a row."""
        statement = self._updates.get(columns)
        if statement is None:
            names = (*columns, "revision")
            new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
            if "reserved_until" in self.table.c:
                new["reserved_until"] = None  # whoever it was reserved for has been overtaken
            statement = update(self.table).where(self._here).values(new)
            self._updates[columns] = statement
        given = {f"new_{name}": value for name, value in zip(columns, values, strict=True)}
        done = run(connection, statement, {**_at(place), **given, "new_revision": new_id()})
        return bool(done.rowcount)

    def delete(self, connection: Connection, place: Sequence[bytes]) -> None:
        run(connection, self._delete, _at(place))


class OwnersKeys:
    """The rows of an owner's keys, of one in ``owners``: nobody else changes them while its own
    is locked, and all who do change that, too."""

    def __init__(self, owners: LockedRows, keys: LockedRows, columns: Sequence[str]) -> None:
        owner, key = owners.table, keys.table
        its = and_(owner.c.type == bindparam("at_type"), owner.c.scope == bindparam("at_scope"))
        same = and_(key.c.type == owner.c.type, key.c.scope == owner.c.scope)
        found = select(owner.c.revision, key.c.key, *(key.c[name] for name in columns)).where(its)
        named = key.c.key == bindparam("at_key")
        self._all = found.select_from(owner.outerjoin(key, same))
        self._one = found.select_from(owner.outerjoin(key, and_(same, named)))

    def load(
        self, connection: Connection, place: Sequence[bytes], revision: int
    ) -> Sequence[Sequence[Any]]:
        """The key and the columns of those that ``place`` begins, or is, as they are beside the
        owner's row of this ``revision``, which is locked."""
        statement = self._one if len(place) == len(_PLACE) else self._all
        rows = run(connection, statement, _at(place)).all()
        if not rows or rows[0][0] != revision:
            # The transaction's snapshot is older than the lock, on MariaDB: as it is now, at the
            # price that the gaps are locked, too.
            rows = run(connection, statement.with_for_update(), _at(place)).all()
        return [row[1:] for row in rows if row[1] is not None]


def _at(place: Sequence[bytes]) -> dict[str, bytes]:
    return {f"at_{name}": part for name, part in zip(_PLACE, place, strict=False)}
