"""What was seen of a process and of its store, and whether it is as it should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import linear_regression, median
from typing import Literal

from msgspec import Struct

__all__ = [
    "FEWEST",
    "Sample",
    "Stored",
    "growth",
    "judge",
    "judge_stored",
    "left",
    "more",
]

FLAT = 0.05
"""By how much memory may grow over the second half."""
ODD = 1e-3  # of what was done may go wrong: a busy machine holds a lock's holder up
FEWEST = 20
"""Samples to judge by: in a quarter of them, what is under way now and then is not the median."""


class Sample(Struct, frozen=True):
    """A process while its clients rest. Tasks are those beside the one that counts."""

    when: Literal["before", "during", "closed", "after"]
    """Before there is a tracker; with one; when it is closed; when its event loop is gone, too."""
    time: float
    """s since the start: each thing had been done then, and many at once."""
    resident: int
    """bytes"""
    files: int
    """Open files, connections among them."""
    connections: int
    tasks: int
    threads: int
    done: int
    """Scenarios since the beginning; unknown when its event loop is gone."""
    odd: dict[str, int] = {}
    """How many of them ended as they should not, by what they raised."""
    entries: int = 0
    """When it is closed: what was left in a store of this process's own, once all had expired."""


COUNTS = ("files", "connections", "tasks", "threads")


class Stored(Struct, frozen=True):
    """A store: rows, keys or files, and the connections that its server has."""

    time: float
    entries: int
    connections: int


def judge(samples: Sequence[Sample]) -> list[str]:
    """What is wrong with a process: all that it was seen to be, in the order of time."""
    return [*_creep(samples), *left(samples), *_kept(samples), *_odd(samples)]


def growth(samples: Sequence[Sample]) -> float:
    """How much more resident memory there is at the end than half-way, on the straight line that is
    nearest to all that was seen in between: 0.05 is 5 %."""
    during = [sample for sample in samples if sample.when == "during"]
    if len(during) < FEWEST:
        raise ValueError(f"{len(during)} samples are too few to judge by: {FEWEST} at least")
    half = during[len(during) // 2 :]
    slope, level = linear_regression([each.time for each in half], [each.resident for each in half])
    return slope * (half[-1].time - half[0].time) / (level + slope * half[0].time)


def _creep(samples: Sequence[Sample]) -> list[str]:
    """Memory that grew over the second half."""
    grown = growth(samples)
    return [f"resident memory grew by {grown:.1%} over the second half"] if grown > FLAT else []


def left(samples: Sequence[Sample]) -> list[str]:
    """What there is more of in the end than at the start, and after all than before all."""
    during = [sample for sample in samples if sample.when == "during"]
    found = []
    for name in COUNTS:
        at_first, at_last = _ends([getattr(sample, name) for sample in during])
        if at_last > at_first:
            found.append(f"{at_last:g} {name}, and {at_first:g} at the start")
    by_name = {sample.when: sample for sample in samples}
    before, closed, after = by_name["before"], by_name.get("closed"), by_name.get("after")
    if closed is None or after is None:
        return [*found, "it did not end"]
    if closed.tasks:
        found.append(f"{closed.tasks} tasks of a tracker that is closed")
    return found + [
        f"{getattr(after, name)} {name} after all, and {getattr(before, name)} before all"
        for name in more(before, after)
    ]


def _ends(values: Sequence[int]) -> tuple[float, float]:
    """The medians of the first quarter and of the last: what is under way at one moment is gone at
    the next."""
    quarter = max(1, len(values) // 4)
    return median(values[:quarter]), median(values[-quarter:])


def more(before: Sample, after: Sample) -> list[str]:
    """What there is more of."""
    return [name for name in COUNTS if getattr(after, name) > getattr(before, name)]


def _kept(samples: Sequence[Sample]) -> list[str]:
    return [
        f"{sample.entries} entries are left in memory when all has expired"
        for sample in samples
        if sample.when == "closed" and sample.entries
    ]


def _odd(samples: Sequence[Sample]) -> list[str]:
    """What went wrong since the start."""
    during = [sample for sample in samples if sample.when == "during"]
    first, last = during[0], during[-1]
    odd, done = Counter(last.odd) - Counter(first.odd), last.done - first.done
    if odd.total() <= ODD * done:
        return []
    return [f"{count} of {done} raised {error}" for error, count in odd.items()]


def judge_stored(samples: Sequence[Stored], after: Stored) -> list[str]:
    """What is wrong with a store, which was seen while it was used and ``after`` all, when what
    was left had time to expire and was reaped. (While it is used, there is as much in it as is
    done, which a busy machine decides.)"""
    found = []
    if samples:
        at_first, at_last = _ends([sample.connections for sample in samples])
        if at_last > at_first:
            found.append(f"{at_last:g} connections to the server, and {at_first:g} at the start")
    if after.connections:
        found.append(f"{after.connections} connections to the server that nobody uses")
    if after.entries:
        found.append(f"{after.entries} entries are left when all has expired")
    return found
