"""What clients do, over and over: everything that a tracker can be asked."""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Any

import msgspec

from sessiontracker import (
    LockNotAcquiredError,
    OwnedSession,
    Session,
    SessionActiveError,
    SessionFinishedError,
    SessionInProgressError,
    SessionLockedError,
    SessionNotFoundError,
    StaleSessionError,
)
from sessiontracker.memory import AsyncMemoryBackend, MemoryBackend

from .sides import Side

__all__ = ["GONE", "SETTINGS", "TYPES", "Client", "World"]

SETTINGS: dict[str, Any] = {
    "operation_timeout": "30s",
    "reap_every": "5s",
    "sessions": {
        name: {
            "idle_timeout": "60s",
            "absolute_timeout": "90s",
            "finished_retention": "30s",
            "token_retention": "10s",
            "shared_retention": "10s",
            "lock_lease": "10s",
            "lock_wait": "30s",
        }
        for name in ("cart", "login")
    },
}
SETTINGS["sessions"]["login"] |= {"max_per_owner": 3, "on_limit": "finish_oldest"}

GONE = 240.0
"""s after which all that is left behind has gone, with a minute's memory of what was deleted."""

HOLD = 0.01  # s
TOLD = 20  # of what went wrong, how many in full


class Cart(Session):
    items: list[str] = []
    count: int = 0


class Profile(msgspec.Struct):
    visits: int = 0


class Login(OwnedSession[Profile]):
    device: str = ""


TYPES = [Cart, Login]


class World(msgspec.Struct):
    """What the clients of a process have in common."""

    side: Side
    tracker: Any
    config: dict[str, Any]
    fused: bool
    """Whether sessions and locks are in one place."""
    engine: Any = None
    """Of an application that has its own transactions in the same database."""
    done: int = 0
    odd: Counter[str] = msgspec.field(default_factory=Counter)

    def entries(self) -> int:
        """How many there are in a store of this process's own, if it has one."""
        tracker = getattr(self.tracker, "tracker", self.tracker)
        backends = [asker.backend for asker in tracker._askers.values()]
        own = (AsyncMemoryBackend, MemoryBackend)
        return sum(len(each._store.slots) for each in backends if isinstance(each, own))


class Client:
    """One task, or one thread."""

    def __init__(self, world: World, seed: str) -> None:
        self.world = world
        self.tracker = world.tracker
        self.random = Random(seed)
        self.scenarios: dict[Callable[[], Awaitable[None]], int] = {
            self.life: 20,
            self.expiry: 10,
            self.locked: 15,
            self.refusals: 5,
            self.waiting: 5,
            self.renewal: 1,
            self.owner: 10,
            self.visitor: 5,
            self.shared: 5,
            self.whole: 2,
            self.another: 1,
        }
        if world.engine is not None:
            self.scenarios[self.bound] = 5

    async def everything(self) -> None:
        """All scenarios, one after the other, and many at once."""
        await self.meet()
        for scenario in self.scenarios:
            await self._do(scenario)
        await self.crowd()

    async def crowd(self) -> None:
        """Many at once, of all that is asked side by side."""
        each = [*[self.life] * 8, *[self.owner] * 4, *[self.whole] * 2, self.reaping]
        await self.world.side.at_once(*(partial(self._do, scenario) for scenario in each))

    async def something(self) -> None:
        (scenario,) = self.random.choices(list(self.scenarios), list(self.scenarios.values()))
        # An application's engine that is cancelled may leave a connection open (SQLAlchemy 2.1 with
        # aiosqlite does), which is not ours to close.
        if scenario != self.bound and self.random.random() < 0.1:
            after = self.random.choice((0.0, 0.0005, 0.002, 0.005, 0.02))
            await self.world.side.cut_short(lambda: self._do(scenario), after)
        else:
            await self._do(scenario)

    async def meet(self) -> None:
        """All clients want the same lock."""

        async def hold() -> None:
            async with self.tracker.lock(Cart, "met"):
                await self.world.side.pause(HOLD)

        await self._do(hold)

    async def _do(self, scenario: Callable[[], Awaitable[None]]) -> None:
        self.world.done += 1
        try:
            await scenario()
        except Exception as error:
            self.world.odd[type(error).__name__] += 1
            if sum(self.world.odd.values()) <= TOLD:
                traceback.print_exc(file=sys.stderr)

    # Scenarios ---------------------------------------------------------------

    async def life(self) -> None:
        """A session from its start until it is deleted."""
        tracker = self.tracker
        cart = await tracker.start(Cart(items=["book"]))
        read = await tracker.get(Cart, cart.key)
        await tracker.touch(Cart, cart.key)
        read.items.append("pen")
        await tracker.update(read)
        await refused(StaleSessionError, tracker.update(cart))
        many = await tracker.get_many(Cart, [cart.key, "nobody's"])
        assert list(many) == [cart.key], many
        await tracker.rotate(read)
        await tracker.finish(read)
        await tracker.get_finished(Cart, read.key)
        await tracker.resume(read)
        assert await tracker.get_or_start(read) is not read
        assert await tracker.delete(read)

    async def expiry(self) -> None:
        """What nobody ends."""
        for timeout in ("1s", "2s"):
            await self.tracker.start(Cart(items=["book"] * 10), idle_timeout=timeout)
        finished = await self.tracker.start(Cart(), absolute_timeout="5s")
        await self.tracker.finish(finished)

    async def locked(self) -> None:
        """A session of all, changed under its lock."""
        key = f"shelf {self.random.randrange(20)}"
        try:
            async with self.tracker.get_locked(Cart, key, missing=Cart(key=key)) as cart:
                cart.count += 1
                cart.items = [str(cart.count)]
                self.tracker.lock_of(cart).check()
        except SessionNotFoundError:  # its absolute timeout has passed meanwhile
            pass
        await refused(ZeroDivisionError, self._fails_inside(key))

    async def _fails_inside(self, key: str) -> None:
        async with self.tracker.get_locked(Cart, key, missing=Cart(key=key)) as cart:
            cart.count //= 0

    async def refusals(self) -> None:
        """What is not possible now."""
        tracker, key = self.tracker, f"{self.random.getrandbits(64):x}"
        await refused(SessionNotFoundError, tracker.get(Cart, key))
        await refused(SessionNotFoundError, tracker.finish(Cart, key))
        cart = await tracker.start(Cart(key=key))
        await refused(SessionInProgressError, tracker.start(Cart(key=key)))
        await refused(SessionActiveError, tracker.get_finished(Cart, key))
        async with tracker.lock(Cart, key) as lock:
            if self.world.fused:
                await refused(SessionLockedError, tracker.update(cart))
            await tracker.update(cart, lock=lock)
        await tracker.finish(Cart, key)
        await refused(SessionFinishedError, tracker.get(Cart, key))
        await refused(SessionNotFoundError, self._fails_inside_of_nothing(key + "?"))

    async def _fails_inside_of_nothing(self, key: str) -> None:
        async with self.tracker.get_locked(Cart, key):
            raise AssertionError("there was none")

    async def waiting(self) -> None:
        """Others wait for a lock of ours: in vain, until they are cancelled, and until it is
        theirs."""
        key = f"{self.random.getrandbits(64):x}"

        async def have(wait: str | None) -> None:
            async with self.tracker.lock(Cart, key, wait=wait):
                await self.world.side.pause(HOLD / 10)

        async def in_vain() -> None:
            await refused(LockNotAcquiredError, have("0s"))
            await refused(LockNotAcquiredError, have("0.02s"))

        async def cut_short() -> None:
            after = self.random.uniform(0, HOLD)
            await self.world.side.cut_short(lambda: have("30s"), after)

        async def hold() -> None:
            async with self.tracker.lock(Cart, key):
                held.append(True)
                await self.world.side.at_once(in_vain)

        async def wait() -> None:
            while not held:
                await self.world.side.pause(HOLD / 10)
            await have("30s")

        held: list[bool] = []
        await self.world.side.at_once(hold, wait, cut_short)

    async def renewal(self) -> None:
        """A lock that is held for longer than a third of its lease."""
        key = f"{self.random.getrandbits(64):x}"
        async with self.tracker.get_locked(Cart, key, missing=Cart(key=key), lease="3s") as cart:
            await self.world.side.pause(1.1)
            cart.count += 1

    async def owner(self) -> None:
        """Logins up to the limit and past it, and out of all of them."""
        tracker, owner = self.tracker, f"{self.random.getrandbits(64):x}"
        logins = [await tracker.start(Login(owner=owner, device=str(i))) for i in range(4)]
        assert len(await tracker.list_sessions(Login, owner)) == 3
        assert await tracker.count_sessions(Login, owner) == 3
        async with tracker.get_locked(Login, logins[-1].key) as login:
            login.device = "phone"
        assert await tracker.finish_all(Login, owner, keep=logins[-1]) == 2
        if self.random.random() < 0.5:
            assert await tracker.delete_all(Login, owner) == 4

    async def visitor(self) -> None:
        """Somebody who logs in, and is given another key."""
        tracker, owner = self.tracker, f"user {self.random.randrange(50)}"
        login = await tracker.start(Login(device="laptop"))
        await tracker.rotate(login, owner=owner)
        await tracker.rotate(login)
        # Others of this owner may push it out at any time.
        try:
            await tracker.finish(login)
        except (SessionFinishedError, SessionNotFoundError):
            pass

    async def shared(self) -> None:
        """What an owner's sessions share."""
        tracker, owner = self.tracker, f"user {self.random.randrange(50)}"

        def visit(profile: Profile) -> None:
            profile.visits += 1

        await tracker.update_shared(Login, owner, visit)
        await tracker.get_shared(Login, owner)
        try:
            async with tracker.edit_shared(Login, owner) as profile:
                visit(profile)
        except StaleSessionError:
            pass

    async def whole(self) -> None:
        """What concerns the store as a whole."""
        await self.tracker.ping()
        seen = 0
        async for _ in self.tracker.scan(Cart):
            seen += 1
        async for _ in self.tracker.scan(Login, finished=True):
            seen += 1
        await self.reaping()

    async def reaping(self) -> None:
        await self.tracker.reap(limit=100)

    async def another(self) -> None:
        """A tracker that is opened, used and closed."""
        side = self.world.side
        tracker = side.tracker(self.world.config, TYPES)
        await tracker.open()
        try:
            cart = await tracker.start(Cart())
            async with tracker.get_locked(cart) as locked:
                locked.count += 1
        finally:
            await tracker.close()

    async def bound(self) -> None:
        """A transaction of the application's own: committed, and rolled back."""
        side, engine = self.world.side, self.world.engine
        cart = await self.tracker.start(Cart())
        async with side.begin(engine, self.tracker) as bound:
            cart = await bound.get(Cart, cart.key)
            cart.count += 1
            await bound.update(cart)
        await refused(ZeroDivisionError, self._rolled_back(cart))
        await self.tracker.delete(Cart, cart.key)

    async def _rolled_back(self, cart: Cart) -> None:
        async with self.world.side.begin(self.world.engine, self.tracker) as bound:
            await bound.finish(Cart, cart.key)
            raise ZeroDivisionError


async def refused(error: type[Exception], call: Awaitable[Any]) -> None:
    try:
        await call
    except error:
        return
    raise AssertionError(f"no {error.__name__}")
