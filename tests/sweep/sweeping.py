"""One call on one place, cancelled at every suspension point: what must hold after each."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import create_async_engine

from sessiontracker import LockLostError, LockNotAcquiredError
from tests.conditions import until
from tests.trackers import Checkout

from .calls import Call
from .places import Place, Tracker
from .scene import BESIDE, KEY, LOCKED, Scene, set_up
from .striking import Moment, Struck, struck

__all__ = ["MOMENTS", "Swept", "stage", "sweep"]

MOMENTS = [*(Moment(turns) for turns in (0, 1, 2, 3, 5, 8, 13, 21)), Moment(answered=True)]
MOST_TURNS = 6  # of the loop that a cancelled call may take to end; a store's answer takes more
PATIENCE = 60.0  # s


class Swept(NamedTuple):
    """How often a call was struck, and at how many suspension points."""

    points: int = 0
    strikes: int = 0


async def sweep(place: Place, call: Call, moments: Iterable[Moment] = MOMENTS) -> Swept:
    """Cancel ``call`` at every suspension point, at each of ``moments``.

    Raises: AssertionError, as soon as something is not as it must be.
    """
    errors: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    points = strikes = 0
    observer = place.tracker(is_observer=True)
    async with observer:
        place.clear()
    files = _files()
    async with observer:
        await _warm(observer)
        legal = await _undisturbed(place, observer, call)
        for moment in moments:
            point = 0
            while True:
                point += 1
                where = f"cancelled at {point} ({moment})"
                done = await _scenario(place, observer, call, point, moment, legal, where)
                strikes += done.fired
                points = max(points, done.seen)
                assert not errors, (where, errors)
                if done.is_beyond:
                    break
    await until(lambda: _files() <= files, "files and sockets that are closed")
    return Swept(points, strikes)


def _files() -> int:
    """How many this process has open, sockets too."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208


async def _warm(observer: Tracker) -> None:
    """Make all connections and tasks that the observer is going to have."""
    await set_up(observer)
    async with observer.lock(Checkout, KEY):
        pass
    for _ in range(3):
        await asyncio.gather(
            observer.get_many(Checkout, map(str, range(99))), _all(observer), observer.ping()
        )


async def _all(observer: Tracker) -> None:
    async for _ in observer.scan(Checkout):
        pass


async def _undisturbed(place: Place, observer: Tracker, call: Call) -> list[Any]:
    """What is legal in the store afterwards: as before, as after, or as between two steps."""
    for tries in range(5, 0, -1):
        place.clear()
        await set_up(observer)
        scene = await stage(place, observer, call)
        scene.states = [await scene.seen()]
        try:
            await call.run(scene)
        except LockLostError:  # on a machine that is busy
            if tries == 1:
                raise
        else:
            scene.states.append(await scene.seen())
            break
        finally:
            await scene.over()
            await scene.tracker.close()
    return scene.states


async def stage(place: Place, observer: Tracker, call: Call) -> Scene:
    """What ``call`` finds, with all that is to be done before it."""
    engine = create_async_engine(place.engine) if call.bound else None
    if engine is not None:  # how it gets to know the database is no call of ours
        async with engine.connect():
            pass
    scene = Scene(place.tracker(), observer, engine)
    if not call.opens:
        await scene.tracker.open()
        await scene.read()
    if call.prepare is not None:
        await call.prepare(scene)
    return scene


async def _scenario(
    place: Place,
    observer: Tracker,
    call: Call,
    point: int,
    moment: Moment,
    legal: list[Any],
    where: str,
) -> Struck:
    place.clear()
    await set_up(observer)
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    scene = await stage(place, observer, call)
    tracker = scene.tracker
    beside = None
    if not call.opens and not call.ends:
        neighbour = await tracker.get(Checkout, BESIDE)
        beside = asyncio.create_task(tracker.update(neighbour))

    done = await struck(call.run(scene), point, moment)

    if not call.waits:
        assert done.turns <= MOST_TURNS, f"{where}: it ended {done.turns} turns later"
    if beside is not None:
        assert (await beside).version == 2, where
    if not call.ends:
        await tracker.open()
        await tracker.ping()
        await tracker.get(Checkout, BESIDE)
        async with tracker.lock(Checkout, BESIDE, wait=PATIENCE):
            pass
    await scene.over()
    await asyncio.gather(*(_is_free(observer, *each, where=where) for each in LOCKED))
    await tracker.close()
    left = asyncio.all_tasks() - tasks
    if call.bound and left:  # a driver's
        await asyncio.wait(left, timeout=PATIENCE)
        left = asyncio.all_tasks() - tasks
    assert not left, (where, left)
    await until(lambda: threading.active_count() <= threads, f"{where}: threads that have ended")
    await _are_closed(place, where)  # until then a server may still do what it was asked
    assert place.held() == [], where
    assert tracker.waiting == 0, where
    seen = await scene.seen()
    assert seen in legal, (where, seen, legal)
    return done


async def _is_free(observer: Tracker, kind: Any, key: str, owner: str | None, where: str) -> None:
    """Nobody has the lock any more: who does not wait gets it, soon."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            async with observer.lock(kind, key, owner=owner, wait=0):
                return
        except LockNotAcquiredError:
            await asyncio.sleep(0.002)
    raise AssertionError(f"{where}: the lock of {key} is not free")


async def _are_closed(place: Place, where: str) -> None:
    """No connection is left, soon."""
    try:
        await until(lambda: not place.connections())
    except AssertionError:
        raise AssertionError(f"{where}: left open: {place.connections()}") from None
