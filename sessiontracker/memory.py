"""The in-memory backend: the machine over a dictionary. It is the reference.

Options: ``max_sessions`` (a start beyond it fails; unset: no bound) and ``clock``, a
callable returning µs since 1970, with which a test moves time. Nothing survives the
process, and each tracker has a store of its own.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from ._async.wakes import AsyncWakes
from ._sync.wakes import Wakes
from .contract import (
    API_VERSION,
    Asked,
    AsyncBackend,
    Backend,
    BackendOptions,
    Capability,
    LockingPlugin,
    StoragePlugin,
)
from .errors import BackendError, ConfigurationError
from .hookspecs import hookimpl
from .machine import apply, concerns_others
from .operations import (
    FOREVER,
    Address,
    Failed,
    Item,
    Operation,
    Outcome,
    Page,
    Ping,
    Pong,
    Read,
    Reap,
    Reaped,
    Scan,
)
from .state import EMPTY, Key, Slot, claimed, due, is_empty, sweep
from .wording import shown

__all__ = ["AsyncMemoryBackend", "MemoryBackend"]

_SWEPT_PER_STEP = 4


class _Store:
    """Slots by name, and an agenda of when each has something to be swept."""

    def __init__(
        self, clock: Callable[[], int] | None = None, max_sessions: int | None = None
    ) -> None:
        self.slots: dict[Address, Slot] = {}
        self.sessions = 0
        self._clock = clock or _now
        self._max_sessions = max_sessions
        self._agenda: list[tuple[int, Address]] = []
        self._turns: dict[Address, int] = {}  # which of a slot's entries counts: the soonest
        self._names: dict[str, list[Address]] = {}

    def step(self, operation: Operation) -> tuple[Outcome, int]:
        """The outcome, and the ticket that was given a claim (0: none)."""
        now = self._clock()
        address = operation.address
        name = address.slot if address.scope else address
        before = self.slots.get(name, EMPTY)
        after, outcome = apply(before, operation, now)
        if after is before:
            return outcome, 0
        # Where others cannot be concerned, they need not be looked at.
        at = "" if address.scope and concerns_others(operation) else address.key
        more = _count(after, at) - _count(before, at)
        if more > 0 and self._max_sessions is not None:
            if self.sessions + more > self._max_sessions:
                self.reap(now, FOREVER)
            if self.sessions + more > self._max_sessions:
                return self._full(), 0
        self._put(name, after, more, at)
        if self._agenda and self._agenda[0][0] <= now // 1000:
            self.reap(now, _SWEPT_PER_STEP)
        return outcome, claimed(before, after, address.key)

    def whole(self, operation: Scan | Reap | Ping) -> Outcome:
        """What concerns the store as a whole."""
        now = self._clock()
        if isinstance(operation, Scan):
            return self._page(operation, now)
        if isinstance(operation, Reap):
            return Reaped(self.reap(now, operation.limit))
        return Pong(now)

    def reap(self, now: int, limit: int) -> int:
        """Sweep what is due, oldest first, until ``limit`` sessions went; how many did."""
        gone = 0
        agenda = self._agenda
        while agenda and agenda[0][0] <= now // 1000 and gone < limit:
            turn, name = heappop(agenda)
            if self._turns.get(name) == turn:
                del self._turns[name]
                after, count = sweep(self.slots[name], now)
                gone += count
                self._put(name, after, -count)
        return gone

    def _put(self, name: Address, slot: Slot, more: int, stored: str = "") -> None:
        """Keep ``slot``, which has changed at the key ``stored``, or (``""``) anywhere."""
        self.sessions += more
        if is_empty(slot):
            self.slots.pop(name, None)
            self._turns.pop(name, None)
            return
        self.slots[name] = slot
        turn, planned = due(slot, stored), self._turns.get(name)
        # What is due later than was planned is put off when its turn comes.
        if planned is None or turn < planned:
            self._turns[name] = turn
            heappush(self._agenda, (turn, name))
            if len(self._agenda) > 2 * len(self._turns) + 100:
                self._agenda[:] = [(turn, name) for name, turn in self._turns.items()]
                heapify(self._agenda)

    def _full(self) -> Failed:
        return Failed(
            BackendError(
                f"the in-memory backend holds max_sessions = {self._max_sessions} sessions: "
                "finish or delete some, shorten their timeouts, or raise max_sessions"
            )
        )

    def _page(self, scan: Scan, now: int) -> Page:
        names = self._names.get(scan.type)
        if names is None or not scan.cursor:
            names = sorted((n for n in self.slots if n.type == scan.type), key=_place)
            self._names[scan.type] = names
        start = bisect_right(names, scan.cursor, key=_place) if scan.cursor else 0
        items: list[Item] = []
        for index in range(start, len(names)):
            name = names[index]
            slot, _ = sweep(self.slots.get(name, EMPTY), now)
            for stored, key in slot.keys.items():
                record = key.finished if scan.finished else key.active
                if record is not None:
                    address = Address(name.type, name.scope, stored)
                    items.append(Item(address, record.meta, record.payload, slot.shared))
            if len(items) >= scan.limit and index + 1 < len(names):
                return Page(items, _place(name))
        del self._names[scan.type]
        return Page(items, "")


def _now() -> int:
    return time.time_ns() // 1000


def _place(name: Address) -> str:
    return f"{name.scope}/{name.key}"


def _count(slot: Slot, stored: str) -> int:
    """How many sessions there are at a key, or (``""``) in all of the slot."""
    if not stored:
        return sum(map(_count_of, slot.keys.values()))
    key = slot.keys.get(stored)
    return 0 if key is None else _count_of(key)


def _count_of(key: Key) -> int:
    """None, the active one, the finished one, or both."""
    return (key.active is not None) + (key.finished is not None)


class AsyncMemoryBackend(AsyncBackend):
    """Sessions and locks in this process's memory, for one event loop."""

    look_every = 15.0  # wake-ups cannot be lost here

    def __init__(self, **options: Any) -> None:
        self._store = _Store(**options)
        self._wakes = AsyncWakes()
        self.at_once = self._at_once

    def _at_once(self, operation: Operation) -> Outcome:
        outcome, ticket = self._store.step(operation)
        if type(operation) is not Read:
            self._wakes.note(operation, outcome)
            if ticket:
                self._wakes.wake(ticket)
        return outcome

    async def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        return [
            self._store.whole(operation)
            if isinstance(operation, (Scan, Reap, Ping))
            else self._at_once(operation)
            for operation in operations
        ]

    async def close(self) -> None:
        self._wakes.wake_all()

    async def wait(self, ticket: int, timeout: float) -> None:
        await self._wakes.wait(ticket, timeout)


class MemoryBackend(Backend):
    """Sessions and locks in this process's memory, for its threads."""

    look_every = 15.0

    def __init__(self, **options: Any) -> None:
        self._store = _Store(**options)
        self._wakes = Wakes()
        self._lock = threading.Lock()
        self.at_once = self._at_once

    def _at_once(self, operation: Operation) -> Outcome:
        with self._lock:
            outcome, ticket = self._store.step(operation)
            self._wakes.note(operation, outcome)
            if ticket:
                self._wakes.wake(ticket)
        return outcome

    def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for operation in operations:
            if isinstance(operation, (Scan, Reap, Ping)):
                with self._lock:
                    outcomes.append(self._store.whole(operation))
            else:
                outcomes.append(self._at_once(operation))
        return outcomes

    def close(self) -> None:
        with self._lock:
            self._wakes.wake_all()

    def wait(self, ticket: int, timeout: float) -> None:
        self._wakes.wait(ticket, timeout)


# The plugin ------------------------------------------------------------------


def _checked(options: BackendOptions) -> dict[str, Any]:
    if options.url is not None:
        raise ConfigurationError(
            f"backends.{options.name}.url: the in-memory backend has no url: leave it out"
        )
    known = dict(options.options)
    clock, most = known.pop("clock", None), known.pop("max_sessions", None)
    if known:
        raise ConfigurationError(
            f"backends.{options.name}.{next(iter(known))}: the in-memory backend knows "
            "max_sessions and clock only"
        )
    if most is not None and (type(most) is not int or most < 1):
        raise ConfigurationError(
            f"backends.{options.name}.max_sessions: {shown(most)} is no positive number"
        )
    if clock is not None and not callable(clock):
        raise ConfigurationError(
            f"backends.{options.name}.clock: give a callable that returns µs since 1970"
        )
    return {"clock": clock, "max_sessions": most}


def _open_async(options: BackendOptions) -> AsyncMemoryBackend:
    return AsyncMemoryBackend(**_checked(options))


def _open_sync(options: BackendOptions) -> MemoryBackend:
    return MemoryBackend(**_checked(options))


_CAPABILITIES = frozenset({Capability.SCAN, Capability.FAIR, Capability.OWNERS, Capability.CLOCK})


@hookimpl
def sessiontracker_storage() -> StoragePlugin:
    return StoragePlugin(
        name="memory",
        open_async=_open_async,
        open_sync=_open_sync,
        api_version=API_VERSION,
        capabilities=_CAPABILITIES,
    )


@hookimpl
def sessiontracker_locking() -> LockingPlugin:
    return LockingPlugin(
        name="memory",
        open_async=_open_async,
        open_sync=_open_sync,
        api_version=API_VERSION,
        capabilities=_CAPABILITIES,
    )
