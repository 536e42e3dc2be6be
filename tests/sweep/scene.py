"""What each call finds: sessions that are there, and others who are about."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from sessiontracker import AsyncSessionTracker, OwnedSession
from sessiontracker.backend import operations
from tests.trackers import Checkout

__all__ = ["BESIDE", "DONE", "KEY", "LOCKED", "NEW", "OTHER", "OWNER", "Login", "Scene", "set_up"]

KEY, OTHER, DONE, NEW = "order-42", "order-43", "order-41", "order-44"
BESIDE, EXPIRED = "neighbour", "expired"
OWNER, DEVICE = "alice", "ios"


class Profile(msgspec.Struct):
    theme: str = "light"


class Login(OwnedSession[Profile]):
    count: int = 0


LOCKED = [(Checkout, key, None) for key in (KEY, OTHER, NEW, BESIDE)] + [(Login, DEVICE, OWNER)]
"""Whose locks may have been taken: type, key, owner."""


async def set_up(tracker: AsyncSessionTracker) -> None:
    """What is there before each call; one session has expired."""
    ended = Checkout(key=DONE, count=3), Login(owner=OWNER, key="old")
    await tracker.start(Login(owner=OWNER, key=DEVICE))
    await asyncio.sleep(0.002)  # this one is the oldest
    await asyncio.gather(
        tracker.start(Checkout(key=KEY, count=1)),
        tracker.start(Checkout(key=OTHER, count=2)),
        tracker.start(Checkout(key=BESIDE)),
        tracker.start(Checkout(key=EXPIRED), idle_timeout="1ms"),
        tracker.start(Login(owner=OWNER)),
        *map(tracker.start, ended),
    )
    await asyncio.gather(*map(tracker.finish, ended), tracker.update_shared(Login, OWNER, _dark))


def _dark(profile: Profile) -> None:
    profile.theme = "dark"


class Scene:
    """A call's own tracker, what it has read by it, and an ``observer`` that is somebody else."""

    def __init__(self, tracker: Any, observer: AsyncSessionTracker, engine: Any = None) -> None:
        self.tracker = tracker
        self.observer = observer
        self.engine = engine
        """An application's own, where sessions are in a database."""
        self.checkout = Checkout()
        self.login = Login()
        self.states: list[Any] | None = None
        """What the store held before, between and after a call's steps, if that is recorded."""
        self._leave = asyncio.Event()
        self._others: list[asyncio.Task[None]] = []

    async def read(self) -> None:
        """What the call is about."""
        self.checkout = await self.tracker.get(Checkout, KEY)
        self.login = await self.tracker.get(Login, DEVICE, owner=OWNER)

    async def step(self) -> None:
        """A call's step is done, and another follows."""
        if self.states is not None:
            self.states.append(await self.seen())

    async def seen(self) -> Any:
        """What is in the store, but for times and what made-up keys are."""
        *pages, shared = await asyncio.gather(
            *(
                self._scan(kind, finished)
                for kind in (Checkout, Login)
                for finished in (False, True)
            ),
            self.observer.get_shared(Login, OWNER),
        )
        return sorted(found for page in pages for found in page), shared.theme

    async def _scan(self, kind: Any, finished: bool) -> list[Any]:
        return [
            (kind.__name__, finished, each.owner, each.key, each.count, each.version)
            async for each in self.observer.scan(kind, finished=finished)
            if each.key not in (BESIDE, EXPIRED)
        ]

    # Others --------------------------------------------------------------------

    async def hold(self, seconds: float | None = None) -> None:
        """Somebody else holds the lock of `KEY`, for so long or until all is over."""
        entered = asyncio.Event()

        async def hold() -> None:
            async with self.observer.lock(Checkout, KEY):
                entered.set()
                if seconds is not None:
                    asyncio.get_running_loop().call_later(seconds, self._leave.set)
                await self._leave.wait()

        self._others.append(asyncio.create_task(hold()))
        await entered.wait()

    def take_away(self, lock: Any) -> None:
        """Somebody sees to it that ``lock`` is lost."""

        async def take() -> None:
            store = await self.observer._store(Checkout)
            await store.locking.ask(operations.Release(lock._address, lock._hold.ticket))

        self._others.append(asyncio.create_task(take()))

    async def over(self) -> None:
        """The others go as well."""
        self._leave.set()
        for other in self._others:
            await other
        if self.engine is not None:
            await self.engine.dispose()
