"""Whether tables that are there can be used: judged alike for every kind of database."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Table

from sessiontracker.backend import BackendError

from .schema import Tables

__all__ = ["check_columns", "check_oldest", "refuse_to_create", "usable"]


def refuse_to_create(tables: Tables, version: int) -> BackendError:
    """The error where tables of ``version`` (0: none) are there, newer ones are needed, and none
    may be made."""
    if not version:
        return BackendError(
            f"there are no tables {tables.keys.name} and {tables.schema.name} in this "
            "database: set create_tables = true to have them created, or correct url or "
            "table_prefix"
        )
    return BackendError(
        f"the tables are of version {version}, and this sessiontracker-sql writes "
        f"{tables.newest}: set create_tables = true to have them migrated"
    )


def usable(tables: Tables, found: Sequence[int] | None) -> int:
    """The version of the tables, if this code may use them: ``found`` is it, and the oldest
    version whose code may. Raises: BackendError."""
    if found is None:
        raise BackendError(
            f"the tables {tables.keys.name} and {tables.schema.name} in this database are "
            "incomplete or somebody else's: set another table_prefix"
        )
    version, oldest = found
    if oldest > tables.newest:
        raise BackendError(
            f"the tables are of version {version}, and this sessiontracker-sql knows up to "
            f"{tables.newest}: install the version that the other processes have"
        )
    return version


def check_oldest(tables: Tables, oldest: int | None) -> None:
    """Whether this code may use the tables still: ``oldest`` is the version that may (None: none
    is noted any more). Raises: BackendError."""
    if oldest is None or oldest > tables.newest:
        usable(tables, None if oldest is None else (oldest, oldest))


def check_columns(table: Table, present: Collection[str]) -> None:
    """Whether ``table`` has all of its columns. Raises: BackendError."""
    missing = {column.name for column in table.columns} - set(present)
    if missing:
        raise BackendError(
            f"the table {table.name} has no column {min(missing)}: it is somebody else's or "
            "was altered: set another table_prefix, or restore it"
        )
