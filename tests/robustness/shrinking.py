"""A failing history made small: what of it still has no order that explains it.

Whatever is left out asks for less, so that no sound store would be blamed for what remains: all
that was before a moment of quiet, of which it is known what may have been then; and reads and
refusals, which change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from .checker import START, Illegal, Moment, Rolled, Search, UndecidedError, search_of
from .history import OK, UNKNOWN, Call
from .model import Rollback, describe
from .timing import Timeouts

__all__ = ["shrunk"]

CHANGES = 3  # before what is not explained, to be seen for what they did
READS = ("get", "get_finished", "touch")


def shrunk(
    illegal: Illegal, timeouts: Timeouts, rollbacks: Iterable[Rolled] = (), seconds: float = 30.0
) -> Illegal:
    """``illegal`` with as few of its calls as are found within so many ``seconds``."""
    until = monotonic() + seconds
    of_key = [each for each in rollbacks if illegal.key in each.keys]
    search = search_of(list(illegal.calls), timeouts, of_key)
    found = search.run()
    assert found is not None
    start = _start(search, found)
    without: frozenset[int] = frozenset()
    left = [index for index in search.after(start) if _changes_nothing(search, index)]
    size = len(left)
    while size and monotonic() < until:
        for first in range(0, len(left), size):
            fewer = without.union(left[first : first + size])
            still = _tried(search, start, fewer)
            if still is not None:
                without, found = fewer, still
        left = [index for index in left if index not in without]
        size //= 2
    since = sorted({describe(config.state.key) for config in start.configs})
    calls = tuple(_shown(search, start, without, found))
    return found._replace(key=illegal.key, calls=calls, since=tuple(since) if start.passed else ())


def _start(search: Search, illegal: Illegal) -> Moment:
    """The latest moment of quiet from which on enough is seen to change."""
    changes = sorted(
        event.begin
        for event in search.events
        if isinstance(event.what, Call) and event.what.is_ok and event.what.do not in READS
        if illegal.call is None or event.begin < illegal.call.begin
    )
    latest = changes[-CHANGES:][0] if changes else START.time
    losses = [
        (event.what.since, event.begin)
        for event in search.events
        if isinstance(event.what, Rollback)
    ]
    start = START
    for moment in search.quiet:
        if moment.time < latest and not any(since < moment.time <= at for since, at in losses):
            start = moment
    return start


def _changes_nothing(search: Search, index: int) -> bool:
    what = search.events[index].what
    if not isinstance(what, Call) or what.answer.what == UNKNOWN:
        return False
    return what.answer.what != OK or what.do in READS


def _tried(search: Search, start: Moment, without: frozenset[int]) -> Illegal | None:
    try:
        return search.run(start, without)
    except UndecidedError:
        return None


def _shown(
    search: Search, start: Moment, without: frozenset[int], illegal: Illegal
) -> Iterable[Call]:
    for index in search.after(start):
        what = search.events[index].what
        if isinstance(what, Call) and index not in without:
            if illegal.call is None or what.begin <= (illegal.call.end or what.begin):
                yield what
