"""What was seen as a picture: an SVG of one panel a quantity, time to the right, from 0 up."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .verdict import Sample, Stored

__all__ = ["Panel", "draw", "panels_of"]

LEFT, WIDTH, TOP, HEIGHT, GAP = 130, 760, 50, 90, 34
COLOURS = ("#1f6fb2", "#c1561b")


class Panel(NamedTuple):
    """One quantity: a line a name, of times in s and values."""

    title: str
    lines: dict[str, list[tuple[float, float]]]


def panels_of(samples: dict[str, list[Sample]], stored: Sequence[Stored]) -> list[Panel]:
    """Of the processes of one store, by name, and of the store itself."""

    def of(name: str, scale: float = 1.0) -> dict[str, list[tuple[float, float]]]:
        return {
            process: [(each.time, getattr(each, name) / scale) for each in seen]
            for process, seen in samples.items()
        }

    panels = [
        Panel("resident MiB", of("resident", 2**20)),
        Panel("open files", of("files")),
        Panel("connections", of("connections")),
        Panel("tasks", of("tasks")),
        Panel("threads", of("threads")),
    ]
    if stored:
        entries = [(each.time, float(each.entries)) for each in stored]
        panels.append(Panel("entries stored", {"store": entries}))
    if any(each.connections for each in stored):
        connections = [(each.time, float(each.connections)) for each in stored]
        panels.append(Panel("server's connections", {"store": connections}))
    return panels


def draw(title: str, panels: Sequence[Panel]) -> str:
    """The second half is shaded: that is where memory has to be flat."""
    end = max((time for each in panels for line in each.lines.values() for time, _ in line))
    height = TOP + len(panels) * (HEIGHT + GAP)
    parts = [f'<text x="8" y="24" font-size="16">{html.escape(title)}</text>']
    for row, panel in enumerate(panels):
        parts += _panel(panel, TOP + row * (HEIGHT + GAP), end or 1.0)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 70}" height="{height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _panel(panel: Panel, top: int, end: float) -> Iterable[str]:
    most = max((value for line in panel.lines.values() for _, value in line), default=0.0) or 1.0
    yield f'<text x="8" y="{top + 14}">{html.escape(panel.title)}</text>'
    yield (
        f'<rect x="{LEFT + WIDTH // 2}" y="{top}" width="{WIDTH // 2}" height="{HEIGHT}" '
        'fill="#f3f3f3"/>'
    )
    yield f'<path d="M{LEFT},{top}v{HEIGHT}h{WIDTH}" fill="none" stroke="#999"/>'
    yield f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:.4g}</text>'
    yield f'<text x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">0</text>'
    yield (
        f'<text x="{LEFT + WIDTH}" y="{top + HEIGHT + 14}" text-anchor="end">'
        f"{end / 60:.3g} min</text>"
    )
    for index, (name, line) in enumerate(panel.lines.items()):
        colour = COLOURS[index % len(COLOURS)]
        points = " ".join(
            f"{LEFT + WIDTH * time / end:.1f},{top + HEIGHT * (1 - value / most):.1f}"
            for time, value in line
        )
        yield f'<polyline points="{points}" fill="none" stroke="{colour}"/>'
        yield (
            f'<text x="{LEFT + WIDTH + 6}" y="{top + 14 + 16 * index}" fill="{colour}">'
            f"{html.escape(name)}</text>"
        )
