"""What was seen of a process and of its store, and whether it is as it should be."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
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
    "stored_growth",
]

FLAT = 0.05
"""By how much memory may differ between the two quarters of the second half."""
STEADY = 0.10
"""By how much what is stored may: it comes and goes."""
NEAR = 20  # entries, which are no growth
ODD = 1e-3  # of what was done may go wrong: a busy machine holds a lock's holder up
FEWEST = 8
"""Samples to judge by."""


class Sample(Struct, frozen=True):
    """A process while its clients rest. Tasks are those beside the one that counts."""

    when: Literal["before", "during", "closed", "after"]
    """Before there is a tracker; with one; when it is closed; when its event loop is gone, too."""
    time: float
    """s since everything had been done once."""
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


COUNTS = ("files", "connections", "tasks", "threads")


class Stored(Struct, frozen=True):
    """A store: rows, keys or files, and the connections that its server has.

    ``done`` is how many scenarios its processes had then done.
    """

    time: float
    entries: int
    connections: int
    done: int


def judge(samples: Sequence[Sample]) -> list[str]:
    """What is wrong with a process: all that it was seen to be, in the order of time."""
    return [*_creep(samples), *left(samples), *_odd(samples)]


def growth(values: Sequence[int]) -> float:
    """From the median of the third quarter of ``values`` to that of the fourth: 0.05 is 5 %."""
    if len(values) < FEWEST:
        raise ValueError(f"{len(values)} samples are too few to judge by: {FEWEST} at least")
    half, last = len(values) // 2, len(values) * 3 // 4
    before, after = median(values[half:last]), median(values[last:])
    return after / before - 1 if before else float(after)


def _creep(samples: Sequence[Sample]) -> list[str]:
    """Memory that grew over the second half."""
    grown = growth([sample.resident for sample in samples if sample.when == "during"])
    return [f"resident memory grew by {grown:.1%} over the second half"] if grown > FLAT else []


def left(samples: Sequence[Sample]) -> list[str]:
    """What there is more of in the end than at the start, and after all than before all."""
    during = [sample for sample in samples if sample.when == "during"]
    first, last = during[0], during[len(during) * 3 // 4 :]
    found = []
    for name in COUNTS:
        # The median: what is under way at one moment is gone at the next.
        at_first, at_last = getattr(first, name), median(getattr(each, name) for each in last)
        if at_last > at_first:
            found.append(f"{at_last:.0f} {name}, and {at_first} at the start")
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


def more(before: Sample, after: Sample) -> list[str]:
    """What there is more of."""
    return [name for name in COUNTS if getattr(after, name) > getattr(before, name)]


def _odd(samples: Sequence[Sample]) -> list[str]:
    last = max(samples, key=lambda sample: sample.done)
    if sum(last.odd.values()) <= ODD * last.done:
        return []
    return [f"{count} of {last.done} raised {error}" for error, count in last.odd.items()]


def judge_stored(samples: Sequence[Stored]) -> list[str]:
    """What is wrong with a store."""
    found = []
    grown = stored_growth(samples)
    if grown > STEADY and max(sample.entries for sample in samples) > NEAR:
        found.append(f"what is stored grew by {grown:.1%} over the second half")
    first, last = samples[0], samples[len(samples) * 3 // 4 :]
    at_last = median(sample.connections for sample in last)
    if at_last > first.connections:
        found.append(
            f"{at_last:.0f} connections to the server, and {first.connections} at the start"
        )
    return found


def stored_growth(samples: Sequence[Stored]) -> float:
    """As `growth`, of what is stored in proportion to what was done in that quarter.

    All that is stored is gone soon, so that where less is done, on a machine that is busy with
    other things, there is less.
    """
    half, last = len(samples) // 2, len(samples) * 3 // 4
    rates = [_rate(samples[half : last + 1]), _rate(samples[last:])]
    if not all(rates):
        raise ValueError("nothing was done in a quarter of the time")
    return (growth([sample.entries for sample in samples]) + 1) * rates[0] / rates[1] - 1


def _rate(samples: Sequence[Stored]) -> float:
    """Scenarios a second."""
    first, last = samples[0], samples[-1]
    return (last.done - first.done) / (last.time - first.time)
