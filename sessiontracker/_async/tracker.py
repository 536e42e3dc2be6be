"""AsyncSessionTracker: everything that a user can ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

from msgspec import UNSET, UnsetType

from ..contract import Capability
from ..durations import Duration
from ..errors import LockError
from ..lock import SessionLock
from ..operations import Page, Scan
from ..refusals import store_error
from ..session import Session, lock_of
from .bound import AsyncBoundTracker
from .calls import AsyncSessionCalls
from .core import AsyncTrackerCore
from .keeper import AsyncStore
from .locks import AsyncLockContext, AsyncLockedSession, AsyncTarget
from .runtime import AsyncSignal

__all__ = ["AsyncSessionTracker"]

S = TypeVar("S", bound=Session)
Lock = SessionLock[AsyncSignal]

_PAGE = 500


class AsyncSessionTracker(AsyncTrackerCore, AsyncSessionCalls):
    """Distributed, typed sessions::

        async with AsyncSessionTracker.from_toml("sessions.toml") as tracker:
            await tracker.start(Checkout(key="order-42", items=["book"]))

    Without arguments, sessions live in this process's memory. A tracker takes a
    `Config`, a mapping of its shape, or one backend for everything
    (``backend="sql", url=...``). ``types=[...]`` has these session types checked when it
    opens; others are checked at their first use.

    Wherever ``(Type, key)`` stands, ``id=`` may stand in place of the key, ``owner=`` says whose
    a key of one's own is, and a session may stand in place of both; also in place of ``(Type,
    owner)``. Durations are ``"30m"``, seconds, a timedelta, or ``"off"`` (None).
    All calls raise BackendUnavailableError if the backend cannot be reached (nothing was
    done), and those that write OutcomeUnknownError if no answer came.
    """

    def bind(self, connection: object) -> AsyncBoundTracker:
        """A tracker whose calls take part in the transaction that is open on ``connection``::

            async with engine.begin() as connection:
                await connection.execute(insert(orders).values(id=42))
                await tracker.bind(connection).finish(Checkout, "order-42")

        Of the SQL backend, for sessions that are in the same database; SQLAlchemy's
        AsyncConnection or AsyncSession. It goes on for as long as the connection is open.
        """
        return AsyncBoundTracker(self, connection)

    async def scan(self, kind: type[S], *, finished: bool = False) -> AsyncIterator[S]:
        """All sessions of a type, active or finished, in pages, without blocking the store.

        What starts or ends meanwhile may be among them or not. A session with a secret key
        has ``key == ""``; its ``id`` names it.

        Raises: CapabilityError, SessionDecodeError.
        """
        store = await self._store(kind)
        binding = store.binding
        self._need(store, Capability.SCAN, "scan()")
        cursor = ""
        while True:
            page = await store.storage.ask(Scan(binding.name, finished, cursor, _PAGE))
            if type(page) is not Page:
                raise store_error(page)
            for item in page.items:
                yield binding.decoded(item.address, None, item)
            cursor = page.cursor
            if not cursor:
                return

    # Locks -------------------------------------------------------------------

    def lock(
        self,
        what: type[S] | S,
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
        lease: Duration | UnsetType = UNSET,
        wait: Duration | UnsetType | None = UNSET,
    ) -> AsyncLockContext[S]:
        """The lock of a key, whether or not there is a session, as a context manager.

        Inside ``async with`` it gives a `SessionLock`, renewed until the block is left. It is
        waited for ``wait`` (0: not at all, None: for ever).

        Raises: LockNotAcquiredError; LockLostError, on leaving.
        """

        def target(store: AsyncStore[S]) -> AsyncTarget[S]:
            return self._target(store, what, key, id, owner, lease, wait)

        return AsyncLockContext(self, what, target)

    def get_locked(
        self,
        what: type[S] | S,
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
        lease: Duration | UnsetType = UNSET,
        wait: Duration | UnsetType | None = UNSET,
        missing: S | None = None,
    ) -> AsyncLockedSession[S]:
        """A session under its lock, as a context manager::

            async with tracker.get_locked(Checkout, "order-42") as checkout:
                checkout.paid = True

        Leaving the block saves what changed and lets the lock go, in one step; an exception
        saves nothing. ``missing`` is started if there is no active session.

        Raises: as `get` and `lock`; on leaving, SessionNotFoundError or SessionFinishedError
        if somebody else ended the session.
        """

        def target(store: AsyncStore[S]) -> AsyncTarget[S]:
            target = self._target(store, what, key, id, owner, lease, wait)
            if missing is not None:
                start = self._start_missing(store, target.address, target.key, owner, missing)
                target.missing = missing, start
            return target

        return AsyncLockedSession(self, what, target)

    def lock_of(self, session: Session) -> Lock:
        """The lock under which `get_locked` gave this very object.

        Raises: LockError if it did not, or its block was left.
        """
        lock: Lock | None = lock_of(session)
        if lock is None:
            raise LockError(
                f"this {type(session).__name__} holds no lock: only the very object that "
                "get_locked() gave does, inside its block"
            )
        return lock
