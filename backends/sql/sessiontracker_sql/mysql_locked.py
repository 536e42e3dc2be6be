"""Rows that somebody else has locked are left out, on MySQL, too.

MariaDB is told not to wait for them. MySQL waits for a second at least, in which one row of many
would hold up a batch: there, a statement first asks which of the rows it can have.
"""

from __future__ import annotations

from collections.abc import Sequence

from .literals import KEY

__all__ = ["Locked"]

_ALL = 1_000_000_000  # a limit keeps what is asked first from being merged into the statement


class Locked:
    waits = False
    """Whether the server waits for locked rows, which the greeting of a connection finds out."""

    def pass_by(self, table: str, where: str, names: Sequence[str] = KEY) -> tuple[str, str]:
        """The rows of ``table`` that a statement is to change, and the condition on them: those
        ``where``, but for those that somebody has locked. ``names`` are its primary key's."""
        if not self.waits:
            return table, where
        found = f"SELECT {', '.join(names)} FROM {table} WHERE {where} LIMIT {_ALL}"
        rows = f"({found} FOR UPDATE SKIP LOCKED) free STRAIGHT_JOIN {table} FORCE INDEX (PRIMARY)"
        # By its constants, a row would be looked up, and waited for, before all others.
        return rows, " AND ".join(f"{table}.{name} = free.{name}" for name in names)
