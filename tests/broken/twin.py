"""A whole backend, small enough to be broken in one place: the machine over a dictionary.

`Twin` is right, and passes the conformance kit. The others of this folder are each wrong
in one way, which their name says, and ``meant`` names the kit's test that must catch it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from sessiontracker import machine
from sessiontracker.backend import (
    API_VERSION,
    Asked,
    AsyncBackend,
    AsyncWakes,
    Backend,
    BackendOptions,
    Capability,
    LockingPlugin,
    StoragePlugin,
    Wakes,
)
from sessiontracker.errors import ConfigurationError
from sessiontracker.hookspecs import hookimpl
from sessiontracker.operations import (
    Address,
    Item,
    Operation,
    Outcome,
    Page,
    Ping,
    Pong,
    Reap,
    Reaped,
    Scan,
)
from sessiontracker.state import EMPTY, NOTHING, Key, Slot, claimed, sweep


class Twin:
    """The store, and (as a class) its own plugin."""

    meant: ClassVar[str] = ""
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.SCAN, Capability.FAIR, Capability.OWNERS, Capability.CLOCK}
    )

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        self.slots: dict[Address, Slot] = {}
        self.clock = clock or (lambda: time.time_ns() // 1000)
        self.mutex = threading.RLock()
        self.wake: Callable[[int], None] = lambda ticket: None

    # What the broken ones break

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        return machine.apply(slot, operation, now)

    def place(self, address: Address) -> Address:
        return address

    def batch(self, operations: Sequence[Asked]) -> list[Outcome]:
        return [self.answer(operation) for operation in operations]

    # What they do not

    def answer(self, operation: Asked) -> Outcome:
        with self.mutex:
            if isinstance(operation, Ping):
                return Pong(self.clock())
            if isinstance(operation, Scan):
                return self._page(operation)
            if isinstance(operation, Reap):
                return self._reap(operation.limit)
            return self.step(operation)

    def step(self, operation: Operation) -> Outcome:
        address = self.place(operation.address)
        before = self.slots.get(address.slot, EMPTY)
        moved = _at(operation, address)
        after, outcome = self.apply(before, moved, self.clock())
        self.slots[address.slot] = after
        ticket = claimed(before, after, address.key)
        if ticket:
            self.wake(ticket)
        return outcome

    def _page(self, scan: Scan) -> Page:
        items: list[Item] = []
        for name in sorted(self.slots):
            slot, _ = sweep(self.slots[name], self.clock())
            for stored, key in sorted(slot.keys.items()):
                record = key.finished if scan.finished else key.active
                if name.type == scan.type and record is not None:
                    at = Address(name.type, name.scope, stored)
                    items.append(Item(at, record.meta, record.payload, slot.shared))
        rest = [item for item in items if _cursor(item) > scan.cursor]
        page = rest[: scan.limit]
        return Page(page, _cursor(page[-1]) if len(rest) > len(page) else "")

    def _reap(self, limit: int) -> Reaped:
        count = 0
        for name, slot in self.slots.items():
            if count < limit:
                self.slots[name], gone = sweep(slot, self.clock())
                count += gone
        return Reaped(count)

    # The plugin

    @classmethod
    def name(cls) -> str:
        return "".join(f"-{c.lower()}" if c.isupper() else c for c in cls.__name__).strip("-")

    @classmethod
    def made(cls, options: BackendOptions) -> Twin:
        known = dict(options.options)
        clock = known.pop("clock", None) if Capability.CLOCK in cls.capabilities else None
        if known or options.url:
            raise ConfigurationError(f"{cls.__name__} has no such option: {sorted(known)}")
        return cls(clock)

    @classmethod
    @hookimpl
    def sessiontracker_storage(cls) -> StoragePlugin:
        return StoragePlugin(**cls._plugin())

    @classmethod
    @hookimpl
    def sessiontracker_locking(cls) -> LockingPlugin:
        return LockingPlugin(**cls._plugin())

    @classmethod
    def _plugin(cls) -> dict[str, Any]:
        return {
            "name": cls.name(),
            "api_version": API_VERSION,
            "open_async": lambda options: AsyncTwinBackend(cls.made(options)),
            "open_sync": lambda options: TwinBackend(cls.made(options)),
            "capabilities": cls.capabilities,
        }


class ClocklessTwin(Twin):
    """Right, too; time has to pass."""

    capabilities = frozenset({Capability.SCAN, Capability.FAIR, Capability.OWNERS})


class SessionsOnlyTwin(Twin):
    """Right, too; its locks live elsewhere."""

    capabilities = frozenset({Capability.SCAN, Capability.OWNERS, Capability.CLOCK})
    sessiontracker_locking = None  # type: ignore[assignment]


class LocksOnlyTwin(Twin):
    """Right, too; it keeps no sessions."""

    capabilities = frozenset({Capability.FAIR, Capability.CLOCK})
    sessiontracker_storage = None  # type: ignore[assignment]


class TwinBackend(Backend):
    def __init__(self, store: Twin) -> None:
        self._store = store
        self._wakes = Wakes()
        store.wake = self._wakes.wake

    def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        outcomes = self._store.batch(operations)
        for operation, outcome in zip(operations, outcomes, strict=False):
            if isinstance(operation, Operation):
                self._wakes.note(operation, outcome)
        return outcomes

    def wait(self, ticket: int, timeout: float) -> None:
        self._wakes.wait(ticket, min(timeout, 0.05))


class AsyncTwinBackend(AsyncBackend):
    def __init__(self, store: Twin) -> None:
        self._store = store
        self._wakes = AsyncWakes()
        store.wake = self._wakes.wake

    async def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        outcomes = self._store.batch(operations)
        for operation, outcome in zip(operations, outcomes, strict=False):
            if isinstance(operation, Operation):
                self._wakes.note(operation, outcome)
        return outcomes

    async def wait(self, ticket: int, timeout: float) -> None:
        await self._wakes.wait(ticket, min(timeout, 0.05))


# For those that break something ----------------------------------------------


def key_of(slot: Slot, operation: Operation) -> Key:
    return slot.keys.get(operation.address.key, NOTHING)


def with_key(slot: Slot, operation: Operation, key: Key) -> Slot:
    return Slot({**slot.keys, operation.address.key: key})


def _at(operation: Any, address: Address) -> Any:
    from msgspec.structs import replace

    return replace(operation, address=address)


def _cursor(item: Item) -> str:
    return f"{item.address.scope}/{item.address.key}"
