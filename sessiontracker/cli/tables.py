"""Tables on the terminal: by rich where it is installed and somebody looks, or else plain."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["Row", "print_table"]

Row = tuple[str, ...]


def print_table(
    title: str, columns: Row, rows: Sequence[Row], *, wrong: Sequence[int] = ()
) -> None:
    """Print ``rows`` under ``columns``; those whose numbers are in ``wrong`` stand out."""
    if sys.stdout.isatty() and find_spec("rich") is not None:
        _print_rich(title, columns, rows, wrong)
    else:
        _print_plain(title, columns, rows, wrong)


def _print_plain(title: str, columns: Row, rows: Sequence[Row], wrong: Sequence[int]) -> None:
    marked = [("!" if number in wrong else " ", *row) for number, row in enumerate(rows)]
    lines = [(" ", *columns), *marked]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print(title)
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
    print()


def _print_rich(title: str, columns: Row, rows: Sequence[Row], wrong: Sequence[int]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for number, row in enumerate(rows):
        table.add_row(*map(Text, row), style="red" if number in wrong else "")
    console = Console()
    console.print(table)
    console.print()
