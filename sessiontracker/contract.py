"""The contract: all that a backend is, for storage and for locking.

``execute`` takes a batch of operations and returns as many outcomes in the same
order. Each succeeds or fails alone; those of one slot take effect in order. What
an operation means, `sessiontracker.machine` says. ``wait`` sleeps until a
wake-up says to look again, or until time is up; it may always return early.
"""

from __future__ import annotations

import enum
import os
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from .operations import Operation, Outcome, Ping, Reap, Scan

__all__ = [
    "API_VERSION",
    "Answer",
    "Asked",
    "AsyncBackend",
    "AsyncTransaction",
    "Backend",
    "BackendOptions",
    "BackendPlugin",
    "Capability",
    "LockingPlugin",
    "StoragePlugin",
    "Transaction",
    "new_id",
]

API_VERSION = 1
"""Of this contract. A plugin states the one that it was written for."""

Asked = Operation | Scan | Reap | Ping
"""Whatever may stand in a batch."""

Answer = Callable[[list[Outcome]], None]
"""Takes the outcomes of a batch."""


class Capability(enum.StrEnum):
    """What a backend can do beyond what all must; the conformance kit checks each claim."""

    SCAN = "scan"  # lists all sessions of a type, in pages
    PROCESSES = "processes"  # several processes share one store
    DURABLE = "durable"  # what was acknowledged is there after the process has ended
    FAIR = "fair"  # locks are granted first come, first served, also between processes
    OWNERS = "owners"  # executes what concerns all of an owner's sessions, and keeps limits
    CLOCK = "clock"  # takes ``clock=``, a callable returning µs, in its options


class AsyncTransaction(ABC):
    """A transaction that a caller has open in the store; operations take part in it."""

    @abstractmethod
    async def execute(self, operation: Operation) -> Outcome:
        """Execute ``operation`` in it, once. What that concerns is nobody else's to change until
        the caller ends the transaction.

        Raises: what the store's client raises, whose transaction it is.
        """

    @abstractmethod
    def when_over(self, committed: Callable[[], None], rolled_back: Callable[[], None]) -> None:
        """Have one of the two called, when it is known which became of what is executed now."""


class Transaction(ABC):
    """As `AsyncTransaction`, but blocking."""

    @abstractmethod
    def execute(self, operation: Operation) -> Outcome:
        """As `AsyncTransaction.execute`."""

    @abstractmethod
    def when_over(self, committed: Callable[[], None], rolled_back: Callable[[], None]) -> None:
        """As `AsyncTransaction.when_over`."""


class AsyncBackend(ABC):
    """A backend for `AsyncSessionTracker`. Subclass it, or `AsyncCompareAndSwapBackend`."""

    look_every: float = 1.0
    """How often, in seconds, one who waits for a lock looks again by itself."""

    lanes: int = 1
    """How many batches may be in flight at once; a slot's operations all go the same lane."""

    batch: int = 256
    """How many operations a batch may hold."""

    at_once: Callable[[Operation], Outcome] | None = None
    """Executes one operation without waiting for anything; such a backend needs no batches."""

    send: Callable[[Sequence[Asked], Answer], None] | None = None
    """As `execute`, but returns at once, and calls back in the event loop when the outcomes are
    there: saves each batch a task. A tracker uses it instead of `execute` where there is one."""

    async def open(self) -> None:
        """Connect and check that the store can be used. Raises: a `BackendError`."""

    async def close(self) -> None:
        """Let go of every resource. Nothing is asked of the backend after that."""

    def lane_of(self, operation: Asked) -> int:
        """Which of the batches in flight ``operation`` goes with: a number for each lane, the
        same for all operations of a slot. A store of several servers has lanes for each."""
        if self.lanes == 1 or operation.address is None:
            return 0
        return hash(operation.address.scope or operation.address.key) % self.lanes

    def bind(self, connection: Any) -> AsyncTransaction | None:
        """The transaction that is open, or will be, on a caller's ``connection`` to the store;
        None: no caller can have one. Raises: TypeError for what is no connection of its kind."""
        return None

    @abstractmethod
    async def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        """Execute ``operations``; what cannot be asked of the store is an outcome, too:
        `Unavailable`, `NoAnswer`, `Failed`."""

    @abstractmethod
    async def wait(self, ticket: int, timeout: float) -> None:
        """Sleep until ``ticket``, which was `Queued`, should look again; ``timeout`` s at most."""


class Backend(ABC):
    """A backend for `SessionTracker`; thread-safe. As `AsyncBackend`, but blocking."""

    look_every: float = 1.0
    lanes: int = 1
    batch: int = 256
    at_once: Callable[[Operation], Outcome] | None = None

    def open(self) -> None:
        """Connect and check that the store can be used. Raises: a `BackendError`."""

    def close(self) -> None:
        """Let go of every resource. Nothing is asked of the backend after that."""

    def lane_of(self, operation: Asked) -> int:
        """As `AsyncBackend.lane_of`."""
        if self.lanes == 1 or operation.address is None:
            return 0
        return hash(operation.address.scope or operation.address.key) % self.lanes

    def bind(self, connection: Any) -> Transaction | None:
        """As `AsyncBackend.bind`."""
        return None

    @abstractmethod
    def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        """As `AsyncBackend.execute`."""

    @abstractmethod
    def wait(self, ticket: int, timeout: float) -> None:
        """As `AsyncBackend.wait`."""


# What a plugin hands out -----------------------------------------------------


class BackendOptions(Struct, frozen=True):
    """One ``[backends.…]`` of a configuration: its name, and all it says beside ``use``.

    ``operation_timeout``: how many seconds one call has in all; None: it is not known.
    """

    name: str
    url: str | None = None
    options: Mapping[str, Any] = {}
    operation_timeout: float | None = None

    def patience(self, given: float | None, default: float) -> float:
        """For how many seconds a backend should wait for an answer of its store: as long as was
        ``given``, but no longer than a call has; else two fifths of that, so that it may be asked
        once more; ``default`` where neither is known."""
        whole = self.operation_timeout
        if whole is None:
            return default if given is None else given
        return whole * 2 / 5 if given is None else min(given, whole)

    def __repr__(self) -> str:
        return f"BackendOptions({self.name!r})"  # the rest may be secret


class BackendPlugin(Struct, frozen=True, kw_only=True):
    """What opens a backend. The openers connect nothing yet: ``open()`` does.

    They raise ConfigurationError for an option that they do not know or cannot use.
    """

    name: str
    open_async: Callable[[BackendOptions], AsyncBackend]
    open_sync: Callable[[BackendOptions], Backend]
    api_version: int  # a literal: the API_VERSION that the plugin was written for
    capabilities: frozenset[Capability] = frozenset()
    lacks: Callable[[BackendOptions], frozenset[Capability]] | None = None
    """Which of them a backend with these options has not; None: it has all."""
    ddl: Callable[[BackendOptions], str] | None = None
    """A script that creates what such a backend needs in its store, for administrators who do so
    themselves; None: it needs nothing."""

    def capabilities_of(self, options: BackendOptions) -> frozenset[Capability]:
        """What a backend with these options can do."""
        return self.capabilities - (frozenset() if self.lacks is None else self.lacks(options))


class StoragePlugin(BackendPlugin, frozen=True, kw_only=True):
    """A backend that keeps sessions."""


class LockingPlugin(BackendPlugin, frozen=True, kw_only=True):
    """A backend that keeps locks. One that keeps sessions too does both in one step."""


# Ids -------------------------------------------------------------------------

_random = random.Random()
if hasattr(os, "register_at_fork"):  # a child must not repeat its parent's ids
    os.register_at_fork(after_in_child=_random.seed)


def new_id() -> int:
    """A new id of an operation or a ticket: 63 random bits, never 0."""
    return _random.getrandbits(63) or 1
