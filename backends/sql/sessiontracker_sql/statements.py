"""The statements, built once and compiled once, as text and the order of its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Dialect,
    and_,
    bindparam,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy import delete as delete_from
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement, ColumnElement

from .owned import OWNER_COLUMNS
from .rows import COLUMNS, columns_of
from .schema import Tables

__all__ = ["Statements"]

PLACE = ("type", "scope", "key")
SAVED = (
    "active_payload", "active_version", "active_write", "active_updated", "active_slid",
    "active_expires", "deed_id", "deed_time",
)  # fmt: skip
"""What saving a session changes."""
AS_READ = (
    "active_life", "active_version", "active_write", "active_started", "active_idle", "active_ends",
)  # fmt: skip
"""What else of a session must be as it is known, so that what comes of it is known as well."""

_SYSTEM_CLOCK: ColumnElement[float] = literal_column("julianday('now')")
_NOBODY: ColumnElement[bytes] = literal_column("x''")
_ONE: ColumnElement[int] = literal_column("1")
# SQLAlchemy writes an offset for SQLite in any case, by default as one more parameter.
_FROM_THE_FIRST: ColumnElement[int] = literal_column("0")


class Statements:
    """What a backend says to its database. Parameters stand in the order given here."""

    def __init__(self, tables: Tables, dialect: Dialect) -> None:
        self.tables = tables
        self._dialect = dialect
        self._updates: dict[int, str] = {}
        keys = tables.keys.c
        values = [keys[name] for name in COLUMNS]
        place = [keys[name] for name in PLACE]
        here = and_(*(keys[name] == bindparam(f"at_{name}") for name in PLACE))
        at = [f"at_{name}" for name in PLACE]
        every: list[Any] = [*values, *place]
        self._here, self._at = here, at

        # (type, scope, key): all of `COLUMNS`
        self.load = self._compile(select(*values).where(here), at)
        # (type, scope, key): who has the lock
        self.holder = self._compile(select(keys.lease_ticket).where(here), at)
        # type, scope, key, and all of `COLUMNS`
        self.insert = self._compile(insert(tables.keys), [*PLACE, *COLUMNS])
        # The same three
        self.delete = self._compile(delete_from(tables.keys).where(here), at)

        # Two statements for a page, since not every database finds (scope, key) > (?, ?)
        # in an index: (type, scope, key, limit), what follows within the scope …
        within = select(*every).where(
            keys.type == bindparam("at_type"),
            keys.scope == bindparam("at_scope"),
            keys.key > bindparam("at_key"),
        )
        self.page_within = self._compile(
            within.order_by(keys.key).limit(bindparam("most")).offset(_FROM_THE_FIRST),
            [*at, "most"],
        )
        # … and (type, scope, limit), what follows behind it.
        behind = select(*every).where(
            keys.type == bindparam("at_type"), keys.scope > bindparam("at_scope")
        )
        self.page_behind = self._compile(
            behind.order_by(keys.scope, keys.key).limit(bindparam("most")).offset(_FROM_THE_FIRST),
            [*at[:2], "most"],
        )
        # (now in ms, limit): what there is to reap, oldest first
        due = select(*every).where(keys.due <= bindparam("now")).order_by(keys.due)
        self.due = self._compile(
            due.limit(bindparam("most")).offset(_FROM_THE_FIRST), ["now", "most"]
        )

        owners = tables.owners.c
        its = [owners[name] for name in OWNER_COLUMNS]
        its_own = and_(*(owners[name] == bindparam(f"at_{name}") for name in PLACE[:2]))
        # (type, scope): all of `OWNER_COLUMNS`
        self.load_owner = self._compile(select(*its).where(its_own), at[:2])
        # (type, scope): all of `COLUMNS`, and the key, of each of the owner's rows
        all_its = select(*values, keys.key).where(
            keys.type == bindparam("at_type"), keys.scope == bindparam("at_scope")
        )
        self.load_all = self._compile(all_its, at[:2])
        # … of those that hold sessions
        self.load_those_with_sessions = self._compile(
            all_its.where(or_(keys.active_life.is_not(None), keys.finished_life.is_not(None))),
            at[:2],
        )
        # type, scope, and all of `OWNER_COLUMNS`
        self.insert_owner = self._compile(insert(tables.owners), [*PLACE[:2], *OWNER_COLUMNS])
        # The same two
        self.delete_owner = self._compile(delete_from(tables.owners).where(its_own), at[:2])
        # When it is due, then (type, scope)
        self.postpone_owner = self._compile(
            update(tables.owners).where(its_own).values(due=bindparam("new_due")),
            ["new_due", *at[:2]],
        )
        # (now in ms, limit): all of `OWNER_COLUMNS`, type and scope, of owners that are due
        owners_due = select(*its, owners.type, owners.scope).where(owners.due <= bindparam("now"))
        self.owners_due = self._compile(
            owners_due.order_by(owners.due).limit(bindparam("most")).offset(_FROM_THE_FIRST),
            ["now", "most"],
        )

        schema = tables.schema.c
        self.version = self._compile(
            select(schema.version, schema.oldest).order_by(schema.version.desc()), []
        )
        # A write that changes nothing: refused where the database can only be read
        self.rewrite_version = self._compile(update(tables.schema).values(oldest=schema.oldest), [])
        self.note_version = self._compile(insert(tables.schema), ["version", "oldest"])

        # A session saved, nobody's and not locked, where it is as its writer read it: `SAVED`,
        # (type, scope, key), `AS_READ`, then the clock, twice, and the new end in ms, the newest
        # version of the tables that may be used, and until when by the system's clock, in days
        in_use = select(schema.oldest).order_by(schema.version.desc())
        in_use = in_use.limit(_ONE).offset(_FROM_THE_FIRST)
        self.save = self._compile(
            update(tables.keys)
            .where(
                here,
                *(keys[name] == bindparam(f"at_{name}") for name in AS_READ),
                keys.active_expires > bindparam("now"),
                keys.deed_time <= bindparam("same_now"),
                keys.due <= bindparam("end"),  # so that it stays, and with it the index
                in_use.scalar_subquery() <= bindparam("newest"),
                bindparam("until") > _SYSTEM_CLOCK,
                keys.active_owner == _NOBODY,
                keys.lease_ticket.is_(None),
            )
            .values({name: bindparam(f"new_{name}") for name in SAVED}),
            [
                *(f"new_{name}" for name in SAVED), *at, *(f"at_{name}" for name in AS_READ),
                "now", "same_now", "end", "newest", "until",
            ],
        )  # fmt: skip

    def update(self, groups: int) -> str:
        """The columns of ``groups``, in order, then (type, scope, key)."""
        statement = self._updates.get(groups)
        if statement is None:
            names = columns_of(groups)
            changed = update(self.tables.keys).where(self._here)
            values: dict[str, BindParameter[Any]] = {
                name: bindparam(f"new_{name}") for name in names
            }
            statement = self._compile(
                changed.values(values), [*(f"new_{name}" for name in names), *self._at]
            )
            self._updates[groups] = statement
        return statement

    def ddl(self, version: int) -> list[str]:
        """What makes this version of the tables of the one before."""
        return [
            str(element.compile(dialect=self._dialect))
            for element in self.tables.steps()[version - 1]
        ]

    def _compile(self, statement: ClauseElement, names: Sequence[str]) -> str:
        compiled = statement.compile(dialect=self._dialect)
        assert isinstance(compiled, SQLCompiler)
        if compiled.positiontup != list(names):
            raise AssertionError(f"parameters in another order: {compiled.positiontup}")
        return str(compiled)
