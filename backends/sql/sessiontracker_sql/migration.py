"""The tables, created and brought up to date, by one process at a time."""

from __future__ import annotations

import sqlite3

from sessiontracker.backend import BackendError

from .statements import Statements

__all__ = ["check", "migrate"]


def migrate(cursor: sqlite3.Cursor, statements: Statements, *, create: bool) -> None:
    """Bring the tables to the version that this code writes, within the caller's transaction.

    A newer version stays if this code may still use it. Raises: BackendError.
    """
    tables = statements.tables
    newest = len(tables.steps())
    present = _columns(cursor, tables.keys.name), _columns(cursor, tables.schema.name)
    if not any(present):
        if not create:
            raise BackendError(
                f"there are no tables {tables.keys.name} and {tables.schema.name} in this "
                "database: set create_tables = true to have them created, or correct url or "
                "table_prefix"
            )
        version = 0
    else:
        found = None
        if "version" in present[1] and "oldest" in present[1]:
            found = cursor.execute(statements.version).fetchone()
        version = _usable(statements, found if present[0] else None)
    if version < newest and not create:
        raise BackendError(
            f"the tables are of version {version}, and this sessiontracker-sql writes {newest}: "
            "set create_tables = true to have them migrated"
        )
    for step in range(version + 1, newest + 1):
        for ddl in statements.ddl(step):
            cursor.execute(ddl)
        cursor.execute(statements.note_version, (step, tables.oldest))
    _check_columns(cursor, statements)
    cursor.execute(statements.rewrite_version)


def check(cursor: sqlite3.Cursor, statements: Statements) -> None:
    """Whether this code may still use the tables, which others may have brought to a newer
    version since it opened them. Raises: BackendError."""
    _usable(statements, cursor.execute(statements.version).fetchone())


def _usable(statements: Statements, found: tuple[int, int] | None) -> int:
    """The version ``found`` of the tables, if this code may use them."""
    tables = statements.tables
    if found is None:
        raise BackendError(
            f"the tables {tables.keys.name} and {tables.schema.name} in this database are "
            "incomplete or somebody else's: set another table_prefix"
        )
    version, oldest = found
    newest = len(tables.steps())
    if oldest > newest:
        raise BackendError(
            f"the tables are of version {version}, and this sessiontracker-sql knows up to "
            f"{newest}: install the version that the other processes have"
        )
    return version


def _check_columns(cursor: sqlite3.Cursor, statements: Statements) -> None:
    keys = statements.tables.keys
    missing = {column.name for column in keys.columns} - _columns(cursor, keys.name)
    if missing:
        raise BackendError(
            f"the table {keys.name} has no column {min(missing)}: it is somebody else's or was "
            "altered: set another table_prefix, or restore it"
        )


def _columns(cursor: sqlite3.Cursor, table: str) -> set[str]:
    rows = cursor.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return {name for (name,) in rows}
