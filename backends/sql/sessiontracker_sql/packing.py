"""MariaDB and MySQL: a row's numbers in one column, as text.

The drivers are written in Python and pay for every column, of a result and of each row in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import LargeBinary

from .rows import COLUMNS
from .schema import Tables

__all__ = ["Packing"]

Row = tuple[list[int | None], tuple[bytes, bytes, bytes], Sequence[Any]]
"""What was asked for beside the row, the primary key, and all of `COLUMNS`."""


class Packing:
    """How the rows of ``tables`` are asked for, and read."""

    def __init__(self, tables: Tables) -> None:
        columns = tables.keys.c
        self._bytes = [name for name in COLUMNS if isinstance(columns[name].type, LargeBinary)]
        self._numbers = [name for name in COLUMNS if name not in self._bytes]
        packed = [*self._numbers, *self._bytes]
        self._in_order = itemgetter(*(packed.index(name) for name in COLUMNS))

    def select(self, beside: Sequence[str], *, payloads: bool = True) -> str:
        """What to select: the numbers ``beside``, and a row, with empty ``payloads`` or its own."""
        numbers = [*beside, *(f"`{name}`" for name in self._numbers)]
        packed = ", ".join(f"IFNULL({number}, '')" for number in numbers)
        blobs = [
            f"IF(`{name}` IS NULL, NULL, X'')"
            if name.endswith("_payload") and not payloads
            else f"`{name}`"
            for name in self._bytes
        ]
        return f"CONCAT_WS(',', {packed}), `type`, `scope`, `key`, {', '.join(blobs)}"

    def read(self, row: Sequence[Any]) -> Row:
        """What was selected."""
        packed, type, scope, key, *blobs = row
        numbers = [int(each) if each else None for each in packed.split(",")]
        beside = len(numbers) - len(self._numbers)
        return numbers[:beside], (type, scope, key), self._in_order([*numbers[beside:], *blobs])
