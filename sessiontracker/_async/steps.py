"""What the calls of a tracker are made of: names resolved, proofs of locks, what to remember."""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import UNSET, UnsetType

from ..binding import Binding
from ..contract import new_id
from ..durations import Duration, duration_ms
from ..errors import LockError, SessionError
from ..events import (
    SessionEvent,
    SessionStarted,
)
from ..lock import SessionLock
from ..operations import (
    Address,
    Hold,
    LimitReached,
    Meta,
    Outcome,
    Saved,
    Start,
)
from ..refusals import refusal
from ..session import Session, address_of, attach, key_of, kind_of, lock_of
from .keeper import AsyncKeeper, AsyncStore
from .locks import AsyncTarget
from .runtime import AsyncSignal

__all__ = ["AsyncTrackerSteps"]

S = TypeVar("S", bound=Session)
Lock = SessionLock[AsyncSignal]


class AsyncTrackerSteps:
    """A tracker, before it says what can be asked of it."""

    _stores: dict[type[Session], AsyncStore[Any]]
    _keeper: AsyncKeeper

    async def _store(self, type: type[S]) -> AsyncStore[S]:
        """Where sessions of ``type`` are, checked and bound at its first use."""
        raise NotImplementedError

    async def _named(
        self,
        what: type[S] | S,
        key: str | None,
        id: str | None,
        owner: str | None,
    ) -> tuple[AsyncStore[S], Address, str | None, S | None]:
        """The store, the address and the key that a call names, and the session if it did."""
        kind = kind_of(what)
        store = self._stores.get(kind) or await self._store(kind)
        address, named = self._placed(store, what, key, id, owner)
        return store, address, named, None if isinstance(what, type) else what

    def _placed(
        self,
        store: AsyncStore[S],
        what: type[S] | S,
        key: str | None,
        id: str | None,
        owner: str | None,
    ) -> tuple[Address, str | None]:
        """The address and the key that a call names, of a session that is in ``store``."""
        if isinstance(what, type):
            return store.binding.address(key, id, owner), key
        if key is not None or id is not None or owner is not None:
            raise TypeError("a session names itself: leave key, id= and owner= out")
        return store.binding.started(what)[0], key_of(what) or None

    async def _to_start(
        self,
        session: S,
        idle_timeout: Duration | UnsetType | None,
        absolute_timeout: Duration | UnsetType | None,
        lock: Lock | None,
        read: bool,
    ) -> tuple[AsyncStore[S], Address, str, Start]:
        store = await self._store(type(session))
        binding, settings = store.binding, store.binding.settings
        address, key = binding.address_to_start(session)
        idle, absolute = settings.idle_timeout, settings.absolute_timeout
        if idle_timeout is not UNSET:
            idle = duration_ms(idle_timeout, "idle_timeout")
        if absolute_timeout is not UNSET:
            absolute = duration_ms(absolute_timeout, "absolute_timeout")
        hold = self._hold(address, session, lock)
        owner = session.owner
        operation = binding.start(
            address, session, new_id(), hold, idle, absolute, owner=owner, read=read
        )
        return store, address, key, operation

    def _start_missing(
        self,
        store: AsyncStore[S],
        address: Address,
        key: str | None,
        owner: str | None,
        missing: S,
    ) -> Start:
        binding, settings = store.binding, store.binding.settings
        if type(missing) is not binding.type:
            raise TypeError(f"missing= takes a {binding.type.__name__}, as get_locked() gives")
        own = key_of(missing)
        if own and own != key:
            raise SessionError(
                "missing= has another key than get_locked() asks for: leave its key out"
            )
        whose = missing.owner or owner or ""
        if whose and binding.owner_address(whose).scope != address.scope:
            raise SessionError(
                "missing= has another owner than get_locked() asks for: leave its owner out, and "
                "name it with owner="
            )
        idle, absolute = settings.idle_timeout, settings.absolute_timeout
        return binding.start(address, missing, new_id(), None, idle, absolute, owner=whose)

    def _target(
        self,
        store: AsyncStore[S],
        what: type[S] | S,
        key: str | None,
        id: str | None,
        owner: str | None,
        lease: Duration | UnsetType,
        wait: Duration | UnsetType | None,
    ) -> AsyncTarget[S]:
        address, named = self._placed(store, what, key, id, owner)
        settings = store.binding.settings
        lease_ms = settings.lock_lease
        if lease is not UNSET:
            given = duration_ms(lease, "lease")
            if given is None:
                raise LockError("lease= cannot be off: a lock that nobody renews must end")
            lease_ms = given
        wait_ms = settings.lock_wait
        if wait is not UNSET:
            wait_ms = duration_ms(wait, "wait", zero=True)
        return AsyncTarget(address, named, lease_ms, None if wait_ms is None else wait_ms / 1000)

    def _hold(self, address: Address, session: Session | None, lock: Lock | None) -> Hold | None:
        """What proves that the caller holds the lock, if it says so. Raises: LockLostError."""
        if lock is None:
            if session is None:
                return None
            held: Lock | None = lock_of(session)
            if held is None or held._address != address:
                return None
            lock = held
        elif lock._address != address:
            raise LockError(f"lock= is {lock!r}, and this call is about another session")
        lock.check()
        return lock._hold

    def _started(
        self,
        binding: Binding[S],
        session: S,
        address: Address,
        key: str,
        saved: Saved,
        baseline: bytes,
    ) -> None:
        attach(session, address, key, saved.meta, lock_of(session))
        binding.show_shared(session, saved.shared)
        self._saved(session, baseline)
        if self._keeper.observers:
            if saved.ended:
                self._keeper.tell_of_limit(address, saved.meta.owner, binding.limit, saved.ended)
            self._keeper.tell(SessionStarted, address, saved.meta)

    def _refused(
        self,
        outcome: Outcome,
        binding: Binding[S],
        address: Address,
        expected: int = 0,
        *,
        owner: str = "",
    ) -> Exception:
        """The error for ``outcome``, after the observers were told what concerns them."""
        if type(outcome) is LimitReached and self._keeper.observers:
            self._keeper.tell_of_limit(address, owner, binding.limit)
        return refusal(outcome, binding, address, expected)

    def _tell(
        self, kind: type[SessionEvent], address: Address, meta: Meta | None, **more: Any
    ) -> None:
        if self._keeper.observers:
            self._keeper.tell(kind, address, meta, **more)

    def _baseline(self, binding: Binding[S], session: S) -> bytes:
        """How a locked session looks as it is saved, so that leaving its block can compare."""
        return b"" if lock_of(session) is None else binding.codec.snapshot(session)

    def _saved(self, session: Session, baseline: bytes) -> None:
        lock: Lock | None = lock_of(session)
        if lock is not None:
            lock._baseline = baseline
            if lock._address == address_of(session):
                lock._ended = ""  # what the holder ended it has begun again

    def _ended(self, lock: Lock | None, how: str) -> None:
        if lock is not None:
            lock._ended = how
