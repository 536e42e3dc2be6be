"""A history that is illegal as a picture: one page of HTML with an SVG, for a person to read."""

from __future__ import annotations

import html

from .checker import Illegal
from .history import Call

__all__ = ["draw"]

ROW, STEP, LEFT, TOP = 34, 90, 90, 30
SHOWN = 60  # calls before the one that nothing explains
COLOURS = {"ok": "#cfe8cf", "unknown": "#f6e3b4"}
REFUSED, WRONG = "#dcdcdc", "#f2a0a0"


def draw(illegal: Illegal, title: str) -> str:
    """The calls on the key up to the one that no order explains, each client a row.

    Time runs to the right by what happened, not by how long it took.
    """
    calls = _shown(illegal)
    since = " or ".join(illegal.since) or "nothing"
    times = [time for call in calls for time in (call.begin, call.end)]
    moments = sorted({time for time in times if time is not None})
    place = {moment: LEFT + index * STEP // 2 for index, moment in enumerate(moments)}
    width = LEFT + (len(moments) + 2) * STEP // 2
    clients = sorted({call.client for call in calls})
    height = TOP + ROW * (len(clients) + 1)
    parts = [
        f'<text x="4" y="{TOP + ROW * row + 20}">{html.escape(client)}</text>'
        for row, client in enumerate(clients)
    ]
    for call in calls:
        left = place[call.begin]
        right = width - 10 if call.end is None else place[call.end]
        top = TOP + ROW * clients.index(call.client)
        colour = WRONG if call is illegal.call else COLOURS.get(call.answer.what, REFUSED)
        parts.append(
            f'<g><title>{html.escape(repr(call))}</title><rect x="{left}" y="{top}" '
            f'width="{max(right - left, 8)}" height="{ROW - 8}" fill="{colour}" '
            f'stroke="#666"/><text x="{left + 3}" y="{top + 17}">{html.escape(_label(call))}'
            "</text></g>"
        )
    states = "".join(f"<li>{html.escape(state)}</li>" for state in illegal.states)
    return (
        f"<!DOCTYPE html><meta charset=utf-8><title>{html.escape(title)}</title>"
        "<style>body{font:14px sans-serif}text{font:11px monospace}</style>"
        f"<h1>{html.escape(title)}: key {html.escape(illegal.key)}</h1>"
        "<p>No order of the calls explains the answer to the red one. Green: done; grey: refused; "
        f"yellow: no answer. At first, the key held {html.escape(since)}. Before the red one, it "
        f"held one of:</p><ul>{states}</ul>"
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f"{''.join(parts)}</svg>"
    )


def _shown(illegal: Illegal) -> list[Call]:
    end = illegal.call.end if illegal.call is not None else None
    calls = [call for call in illegal.calls if end is None or call.begin <= end]
    return calls[-SHOWN:]


def _label(call: Call) -> str:
    answer = call.answer
    read = "" if call.stamp is None else f" v{call.stamp[1]}"
    came = answer.what.removeprefix("Session").removesuffix("Error")
    if answer.stamp is not None:
        came += f" v{answer.stamp[1]}"
    return f"{call.do}{read}: {came}"
