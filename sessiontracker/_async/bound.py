"""A tracker whose calls take part in a transaction of the caller's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn, TypeVar

from ..contract import Asked
from ..errors import CapabilityError
from ..events import Event, Observer, SessionLimitReached, notify
from ..lock import SessionLock
from ..operations import Operation, Outcome
from ..session import Session, lock_of
from .asking import AsyncAsker
from .calls import AsyncSessionCalls
from .core import AsyncTrackerCore
from .keeper import AsyncKeeper, AsyncStore
from .runtime import AsyncSignal, Work

__all__ = ["AsyncBoundTracker"]

S = TypeVar("S", bound=Session)
T = TypeVar("T")


class AsyncBoundTracker(AsyncSessionCalls):
    """What ``tracker.bind(connection)`` gives: calls within the caller's own transaction.

    What a call is about stays locked until the transaction ends, which is the caller's to
    commit. Refusals are those of any tracker, and leave the transaction as it was; errors of
    the database are raised as its client raises them, and nothing is repeated. Observers are
    told when it is known to be committed. A session that was saved in a transaction that was
    rolled back is stale.

    All calls raise CapabilityError for a type whose backend has no such transactions, and
    ConfigurationError for a connection to another database or in autocommit mode.
    """

    def __init__(self, tracker: AsyncTrackerCore, connection: object) -> None:
        self._tracker = tracker
        self._connection = connection
        self._stores = {}
        self._askers: dict[str, _AsyncBoundAsker] = {}  # by the name of the session type
        self._keeper = self._own = _AsyncBoundKeeper(tracker._keeper, self._when_over)

    async def _store(self, type: type[S]) -> AsyncStore[S]:
        tracker = self._tracker
        store = tracker._stores.get(type) or await tracker._store(type)
        binding = store.binding
        asker = self._askers.get(binding.name)
        if asker is None:
            asker = _AsyncBoundAsker(store.storage, self._connection, binding.name)
            self._askers[binding.name] = asker
        self._own.watch(tracker._keeper.observers)
        return AsyncStore(binding, asker, store.locking)

    def _when_over(
        self, type: str, committed: Callable[[], None], rolled_back: Callable[[], None]
    ) -> None:
        self._askers[type].when_over(committed, rolled_back)

    # Locks -------------------------------------------------------------------

    def lock(self, *what: Any, **settings: Any) -> NoReturn:
        """Raises: CapabilityError."""
        raise CapabilityError(
            "a lock cannot be taken within a transaction, which would keep everybody from it, "
            "waiting or not, until it ends: take it with the tracker itself before the "
            "transaction begins, and pass lock= here, or the session that get_locked() gave"
        )

    get_locked = lock

    def _saved(self, session: Session, baseline: bytes) -> None:
        self._note(lock_of(session))
        super()._saved(session, baseline)

    def _ended(self, lock: SessionLock[AsyncSignal] | None, how: str) -> None:
        self._note(lock)
        super()._ended(lock, how)

    def _note(self, lock: SessionLock[AsyncSignal] | None) -> None:
        """Have ``lock`` know what it knows now again, if the transaction is rolled back."""
        if lock is None:
            return
        baseline, ended = lock._baseline, lock._ended

        def restore() -> None:
            lock._baseline, lock._ended = baseline, ended

        self._when_over(lock._address.type, _nothing, restore)


def _nothing() -> None:
    pass


class _AsyncBoundAsker(AsyncAsker):
    """A backend within the caller's transaction: asked one thing at a time, and only once."""

    def __init__(self, asker: AsyncAsker, connection: object, type: str) -> None:
        transaction = asker.backend.bind(connection)
        if transaction is None:
            raise CapabilityError(
                f"{type!r} sessions are stored in backend {asker.name!r}, which cannot take part "
                "in a transaction of yours: use the tracker itself, or store them in the database "
                'with use = "sql"'
            )
        self.name = asker.name
        self.backend = asker.backend
        self.at_once = None
        self.when_over = transaction.when_over
        self._transaction = transaction

    async def ask(self, operation: Asked) -> Outcome:
        assert isinstance(operation, Operation)
        return await self._transaction.execute(operation)

    async def ask_all(self, operations: Sequence[Asked]) -> list[Outcome]:
        """In the order of their addresses, so that two who ask for the same wait for each other
        instead of both for ever."""
        outcomes: dict[int, Outcome] = {}
        for index in sorted(range(len(operations)), key=lambda n: _place(operations[n])):
            outcomes[index] = await self.ask(operations[index])
        return [outcomes[index] for index in range(len(operations))]

    async def ask_once(self, operations: Sequence[Asked]) -> list[Outcome]:
        return await self.ask_all(operations)


def _place(operation: Asked) -> tuple[str, str, str]:
    address = operation.address
    assert address is not None
    return address.type, address.scope, address.key


_WhenOver = Callable[[str, Callable[[], None], Callable[[], None]], None]


class _AsyncBoundKeeper(AsyncKeeper):
    """Tells observers of what was committed, once it is. No lock is held here."""

    def __init__(self, keeper: AsyncKeeper, when_over: _WhenOver) -> None:
        super().__init__(keeper.holder, keeper.tasks)
        self._when_over = when_over
        self._watching: tuple[Observer, ...] = ()

    def watch(self, observers: tuple[Observer, ...]) -> None:
        """It is ``observers`` who are to be told."""
        self._watching = observers
        self.observers = (self,) if observers else ()

    def notify(self, event: Event) -> None:
        if isinstance(event, SessionLimitReached) and not event.finished:
            notify(self._watching, event)  # it was refused, whatever becomes of the transaction
        else:
            self._when_over(event.type, partial(notify, self._watching, event), _nothing)

    def ask_behind(self, asker: AsyncAsker, operation: Operation) -> None:
        """Nothing is asked behind the caller's back: what was done is the transaction's to undo."""

    async def to_the_end(self, work: Work[T]) -> T:
        """Nothing is done behind it, either."""
        return await work()
