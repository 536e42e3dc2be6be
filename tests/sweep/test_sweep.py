"""Every public call, cancelled at every await: a part of it; all of it is ``nox -s sweep``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.conditions import until
from tests.trackers import Checkout

from .calls import CALLS
from .places import PAUSES, PLACES, Place, Tracker, is_server
from .scene import KEY, LOCKED
from .striking import Moment
from .sweeping import MOMENTS, Swept, sweep

WHOLE = bool(os.environ.get("SESSIONTRACKER_SWEEP"))
GATHERED, DONE, ANSWERED = Moment(), Moment(PAUSES + 1), Moment(answered=True)
HERE = (
    dict.fromkeys(PLACES, MOMENTS)
    if WHOLE
    else {"slow memory": [GATHERED, ANSWERED], "memories apart": [DONE], "sqlite": [ANSWERED]}
)
"""The places, and when it strikes there."""
OF_SQLITE = ["open", "close", "rotate to another owner", "get_locked", "wait for a locked session"]
CASES = [
    pytest.param(place, name, id=f"{place}-{name}")
    for place in HERE
    for name, call in CALLS.items()
    if (not call.bound or is_server(place)) and (WHOLE or place != "sqlite" or name in OF_SQLITE)
]


@pytest.mark.parametrize(("place", "name"), CASES)
async def test_cancelled_at_every_point(
    place: str, name: str, place_named: Callable[[str], Place], note: Callable[[str, Swept], Any]
) -> None:
    swept = await sweep(place_named(place), CALLS[name], HERE[place])
    assert swept.strikes or place == "memory"  # where most calls are done without suspension
    note(place, swept)


@pytest.mark.parametrize(("kind", "key", "owner"), LOCKED[-2:], ids=["plain", "owned"])
@pytest.mark.parametrize("name", HERE)
async def test_what_is_left_is_seen(
    name: str, kind: Any, key: str, owner: str | None, place_named: Callable[[str], Place]
) -> None:
    """The sweep's own judge, judged: a lock that is held, and one who waits for it."""
    place = place_named(name)
    async with place.tracker(is_observer=True) as tracker:
        place.clear()
        async with tracker.lock(kind, key, owner=owner):
            [held] = place.held()
            waiter = asyncio.create_task(_take(tracker, kind, key, owner))
            await until(lambda: tracker.waiting > 0, "one who waits")
            [longer] = place.held()
            assert len(longer) > len(held)
        await waiter
        assert place.held() == []
        assert tracker.waiting == 0


SERVERS = ["valkey", "cluster", "postgresql", "mariadb"] if WHOLE else ["valkey"]


@pytest.mark.parametrize("name", SERVERS)
async def test_connections_that_are_left_are_seen(
    name: str, place_named: Callable[[str], Place]
) -> None:
    """But not those of the observer, who may make more at any time."""
    place = place_named(name)
    async with place.tracker(is_observer=True) as observer:
        place.clear()
        async with observer.lock(Checkout, KEY):
            waiter = asyncio.create_task(_take(observer, Checkout, KEY, None))
            await until(lambda: observer.waiting > 0, "one who waits")
            await until(lambda: not place.connections(), "others' connections that are closed")
        await waiter
        async with place.tracker() as tracker:
            await tracker.ping()
            assert place.connections()
        await until(lambda: not place.connections(), "connections that are closed")


async def _take(tracker: Tracker, kind: Any, key: str, owner: str | None) -> None:
    async with tracker.lock(kind, key, owner=owner, wait=60):
        pass
