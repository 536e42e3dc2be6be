"""PostgreSQL: what a statement is given, as rows: an array for each column, or plain values.

One row by itself is worth a statement of its own: the server has no arrays to take apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import LargeBinary, Table

__all__ = ["LIMITS_WAITING", "arguments", "quoted", "rows_given", "type_of"]

LIMITS_WAITING = "(SELECT set_config('lock_timeout', '100ms', true)) <> ''"
"""A condition that holds: a new row whose key a transaction has that is still open would wait
for its end."""


def quoted(text: str) -> str:
    """``text`` as a literal, whatever stands in it."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def rows_given(
    columns: Mapping[str, str], first: int, *, alone: bool, numbered: bool = False
) -> str:
    """A query whose rows have these ``columns`` (names and types), of the parameters from
    ``first`` on; ``alone``: the one row; ``numbered``: and ``n``, from 1 on."""
    typed = list(enumerate(columns.items(), first))
    if alone:
        values = [f"${n}::{type} AS {name}" for n, (name, type) in typed]
        return f"SELECT {', '.join(values)}{', 1::bigint AS n' * numbered}"
    arrays = ", ".join(f"${n}::{type}[]" for n, (_, type) in typed)
    ordinality, names = (" WITH ORDINALITY", [*columns, "n"]) if numbered else ("", columns)
    return f"SELECT * FROM unnest({arrays}){ordinality} AS g({', '.join(names)})"


def arguments(rows: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """The parameters for ``rows``; where there is one, it is alone."""
    return rows[0] if len(rows) == 1 else list(zip(*rows, strict=True))


def type_of(table: Table, name: str) -> str:
    """The type of the column ``name``."""
    return "bytea" if isinstance(table.c[name].type, LargeBinary) else "bigint"
