"""A tracker that removes what expired by itself."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sessiontracker import AsyncSessionTracker
from sessiontracker.operations import Failed, Reap, Reaped, Unavailable
from tests.conditions import until

from .trackers import FUSED, Arrangement, Checkout, opened

SOON = 0.02  # s


def asked(tracker: Any, answers: Callable[[Reap], Any]) -> list[Reap]:
    """What its one backend is asked to reap, with ``answers`` in the place of its own."""
    tracker = getattr(tracker, "tracker", tracker)
    [asker] = tracker._askers.values()
    seen: list[Reap] = []

    def answer(limit: int) -> Any:
        seen.append(Reap(limit))
        return answers(seen[-1])

    if isinstance(tracker, AsyncSessionTracker):

        async def reap(limit: int) -> Any:
            return answer(limit)

        asker.reap = reap
    else:
        asker.reap = answer
    return seen


@pytest.fixture(params=FUSED, ids="-".join)
def arrangement(request: pytest.FixtureRequest) -> Arrangement:
    chosen: Arrangement = request.param
    return chosen


async def test_without_being_told_it_does_not(arrangement: Arrangement) -> None:
    async with opened(arrangement) as tracker:
        seen = asked(tracker, lambda operation: Reaped(0))
        await asyncio.sleep(5 * SOON)
        assert not seen


async def test_it_reaps_again_and_again(arrangement: Arrangement) -> None:
    async with opened(arrangement, reap_every=SOON) as tracker:
        seen = asked(tracker, lambda operation: Reaped(0))
        await until(lambda: len(seen) >= 3)
    count = len(seen)
    await asyncio.sleep(5 * SOON)
    assert len(seen) == count, "it goes on after the tracker was closed"


async def test_it_goes_on_at_once_while_a_batch_is_full(arrangement: Arrangement) -> None:
    left = [1_000] * 3 + [1, 0]
    async with opened(arrangement, reap_every=0.3) as tracker:
        seen = asked(tracker, lambda operation: Reaped(left[len(seen) - 1]))
        await until(lambda: len(seen) >= 4)
        assert len(seen) == 4


async def test_a_store_that_is_away_is_asked_again(
    arrangement: Arrangement, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(arrangement, reap_every=SOON) as tracker:
        seen = asked(tracker, lambda operation: Unavailable("it is away"))
        await until(lambda: len(seen) >= 2)
    assert "it is away" in caplog.text


async def test_a_store_that_cannot_is_asked_once(
    arrangement: Arrangement, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(arrangement, reap_every=SOON) as tracker:
        seen = asked(tracker, lambda operation: Failed(NotImplementedError("no list of slots")))
        await until(lambda: bool(seen))
        await asyncio.sleep(5 * SOON)
        assert len(seen) == 1
    assert "no list of slots" in caplog.text


async def test_what_expired_is_gone_from_the_store(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    config = {
        "backends": {"ledger": {"use": "sql", "url": f"sqlite:///{path}"}},
        "reap_every": SOON,
    }
    count = "SELECT count(*) FROM sessiontracker_keys WHERE active_life IS NOT NULL"
    async with AsyncSessionTracker(config) as tracker:
        for n in range(20):
            await tracker.start(Checkout(key=f"k{n}"), idle_timeout=2 * SOON)
        await tracker.start(Checkout(key="stays"))
        with closing(sqlite3.connect(path)) as sql:
            await until(lambda: sql.execute(count).fetchone() == (1,))
        assert (await tracker.get(Checkout, "stays")).key == "stays"
