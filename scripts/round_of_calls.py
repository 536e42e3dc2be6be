"""A round of calls, of each kind that a tracker asks its backend, on either side of the house."""

from __future__ import annotations

from sessiontracker import AsyncSessionTracker, Session, SessionTracker

__all__ = ["async_round_of_calls", "round_of_calls"]


class Tally(Session):
    count: int = 0


def round_of_calls(tracker: SessionTracker) -> None:
    tracker.start(Tally(key="one"))
    with tracker.get_locked(Tally, "one") as tally:
        tally.count += 1
    assert [tally.count for tally in tracker.scan(Tally)] == [1]
    assert tracker.delete(Tally, "one")


async def async_round_of_calls(tracker: AsyncSessionTracker) -> None:
    await tracker.start(Tally(key="one"))
    async with tracker.get_locked(Tally, "one") as tally:
        tally.count += 1
    assert [tally.count async for tally in tracker.scan(Tally)] == [1]
    assert await tracker.delete(Tally, "one")
