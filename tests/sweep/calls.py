"""Every public asynchronous call, each as a user makes it: what the sweep cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from sessiontracker import (
    LockLostError,
    LockNotAcquiredError,
    SessionInProgressError,
    SessionNotFoundError,
    StaleSessionError,
)
from tests.trackers import Checkout

from .scene import DONE, KEY, NEW, OTHER, OWNER, Login, Scene

__all__ = ["CALLS", "Call"]

Run = Callable[[Scene], Awaitable[Any]]


class Call(NamedTuple):
    """What is cancelled, after ``prepare``.

    ``opens``: its tracker is not open before. ``ends``: not after it either. ``waits``: leaving
    its blocks takes the store's time, also for who is cancelled. ``bound``: it is made in a
    transaction of SQLAlchemy's, whose own awaits are among those that are struck.
    """

    run: Run
    prepare: Run | None = None
    opens: bool = False
    ends: bool = False
    waits: bool = False
    bound: bool = False


CALLS: dict[str, Call] = {}


def call(name: str, **how: Any) -> Callable[[Run], Run]:
    def add(run: Run) -> Run:
        assert name not in CALLS
        CALLS[name] = Call(run, **how)
        return run

    return add


# A tracker's life ----------------------------------------------------------------


@call("open", opens=True)
async def _(scene: Scene) -> None:
    await scene.tracker.open()


@call("close", ends=True)
async def _(scene: Scene) -> None:
    await scene.tracker.close()


@call("enter and leave", opens=True, ends=True, waits=True)
async def _(scene: Scene) -> None:
    async with scene.tracker as tracker:
        await tracker.start(Checkout(key=NEW))
        await scene.step()


@call("two open it", opens=True)
async def _(scene: Scene) -> None:
    await asyncio.gather(scene.tracker.open(), scene.tracker.open())


@call("ping")
async def _(scene: Scene) -> None:
    await scene.tracker.ping()


@call("reap")
async def _(scene: Scene) -> None:
    await scene.tracker.reap()


# The life of a session -----------------------------------------------------------


@call("start")
async def _(scene: Scene) -> None:
    await scene.tracker.start(Checkout(key=NEW))


@call("start with a secret key")
async def _(scene: Scene) -> None:
    await scene.tracker.start(Checkout())


@call("start one that is there")
async def _(scene: Scene) -> None:
    with suppress(SessionInProgressError):
        await scene.tracker.start(Checkout(key=KEY))


@call("start of an owner")
async def _(scene: Scene) -> None:
    await scene.tracker.start(Login(owner=OWNER))


@call("start past the limit")
async def _(scene: Scene) -> None:
    for _ in range(2):
        await scene.tracker.start(Login(owner=OWNER))
        await scene.step()


@call("get_or_start")
async def _(scene: Scene) -> None:
    await scene.tracker.get_or_start(Checkout(key=NEW))


@call("get_or_start one that is there")
async def _(scene: Scene) -> None:
    await scene.tracker.get_or_start(Checkout(key=KEY))


@call("get")
async def _(scene: Scene) -> None:
    await scene.tracker.get(Checkout, KEY)


@call("get of an owner")
async def _(scene: Scene) -> None:
    await scene.tracker.get(Login, id=scene.login.id)


@call("get_many")
async def _(scene: Scene) -> None:
    await scene.tracker.get_many(Checkout, [KEY, OTHER, NEW])


@call("touch")
async def _(scene: Scene) -> None:
    await scene.tracker.touch(Checkout, KEY)


@call("touch a session")
async def _(scene: Scene) -> None:
    await scene.tracker.touch(scene.login)


@call("update")
async def _(scene: Scene) -> None:
    scene.checkout.count += 1
    await scene.tracker.update(scene.checkout)


@call("update of an owner")
async def _(scene: Scene) -> None:
    scene.login.count += 1
    await scene.tracker.update(scene.login)


@call("update a stale one")
async def _(scene: Scene) -> None:
    other = await scene.tracker.get(Checkout, KEY)
    await scene.tracker.update(other)
    await scene.step()
    with suppress(StaleSessionError):
        await scene.tracker.update(scene.checkout)


@call("finish")
async def _(scene: Scene) -> None:
    await scene.tracker.finish(Checkout, KEY)


@call("finish a session")
async def _(scene: Scene) -> None:
    scene.login.count += 1
    await scene.tracker.finish(scene.login)


@call("get_finished")
async def _(scene: Scene) -> None:
    await scene.tracker.get_finished(Checkout, DONE)


@call("resume")
async def _(scene: Scene) -> None:
    await scene.tracker.resume(Checkout, DONE)


@call("resume of an owner")
async def _(scene: Scene) -> None:
    await scene.tracker.resume(Login, "old", owner=OWNER)


@call("delete")
async def _(scene: Scene) -> None:
    await scene.tracker.delete(Checkout, KEY)


@call("delete a session")
async def _(scene: Scene) -> None:
    await scene.tracker.delete(scene.login)


@call("rotate")
async def _(scene: Scene) -> None:
    await scene.tracker.rotate(scene.checkout)


@call("rotate within an owner")
async def _(scene: Scene) -> None:
    await scene.tracker.rotate(scene.login)


@call("rotate to another owner")
async def _(scene: Scene) -> None:
    await scene.tracker.rotate(scene.login, owner="bob")


@call("rotate a stale one")
async def _(scene: Scene) -> None:
    """The new one is taken back."""
    other = await scene.tracker.get(Checkout, KEY)
    await scene.tracker.update(other)
    await scene.step()
    with suppress(StaleSessionError):
        await scene.tracker.rotate(scene.checkout)


@call("scan")
async def _(scene: Scene) -> None:
    async for _ in scene.tracker.scan(Checkout):
        await asyncio.sleep(0)


@call("scan, and leave")
async def _(scene: Scene) -> None:
    found = scene.tracker.scan(Login, finished=True)
    async for _ in found:
        break
    await found.aclose()


# Owners ----------------------------------------------------------------------------


@call("list_sessions")
async def _(scene: Scene) -> None:
    await scene.tracker.list_sessions(Login, OWNER)


@call("count_sessions")
async def _(scene: Scene) -> None:
    await scene.tracker.count_sessions(Login, OWNER)


@call("finish_all")
async def _(scene: Scene) -> None:
    await scene.tracker.finish_all(Login, OWNER, keep=scene.login)


@call("delete_all")
async def _(scene: Scene) -> None:
    await scene.tracker.delete_all(scene.login)


@call("get_shared")
async def _(scene: Scene) -> None:
    await scene.tracker.get_shared(Login, OWNER)


@call("edit_shared")
async def _(scene: Scene) -> None:
    async with scene.tracker.edit_shared(Login, OWNER) as profile:
        await asyncio.sleep(0)
        profile.theme = "blue"


@call("update_shared")
async def _(scene: Scene) -> None:
    def change(profile: Any) -> None:
        profile.theme = "blue"

    await scene.tracker.update_shared(Login, OWNER, change)


# Locks -----------------------------------------------------------------------------


@call("lock")
async def _(scene: Scene) -> None:
    async with scene.tracker.lock(Checkout, KEY):
        await asyncio.sleep(0)


@call("lock, and raise")
async def _(scene: Scene) -> None:
    with suppress(KeyError):
        async with scene.tracker.lock(Checkout, KEY):
            raise KeyError


@call("lock of an owner's")
async def _(scene: Scene) -> None:
    async with scene.tracker.lock(scene.login) as lock:
        await scene.tracker.finish(scene.login, lock=lock)
        await scene.step()


@call("get_locked")
async def _(scene: Scene) -> None:
    async with scene.tracker.get_locked(Checkout, KEY) as checkout:
        await asyncio.sleep(0)
        checkout.count += 1


@call("get_locked, and change nothing")
async def _(scene: Scene) -> None:
    async with scene.tracker.get_locked(Checkout, KEY):
        await asyncio.sleep(0)


@call("get_locked, and raise")
async def _(scene: Scene) -> None:
    with suppress(KeyError):
        async with scene.tracker.get_locked(Checkout, KEY) as checkout:
            checkout.count += 1
            raise KeyError


@call("get_locked of an owner's")
async def _(scene: Scene) -> None:
    async with scene.tracker.get_locked(scene.login) as login:
        login.count += 1


@call("get_locked of none")
async def _(scene: Scene) -> None:
    with suppress(SessionNotFoundError):
        async with scene.tracker.get_locked(Checkout, NEW):
            pass


@call("get_locked, and start it")
async def _(scene: Scene) -> None:
    async with scene.tracker.get_locked(Checkout, NEW, missing=Checkout()) as checkout:
        await scene.step()
        checkout.count += 1


@call("every write under its lock")
async def _(scene: Scene) -> None:
    async with scene.tracker.get_locked(Checkout, KEY) as checkout:
        checkout.count += 1
        await scene.tracker.update(checkout)
        await scene.step()
        await scene.tracker.finish(checkout)
        await scene.step()
        await scene.tracker.resume(checkout)
        await scene.step()
        await scene.tracker.rotate(checkout)
        await scene.step()


@call("two locks")
async def _(scene: Scene) -> None:
    async with (
        scene.tracker.lock(Checkout, OTHER),
        scene.tracker.get_locked(Checkout, KEY) as checkout,
    ):
        checkout.count += 1


@call("wait for a lock", prepare=lambda scene: scene.hold(0.01))
async def _(scene: Scene) -> None:
    async with scene.tracker.lock(Checkout, KEY, wait=60):
        pass


@call("wait for a locked session", prepare=lambda scene: scene.hold(0.01))
async def _(scene: Scene) -> None:
    async with scene.tracker.get_locked(Checkout, KEY, wait=None) as checkout:
        checkout.count += 1


@call("wait for a lock in vain", prepare=lambda scene: scene.hold())
async def _(scene: Scene) -> None:
    with suppress(LockNotAcquiredError):
        async with scene.tracker.lock(Checkout, KEY, wait=0.01):
            pass


@call("a lock is not free", prepare=lambda scene: scene.hold())
async def _(scene: Scene) -> None:
    with suppress(LockNotAcquiredError):
        async with scene.tracker.get_locked(Checkout, KEY, wait=0):
            pass


@call("lock.lost")
async def _(scene: Scene) -> None:
    with suppress(LockLostError):
        async with scene.tracker.lock(Checkout, KEY, lease=0.15) as lock:
            scene.take_away(lock)
            await lock.lost


@call("a lock is lost")
async def _(scene: Scene) -> None:
    with suppress(LockLostError):
        async with scene.tracker.get_locked(Checkout, KEY, lease=0.15) as checkout:
            checkout.count += 1
            scene.take_away(scene.tracker.lock_of(checkout))
            await asyncio.sleep(60)


@call("a lock is renewed")
async def _(scene: Scene) -> None:
    try:
        async with scene.tracker.get_locked(Checkout, KEY, lease=0.15) as checkout:
            await asyncio.sleep(0.07)
            checkout.count += 1
    except LockLostError:  # on a machine that is busy
        if scene.states is not None:
            raise


# In a transaction of the caller's ---------------------------------------------------


@call("bind: reads", waits=True, bound=True)
async def _(scene: Scene) -> None:
    async with scene.engine.connect() as connection:
        bound = scene.tracker.bind(connection)
        await bound.get(Checkout, KEY)
        await bound.get_many(Checkout, [KEY, OTHER, NEW])
        await bound.get_finished(Checkout, DONE)
        await bound.list_sessions(Login, OWNER)
        await bound.count_sessions(Login, OWNER)
        await bound.get_shared(Login, OWNER)


@call("bind: one transaction", waits=True, bound=True)
async def _(scene: Scene) -> None:
    def change(profile: Any) -> None:
        profile.theme = "blue"

    async with scene.engine.begin() as connection:
        bound = scene.tracker.bind(connection)
        await bound.start(Checkout(key=NEW))
        await bound.get_or_start(Checkout(key=OTHER))
        await bound.touch(Checkout, OTHER)
        await bound.update(scene.checkout)
        await bound.finish(Checkout, KEY)
        await bound.resume(Checkout, KEY)
        await bound.delete(Checkout, OTHER)
        await bound.rotate(scene.login)
        await bound.update_shared(Login, OWNER, change)
        async with bound.edit_shared(Login, OWNER) as profile:
            profile.theme = "green"
        await bound.finish_all(Login, OWNER)
        await bound.delete_all(Login, OWNER)


@call("bind: rolled back", waits=True, bound=True)
async def _(scene: Scene) -> None:
    with suppress(KeyError):
        async with scene.engine.begin() as connection:
            await scene.tracker.bind(connection).update(scene.checkout)
            raise KeyError


@call("bind: under a lock", waits=True, bound=True)
async def _(scene: Scene) -> None:
    async with (
        scene.tracker.lock(Checkout, KEY) as lock,
        scene.engine.begin() as connection,
    ):
        await scene.tracker.bind(connection).finish(Checkout, KEY, lock=lock)
