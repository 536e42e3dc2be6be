"""Taking a session's lock, holding it, and leaving it in every way there is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, TypeVar

from ..contract import new_id
from ..errors import (
    LockLostError,
    LockNotAcquiredError,
    SessionFinishedError,
    SessionNotFoundError,
    SessionTrackerError,
)
from ..events import (
    LockAcquired,
    LockEvent,
    LockReleased,
    SessionStarted,
    SessionUpdated,
)
from ..events import LockLost as LockLostEvent
from ..lock import SessionLock
from ..operations import (
    Acquire,
    Address,
    Broken,
    Failed,
    Found,
    Granted,
    Hold,
    IsFinished,
    Locked,
    Lost,
    Missing,
    NoAnswer,
    Outcome,
    Queued,
    Read,
    Release,
    Released,
    Saved,
    Stamp,
    Start,
    Unavailable,
    Unknown,
    Write,
)
from ..refusals import lock_lost, refusal
from ..session import Session, attach, key_of, kind_of, meta_of, set_lock, set_meta
from .asking import AsyncAsker
from .core import AsyncTrackerCore
from .keeper import AsyncKeeper, AsyncStore
from .renewals import AsyncHeld
from .runtime import AsyncSignal, current, monotonic

__all__ = ["AsyncLockContext", "AsyncLockedSession", "AsyncTarget"]

S = TypeVar("S", bound=Session)

_log = logging.getLogger("sessiontracker")

# Refusals after which there is neither lock nor ticket.
_LEFT_NOTHING = (Locked, Missing, IsFinished, Lost)
_LATE = 2 / 3000  # s for each ms of a lease: an answer that takes longer leaves too little of it
_MOST_LATE = 3  # such answers to one who asks
# Outcomes of a last step that say nothing of the lock.
_SETTLED_NOTHING = (Unavailable, NoAnswer, Failed, Broken)


class AsyncTarget(Generic[S]):
    """What a block is about: whose lock, for how long, and what to start if nothing is there."""

    __slots__ = ("address", "key", "lease", "missing", "wait")

    def __init__(
        self,
        address: Address,
        key: str | None,
        lease: int,
        wait: float | None,
        missing: tuple[S, Start] | None = None,
    ) -> None:
        self.address = address
        self.key = key
        self.lease = lease  # ms
        self.wait = wait  # s; None: for ever
        self.missing = missing


class AsyncLockContext(Generic[S]):
    """The lock of a key, held inside ``async with``. Made by ``tracker.lock()``."""

    __slots__ = (
        "_address",
        "_held",
        "_keeper",
        "_lock",
        "_resolve",
        "_store",
        "_target",
        "_tracker",
        "_what",
    )

    _store: AsyncStore[S]
    _keeper: AsyncKeeper

    def __init__(
        self,
        tracker: AsyncTrackerCore,
        what: type[S] | S,
        resolve: Callable[[AsyncStore[S]], AsyncTarget[S]],
    ) -> None:
        self._tracker = tracker
        self._what = what
        self._resolve = resolve

    async def __aenter__(self) -> SessionLock[AsyncSignal]:
        await self._acquire()
        return self._lock

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(error)
        if error is not None:
            await self._unlock(error)
            return
        outcome = await self._release(0)
        if type(outcome) is not Released:
            raise refusal(outcome, self._store.binding, self._address)
        self._tell(LockReleased)

    async def _acquire(self, *, reads: bool = False) -> Granted:
        """Take the lock, or raise. Whatever strikes on the way leaves neither lock nor ticket.

        With ``reads``, it brings the session, if locks are where sessions are.
        """
        tracker, kind = self._tracker, kind_of(self._what)
        store = self._store = tracker._stores.get(kind) or await tracker._store(kind)
        keeper = self._keeper = tracker._keeper
        keeper.tasks.check()
        target = self._target = self._resolve(store)
        address = self._address = target.address
        ticket = new_id()
        began = monotonic()
        try:
            sent, outcome = await self._asked(ticket, reads and store.fused, began)
        except BaseException:
            keeper.let_go(store, address, ticket)
            raise
        finally:
            store.locking.waiters.discard(ticket)
        if type(outcome) is not Granted:
            if not isinstance(outcome, _LEFT_NOTHING):
                keeper.let_go(store, address, ticket)
            if type(outcome) is Locked:
                raise self._not_acquired(outcome.holder, monotonic() - began)
            raise refusal(outcome, store.binding, address)
        settings = store.binding.settings
        hold = Hold(ticket, outcome.token, not store.fused, settings.token_retention)
        deadline = sent + outcome.expires_in / 1000
        lock = self._lock = SessionLock(address, hold, deadline, AsyncSignal)
        self._held = AsyncHeld(lock, store.locking, target.lease, current(), sent)
        keeper.hold(self._held)
        if keeper.observers:
            self._tell(LockAcquired, waited=sent - began)
        return outcome

    async def _asked(self, ticket: int, read: bool, began: float) -> tuple[float, Outcome]:
        """Ask and wait until there is more to say than to wait: that, and when it was asked.

        A lease that is over, or nearly so, by the time that its answer is here is asked for once
        more, whatever the time; and more often while there is time to wait. It is the ticket's own
        as yet, or else others had their turn.
        """
        store, target, keeper = self._store, self._target, self._keeper
        address, settings = target.address, store.binding.settings
        start = target.missing[1] if read and target.missing is not None else None
        until = None if target.wait is None else began + target.wait
        waiters = store.locking.waiters
        late = 0
        while True:
            sent = monotonic()
            outcome = await store.locking.ask(
                Acquire(
                    address,
                    ticket,
                    target.lease,
                    keeper.holder,
                    store.locking.look_every,
                    queue=until is None or sent < until,
                    read=read,
                    touch_every=settings.touch_every,
                    start=start,
                    keep=settings.token_retention,
                )
            )
            if type(outcome) is Granted:
                now = monotonic()
                if now - sent < outcome.expires_in * _LATE:
                    return sent, outcome
                late += 1
                if late == 1 or (late < _MOST_LATE and (until is None or now < until)):
                    continue
                if now - sent < outcome.expires_in / 1000:
                    return sent, outcome
                raise lock_lost(store.binding, address)
            if type(outcome) is not Queued:
                return sent, outcome
            if ticket not in waiters:
                waiters.add(ticket)
                if keeper.is_held_here(address):
                    _log.warning(
                        "the lock of %r session %r is wanted by the very task that holds it: locks "
                        "are not reentrant, and this one waits for itself",
                        address.type,
                        store.binding.label(address),
                    )
            pause = outcome.look_in / 1000
            if until is not None:
                pause = max(0.0, min(pause, until - monotonic()))
            await store.locking.backend.wait(ticket, pause)

    def _not_acquired(self, holder: str, waited: float) -> LockNotAcquiredError:
        return LockNotAcquiredError(
            f"the lock of the {self._address.type!r} session "
            f"{self._store.binding.label(self._address)!r} was not free within {waited:.3g} s: "
            f"{holder or 'somebody'} holds it; wait longer (wait=, lock_wait), or try again later",
            holder,
            waited,
        )

    def _leave(self, error: BaseException | None) -> None:
        """The body is over, with ``error``. Raises: LockLostError, for that or for no error."""
        self._keeper.drop(self._held)
        interrupted = self._held.end(error)
        try:
            if error is None:
                self._lock.check()
        except LockLostError:
            self._tell(LockLostEvent)
            self._let_go()
            raise
        finally:
            self._lock._release()
        if interrupted:
            self._tell(LockLostEvent)
            self._let_go()
            raise lock_lost(self._store.binding, self._address) from error

    async def _give_up(self, error: BaseException) -> None:
        """The block cannot even begin."""
        self._leave(error)
        await self._unlock(error)

    async def _unlock(self, error: BaseException) -> None:
        """The lock is let go for ``error``, and nothing is saved."""
        if not isinstance(error, Exception):
            self._let_go()
            return
        # Whoever handles the error finds the lock free; what fails here fails silently.
        ticket = self._lock._hold.ticket
        with suppress(SessionTrackerError):
            if await self._keeper.let_go_now(self._store, self._address, ticket):
                self._tell(LockReleased)

    def _tell(self, kind: type[LockEvent], **more: Any) -> None:
        if self._keeper.observers:
            self._keeper.tell(kind, self._address, None, token=self._lock.token, **more)

    def _let_go(self) -> None:
        self._keeper.let_go(self._store, self._address, self._lock._hold.ticket)

    async def _release(self, life: int) -> Outcome:
        outcome = await self._settled(
            self._store.locking, Release(self._address, self._lock._hold.ticket, life)
        )
        # It was let go before, and others have held it since; without a life, that is all asked.
        return Released() if type(outcome) is Unknown and not life else outcome

    async def _settled(self, asker: AsyncAsker, operation: Release | Write | Read) -> Outcome:
        """The outcome of a step that ends the block; without one, the lock is let go yet."""
        try:
            outcome = await asker.ask(operation)
        except BaseException:
            self._let_go()
            raise
        if isinstance(outcome, _SETTLED_NOTHING):
            self._let_go()
        return outcome


class AsyncLockedSession(AsyncLockContext[S]):
    """A session under its lock, inside ``async with``. Made by ``tracker.get_locked()``.

    A clean exit saves what changed and lets the lock go, in one step; an exception saves
    nothing and lets it go.
    """

    __slots__ = ("_session",)

    async def __aenter__(self) -> S:  # type: ignore[override]
        granted = await self._acquire(reads=True)
        binding, missing, key = self._store.binding, self._target.missing, self._target.key
        found = granted.found
        if found is None:
            found = await self._read(None if missing is None else missing[1])
        elif granted.ended and self._keeper.observers:
            owner, limit = found.meta.owner, binding.limit
            self._keeper.tell_of_limit(self._address, owner, limit, granted.ended)
        try:
            if missing is not None and found.meta.write == missing[1].id:
                session = missing[0]
                attach(session, self._address, key or key_of(session), found.meta)
                binding.show_shared(session, found.shared)
                if self._keeper.observers:
                    self._keeper.tell(SessionStarted, self._address, found.meta)
            else:
                session = binding.decoded(self._address, key, found)
            self._session = session
            self._lock._baseline = binding.codec.snapshot(session)
            set_lock(session, self._lock)
        except BaseException as error:
            await self._give_up(error)
            raise
        return session

    async def _read(self, start: Start | None) -> Found:
        """Where the lock lives elsewhere: read under it, which makes the storage know its token."""
        binding, address, hold = self._store.binding, self._address, self._lock._hold
        operation: Read | Start
        if start is None:
            touch_every = binding.touch_every
            operation = Read(address, slide=True, touch_every=touch_every, lock=hold)
        else:
            operation = Start(
                address,
                start.id,
                start.payload,
                idle=start.idle,
                absolute=start.absolute,
                lock=hold,
                read=True,
                touch_every=start.touch_every,
                owner=start.owner,
                limit=start.limit,
            )
        try:
            outcome = await self._store.storage.ask(operation)
            if type(outcome) is Saved and start is not None:
                return Found(outcome.meta, start.payload, outcome.shared)
            if type(outcome) is Found:
                return outcome
            raise refusal(outcome, binding, address)
        except BaseException as error:
            await self._give_up(error)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        session, lock = self._session, self._lock
        set_lock(session, None)
        self._leave(error)
        if error is not None:
            await self._unlock(error)
            return
        binding = self._store.binding
        meta = meta_of(session)
        assert meta is not None
        try:
            binding.check_shared(session)
            changed = binding.codec.snapshot(session) != lock._baseline
            payload = binding.codec.encode(session) if changed else b""
        except BaseException as unencodable:
            await self._unlock(unencodable)
            raise
        if lock._ended:
            outcome = await self._release(0)
            if changed and type(outcome) is Released:
                raise self._too_late(lock._ended)
        elif changed:
            outcome = await self._save(session, meta.stamp, payload)
        else:
            outcome = await self._unchanged(meta.life)
        if type(outcome) is not Released and type(outcome) is not Saved:
            raise refusal(outcome, binding, self._address, meta.version)
        self._tell(LockReleased)

    async def _save(self, session: S, stamp: Stamp, payload: bytes) -> Outcome:
        hold, fused = self._lock._hold, self._store.fused
        outcome = await self._settled(
            self._store.storage,
            Write(self._address, new_id(), stamp, payload, hold, release=fused),
        )
        if type(outcome) is Saved:
            set_meta(session, outcome.meta)
            if self._keeper.observers:
                self._keeper.tell(SessionUpdated, self._address, outcome.meta)
        if not fused:
            # Whatever becomes of it: the storage knew of no newer holder, so what is saved is.
            await self._release(0)
        return outcome

    async def _unchanged(self, life: int) -> Outcome:
        if self._store.fused:
            return await self._release(life)
        found = await self._settled(self._store.storage, Read(self._address, lock=self._lock._hold))
        released = await self._release(0)
        if type(released) is not Released or type(found) is Lost:
            return released if type(released) is not Released else found
        if type(found) is Found:
            return released if found.meta.life == life else Missing()
        return found

    def _too_late(self, ended: str) -> SessionTrackerError:
        label = self._store.binding.label(self._address)
        message = (
            f"the {self._address.type!r} session {label!r} was changed inside get_locked() after "
            f"it was {ended} there: that change is not saved; make it before"
        )
        if ended == "finished":
            return SessionFinishedError(message)
        return SessionNotFoundError(message)
