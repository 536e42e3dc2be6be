"""MariaDB and MySQL: a row's numbers in one column, as text, and its short values in another.

The drivers are written in Python and pay for every column, of a result and of each row in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Column, LargeBinary

__all__ = ["Packing"]


class Packing:
    """How ``columns``, by what they are called in a statement, are asked for, and read."""

    def __init__(self, columns: Mapping[str, Column[Any]]) -> None:
        binary = [name for name, column in columns.items() if isinstance(column.type, LargeBinary)]
        self._payloads = [name for name in binary if columns[name].name.endswith("_payload")]
        self._short = [name for name in binary if name not in self._payloads]
        self._numbers = [name for name in columns if name not in binary]
        packed = [*self._numbers, *self._short, *self._payloads]
        self._in_order = itemgetter(*(packed.index(name) for name in columns))

    def select(self, beside: Sequence[str], *, payloads: bool = True) -> str:
        """What to select: the numbers ``beside``, and a row, with empty ``payloads`` or its own."""
        lengths = [f"LENGTH({name})" for name in self._short]
        numbers = ", ".join(
            f"IFNULL({number}, '')" for number in (*beside, *self._numbers, *lengths)
        )
        short = ", ".join(f"IFNULL({name}, X'')" for name in self._short)
        own = [name if payloads else f"IF({name} IS NULL, NULL, X'')" for name in self._payloads]
        return ", ".join([f"CONCAT_WS(',', {numbers})", f"CONCAT({short})", *own])

    def read(self, row: Sequence[Any]) -> tuple[list[int | None], Sequence[Any]]:
        """What was selected: the numbers that were asked for beside, and the columns."""
        packed, joined, *payloads = row
        numbers = [int(each) if each else None for each in packed.split(",")]
        last = len(numbers) - len(self._short)
        short: list[bytes | None] = []
        begin = 0
        for length in numbers[last:]:
            if length is None:
                short.append(None)
            else:
                short.append(joined[begin : begin + length])
                begin += length
        first = last - len(self._numbers)
        return numbers[:first], self._in_order([*numbers[first:last], *short, *payloads])
