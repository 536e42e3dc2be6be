"""Holders that are frozen past their leases and let go on: what they write then is refused.

The full size, 200 on every store and on pairs of them, is ``nox -s kills``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sessiontracker import AsyncSessionTracker

from .places import FULL, SHARED, config_of
from .victim import Victim
from .victims import LATE, Tally

NUMBER, LEASE = (200, 1.0) if FULL else (4, 2.0)  # of late writes of each kind; s
MODES = ("async", "sync") if FULL else ("async",)
PAIRS = [  # sessions here, and locks there
    ("sqlite", "valkey"),
    ("postgresql", "valkey"),
    ("postgresql", "cluster"),
    ("valkey", "postgresql"),
    ("cluster", "sqlite"),
    ("file", "sqlite"),
    *((name, "valkey") for name in SHARED if "mariadb" in name),
]
if not FULL:
    SHARED, PAIRS = ["sqlite"], [("file", "sqlite")]

Deed = Callable[[Any, str], Awaitable[None]]


async def nothing(tracker: Any, key: str) -> None:
    """The lease runs out, and nobody takes over."""


async def take_over(tracker: Any, key: str) -> None:
    async with tracker.get_locked(Tally, key, wait="60s") as tally:
        tally.count += 1


async def take_the_lock(tracker: Any, key: str) -> None:
    """And read nothing under it."""
    async with tracker.lock(Tally, key, wait="60s"):
        pass


async def update(tracker: Any, key: str) -> None:
    """Without any lock."""
    tally = await tracker.get(Tally, key)
    tally.count += 1
    await tracker.update(tally)


async def late(config: Any, deed: Deed) -> Counter[str]:
    """What became of late writes, after ``deed`` was done while their holders were frozen."""
    came: Counter[str] = Counter()
    async with AsyncSessionTracker(config) as tracker:
        for mode in MODES:
            prefix, number = f"{deed.__name__} {mode}", NUMBER // len(MODES)
            with Victim("write_late", config, prefix, number, mode=mode) as holders:
                assert await asyncio.to_thread(holders.hear) == "held"
                holders.freeze()
                await asyncio.sleep(1.2 * LEASE)
                async with asyncio.TaskGroup() as group:
                    for each in range(number):
                        group.create_task(deed(tracker, f"{prefix}{each}"))
                holders.resume()
                holders.tell()
                came.update([await asyncio.to_thread(holders.hear) for _ in range(number)])
    return came


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize(("deed", "count"), [(take_over, 1), (nothing, 0)][: 2 if FULL else 1])
async def test_a_late_write_is_refused(name: str, deed: Deed, count: int, tmp_path: Path) -> None:
    with config_of(name, tmp_path, lock_lease=LEASE) as config:
        came = await late(config, deed)
    expected = f"Lost LockLostError {count}"
    print(f"{name}, {deed.__name__}: {came[expected]} of {NUMBER} late writes refused")
    assert came == {expected: NUMBER}


async def test_a_late_write_is_refused_in_memory(tmp_path: Path) -> None:
    """Which is frozen with its holders."""
    with config_of("memory", tmp_path, lock_lease=LEASE) as config:
        came = await late(config, nothing)
    print(f"memory: {came['Lost LockLostError 0']} of {NUMBER} late writes refused")
    assert came == {"Lost LockLostError 0": NUMBER}


@pytest.mark.parametrize(("storage", "locking"), PAIRS)
@pytest.mark.parametrize(
    ("deed", "answer", "count"),
    [
        (take_over, "Lost", 1),
        (update, "Stale", 1),
        (take_the_lock, "Saved", LATE),
        (nothing, "Saved", LATE),
    ][: 4 if FULL else 1],
)
async def test_with_locks_elsewhere_it_is_refused_once_a_newer_holder_has_read(
    storage: str, locking: str, deed: Deed, answer: str, count: int, tmp_path: Path
) -> None:
    """And before that, the version decides; what the holder's own block does is the same."""
    with config_of(storage, tmp_path, locking=locking, lock_lease=LEASE) as config:
        came = await late(config, deed)
    expected = f"{answer} LockLostError {count}"
    print(f"{storage}, locks in {locking}, {deed.__name__}: {came[expected]} of {NUMBER} {answer}")
    assert came == {expected: NUMBER}
