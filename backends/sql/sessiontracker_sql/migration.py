"""The tables, created and brought up to date, by one process at a time."""

from __future__ import annotations

import sqlite3

from .schema import Tables
from .statements import Statements
from .versions import check_columns, refuse_to_create, usable

__all__ = ["check", "migrate"]


def migrate(cursor: sqlite3.Cursor, statements: Statements, *, create: bool) -> None:
    """Bring the tables to the version that this code writes, within the caller's transaction.

    A newer version stays if this code may still use it. Raises: BackendError.
    """
    tables = statements.tables
    newest = tables.newest
    present = _columns(cursor, tables.keys.name), _columns(cursor, tables.schema.name)
    version = 0
    if any(present):
        found = None
        if present[0] and "version" in present[1] and "oldest" in present[1]:
            found = cursor.execute(statements.version).fetchone()
            if found is None and not _missing(tables, present[0]):  # made by other means than ours
                found = newest, tables.oldest
                cursor.execute(statements.note_version, found)
        version = usable(tables, found)
    if version < newest and not create:
        raise refuse_to_create(tables, version)
    for step in range(version + 1, newest + 1):
        for ddl in statements.ddl(step):
            cursor.execute(ddl)
        cursor.execute(statements.note_version, (step, tables.oldest))
    check_columns(tables.keys, _columns(cursor, tables.keys.name))
    check_columns(tables.owners, _columns(cursor, tables.owners.name))
    cursor.execute(statements.rewrite_version)


def _missing(tables: Tables, present: set[str]) -> set[str]:
    return {column.name for column in tables.keys.columns} - present


def check(cursor: sqlite3.Cursor, statements: Statements) -> None:
    """Whether this code may still use the tables, which others may have brought to a newer
    version since it opened them. Raises: BackendError."""
    usable(statements.tables, cursor.execute(statements.version).fetchone())


def _columns(cursor: sqlite3.Cursor, table: str) -> set[str]:
    rows = cursor.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return {name for (name,) in rows}
