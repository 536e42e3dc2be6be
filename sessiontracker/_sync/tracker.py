# Generated from sessiontracker/_async/tracker.py by scripts/generate_sync.py: edit that.
"""SessionTracker: everything that a user can ask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar, overload

from msgspec import UNSET, UnsetType

from ..binding import Binding
from ..contract import Capability, new_id
from ..durations import Duration
from ..errors import LockError, SessionNotFoundError
from ..events import (
    SessionDeleted,
    SessionFinished,
    SessionResumed,
    SessionRotated,
    SessionUpdated,
)
from ..lock import SessionLock
from ..operations import (
    FOREVER,
    Address,
    Delete,
    Deleted,
    Finish,
    Found,
    Hold,
    IsFinished,
    Missing,
    NoAnswer,
    Outcome,
    Page,
    Read,
    Resume,
    Rotate,
    Saved,
    Scan,
    Start,
    Touch,
    Unknown,
    Write,
)
from ..refusals import refusal, store_error
from ..session import Session, attach, lock_of, meta_of, refill, set_meta
from .keeper import Store
from .locks import LockContext, LockedSession, Target
from .owners import OwnerCalls
from .runtime import Signal

__all__ = ["SessionTracker"]

S = TypeVar("S", bound=Session)
Lock = SessionLock[Signal]

_PAGE = 500


class SessionTracker(OwnerCalls):
    """Distributed, typed sessions::

        with SessionTracker.from_toml("sessions.toml") as tracker:
            tracker.start(Checkout(key="order-42", items=["book"]))

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

    # The life of a session ---------------------------------------------------

    def start(
        self,
        session: S,
        *,
        idle_timeout: Duration | UnsetType | None = UNSET,
        absolute_timeout: Duration | UnsetType | None = UNSET,
        lock: Lock | None = None,
    ) -> S:
        """Add an active session, and return it with its metadata filled in.

        A session without a key of its own is given a secret key.

        Raises: SessionInProgressError (``.session`` is the active one), SessionLockedError,
        SessionLimitError, SessionEncodeError, SharedStateError, InvalidKeyError.
        """
        store, address, key, operation = self._to_start(
            session, idle_timeout, absolute_timeout, lock, read=False
        )
        baseline = self._baseline(store.binding, session)
        outcome = store.storage.ask(operation)
        if type(outcome) is not Saved:
            raise self._refused(outcome, store.binding, address, owner=operation.owner)
        self._started(store.binding, session, address, key, outcome, baseline)
        return session

    def get_or_start(
        self,
        session: S,
        *,
        idle_timeout: Duration | UnsetType | None = UNSET,
        absolute_timeout: Duration | UnsetType | None = UNSET,
        lock: Lock | None = None,
    ) -> S:
        """The active session of this key, or this one, started; in one step.

        Raises: as `start`, but SessionInProgressError.
        """
        store, address, key, operation = self._to_start(
            session, idle_timeout, absolute_timeout, lock, read=True
        )
        baseline = self._baseline(store.binding, session)
        outcome = store.storage.ask(operation)
        if type(outcome) is Found:
            return store.binding.decoded(address, key, outcome)
        if type(outcome) is not Saved:
            raise self._refused(outcome, store.binding, address, owner=operation.owner)
        self._started(store.binding, session, address, key, outcome, baseline)
        return session

    @overload
    def get(
        self,
        kind: type[S],
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
        touch: bool = True,
    ) -> S: ...
    @overload
    def get(self, session: S, /, *, touch: bool = True) -> S: ...
    def get(
        self,
        what: type[S] | S,
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
        touch: bool = True,
    ) -> S:
        """Read an active session, and begin its idle timeout anew (not with ``touch=False``).

        Raises: SessionNotFoundError, SessionFinishedError, SessionDecodeError.
        """
        # The hottest of all calls: what is bound already is not asked for.
        store = self._stores.get(what) if isinstance(what, type) else None
        if store is not None:
            address = store.binding.address(key, id, owner)
        else:
            store, address, key, _ = self._named(what, key, id, owner)
        binding: Binding[S] = store.binding
        operation = Read(address, False, touch, binding.touch_every)
        outcome = store.storage.ask(operation)
        if type(outcome) is Found:
            return binding.decoded(address, key, outcome)
        raise refusal(outcome, binding, address)

    def get_many(
        self, kind: type[S], keys: Iterable[str], *, owner: str | None = None
    ) -> dict[str, S]:
        """Those of the active sessions that are there, by key; read as by `get`.

        Raises: SessionDecodeError.
        """
        store = self._store(kind)
        binding = store.binding
        addresses: dict[str, Address] = {}
        for key in keys:
            address = binding.find(key, owner)
            if address is not None:
                addresses[key] = address
        outcomes = store.storage.ask_all(
            [Read(address, False, True, binding.touch_every) for address in addresses.values()]
        )
        sessions: dict[str, S] = {}
        for (key, address), outcome in zip(addresses.items(), outcomes, strict=True):
            if type(outcome) is Found:
                sessions[key] = binding.decoded(address, key, outcome)
            elif type(outcome) is not Missing and type(outcome) is not IsFinished:
                raise refusal(outcome, binding, address)
        return sessions

    @overload
    def touch(
        self,
        kind: type[S],
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
    ) -> None: ...
    @overload
    def touch(self, session: Session, /) -> None: ...
    def touch(
        self,
        what: type[S] | S,
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
    ) -> None:
        """Begin the idle timeout anew; moves no data.

        Raises: SessionNotFoundError (of a session: also if another was started since),
        SessionFinishedError.
        """
        store, address, _, session = self._named(what, key, id, owner)
        meta = None if session is None else meta_of(session)
        outcome = store.storage.ask(Touch(address, 0 if meta is None else meta.life))
        if type(outcome) is not Saved:
            raise refusal(outcome, store.binding, address)
        if session is not None and meta is not None and outcome.meta.stamp == meta.stamp:
            set_meta(session, outcome.meta)

    def update(self, session: S, *, lock: Lock | None = None) -> S:
        """Write the session if nobody wrote it since it was read; return it, one version on.

        Raises: StaleSessionError, SessionNotFoundError, SessionFinishedError,
        SessionLockedError, LockLostError, SessionEncodeError, SharedStateError.
        """
        store = self._store(type(session))
        binding = store.binding
        address, meta = binding.started(session)
        hold = self._hold(address, session, lock)
        payload = binding.encode(session)
        baseline = self._baseline(binding, session)
        outcome = store.storage.ask(Write(address, new_id(), meta.stamp, payload, hold))
        if type(outcome) is not Saved:
            raise refusal(outcome, binding, address, meta.version)
        set_meta(session, outcome.meta)
        self._saved(session, baseline)
        self._tell(SessionUpdated, address, outcome.meta)
        return session

    @overload
    def finish(
        self,
        kind: type[S],
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
        lock: Lock | None = None,
    ) -> S: ...
    @overload
    def finish(self, session: S, /, *, lock: Lock | None = None) -> S: ...
    def finish(
        self,
        what: type[S] | S,
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
        lock: Lock | None = None,
    ) -> S:
        """Make an active session a finished one, kept for ``finished_retention``; return it.

        A session is saved and finished in one step, checked as by `update`.

        Raises: SessionNotFoundError, SessionFinishedError, SessionLockedError; of a session,
        also as `update`.
        """
        store, address, key, session = self._named(what, key, id, owner)
        binding = store.binding
        kept = binding.settings.finished_retention
        retention = FOREVER if kept is None else kept
        hold = self._hold(address, session, lock)
        if session is None:
            outcome = store.storage.ask(Finish(address, new_id(), retention, lock=hold))
            if type(outcome) is not Found:
                raise refusal(outcome, binding, address)
            self._ended(lock, "finished")
            self._tell(SessionFinished, address, outcome.meta)
            return binding.decoded(address, key, outcome)
        meta = binding.started(session)[1]
        payload = binding.encode(session)
        baseline = self._baseline(binding, session)
        outcome = store.storage.ask(Finish(address, new_id(), retention, meta.stamp, payload, hold))
        if type(outcome) is not Saved:
            raise refusal(outcome, binding, address, meta.version)
        set_meta(session, outcome.meta)
        self._saved(session, baseline)
        self._ended(lock or lock_of(session), "finished")
        self._tell(SessionFinished, address, outcome.meta)
        return session

    @overload
    def get_finished(
        self,
        kind: type[S],
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
    ) -> S: ...
    @overload
    def get_finished(self, session: S, /) -> S: ...
    def get_finished(
        self,
        what: type[S] | S,
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
    ) -> S:
        """Read a finished session.

        Raises: SessionNotFoundError, SessionActiveError, SessionDecodeError.
        """
        store, address, key, _ = self._named(what, key, id, owner)
        outcome = store.storage.ask(Read(address, finished=True))
        if type(outcome) is Found:
            return store.binding.decoded(address, key, outcome)
        raise refusal(outcome, store.binding, address)

    @overload
    def resume(
        self,
        kind: type[S],
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
        lock: Lock | None = None,
    ) -> S: ...
    @overload
    def resume(self, session: S, /, *, lock: Lock | None = None) -> S: ...
    def resume(
        self,
        what: type[S] | S,
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
        lock: Lock | None = None,
    ) -> S:
        """Make a finished session active again, never over an active one; return it.

        A session that was given is filled with what is stored.

        Raises: SessionNotFoundError, SessionActiveError, SessionLockedError, SessionLimitError.
        """
        store, address, key, session = self._named(what, key, id, owner)
        binding = store.binding
        life = 0 if session is None else binding.started(session)[1].life
        hold = self._hold(address, session, lock)
        outcome = store.storage.ask(Resume(address, new_id(), life, hold, binding.limit))
        if type(outcome) is not Found:
            whose = owner or ("" if session is None else session.owner)
            raise self._refused(outcome, binding, address, owner=whose)
        resumed = binding.decoded(address, key, outcome)
        self._ended(lock, "")
        self._tell(SessionResumed, address, outcome.meta)
        if session is None:
            return resumed
        refill(session, resumed)
        self._saved(session, self._baseline(binding, session))
        return session

    @overload
    def delete(
        self,
        kind: type[S],
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
        lock: Lock | None = None,
    ) -> bool: ...
    @overload
    def delete(self, session: Session, /, *, lock: Lock | None = None) -> bool: ...
    def delete(
        self,
        what: type[S] | S,
        key: str | None = None,
        /,
        *,
        id: str | None = None,
        owner: str | None = None,
        lock: Lock | None = None,
    ) -> bool:
        """Remove the active and the finished session, whoever holds the lock.

        Returns whether there was one; of a session, whether that very one was there.
        """
        try:
            store, address, _, session = self._named(what, key, id, owner)
        except SessionNotFoundError:
            return False
        life = 0 if session is None else store.binding.started(session)[1].life
        outcome = store.storage.ask(Delete(address, new_id(), life))
        if type(outcome) is not Deleted:
            raise refusal(outcome, store.binding, address)
        if outcome.existed:
            self._ended(lock or (None if session is None else lock_of(session)), "deleted")
            self._tell(SessionDeleted, address, None)
        return outcome.existed

    def rotate(self, session: S, *, owner: str | None = None, lock: Lock | None = None) -> S:
        """Give the session a new secret key; the old key is dead at once. Returns it.

        With ``owner``, it is that owner's from now on, counts against its limit, and leaves
        behind what it shared before. Both timeouts go on as they stand. Where no transaction
        spans the two keys, as for another owner, the new one starts before the old one goes.

        Raises: as `update`; SessionLimitError.
        """
        store = self._store(type(session))
        binding = store.binding
        old, meta = binding.started(session)
        hold = self._hold(old, session, lock)
        new, key, whose = binding.address_to_rotate(session, owner)
        payload = binding.encode(session)
        baseline = self._baseline(binding, session)
        if new.slot == old.slot:
            outcome = store.storage.ask(Rotate(old, new_id(), meta.stamp, payload, new.key, hold))
        else:
            begin = Start(new, new_id(), payload, whose, adopt=meta, limit=binding.limit)
            outcome = self._moved(store, session, begin, key, hold)
        if type(outcome) is not Saved:
            raise self._refused(outcome, binding, old, meta.version, owner=whose)
        held = lock_of(session)
        attach(session, new, key, outcome.meta, held)
        if new.slot != old.slot:
            binding.show_shared(session, outcome.shared)
            if outcome.ended and self._keeper.observers:
                self._keeper.tell_of_limit(new, whose, binding.limit, outcome.ended)
        self._saved(session, baseline)
        self._ended(lock or held, "rotated")
        self._tell(SessionRotated, new, outcome.meta, old_id=binding.label(old))
        return session

    def _moved(
        self, store: Store[S], session: S, begin: Start, key: str, hold: Hold | None
    ) -> Outcome:
        """What came of moving ``session`` into another slot: two steps, the second undone by
        undoing the first."""
        binding, new = store.binding, begin.address
        old, meta = binding.started(session)
        take_back = Delete(new, new_id(), meta.life)
        try:
            begun = store.storage.ask(begin)
        except BaseException:
            self._keeper.ask_behind(store.storage, take_back)
            raise
        if type(begun) is not Saved:
            if type(begun) is NoAnswer:
                self._keeper.ask_behind(store.storage, take_back)
            return begun
        held = lock_of(session)
        try:
            gone = store.storage.ask(Delete(old, new_id(), stamp=meta.stamp, lock=hold))
        except BaseException:
            # The old one may be gone: the new one is all that surely remains.
            attach(session, new, key, begun.meta, held)
            raise
        if type(gone) is Deleted:
            return begun
        if type(gone) is Unknown or type(gone) is NoAnswer:
            attach(session, new, key, begun.meta, held)
        else:
            store.storage.ask(take_back)
        return gone

    def scan(self, kind: type[S], *, finished: bool = False) -> Iterator[S]:
        """All sessions of a type, active or finished, in pages, without blocking the store.

        What starts or ends meanwhile may be among them or not. A session with a secret key
        has ``key == ""``; its ``id`` names it.

        Raises: CapabilityError, SessionDecodeError.
        """
        store = self._store(kind)
        binding = store.binding
        self._need(store, Capability.SCAN, "scan()")
        cursor = ""
        while True:
            page = store.storage.ask(Scan(binding.name, finished, cursor, _PAGE))
            if type(page) is not Page:
                raise store_error(page)
            for item in page.items:
                found = Found(item.meta, item.payload, item.shared)
                yield binding.decoded(item.address, None, found)
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
    ) -> LockContext[S]:
        """The lock of a key, whether or not there is a session, as a context manager.

        Inside ``with`` it gives a `SessionLock`, renewed until the block is left. It is
        waited for ``wait`` (0: not at all, None: for ever).

        Raises: LockNotAcquiredError; LockLostError, on leaving.
        """

        def target(store: Store[S]) -> Target[S]:
            return self._target(store, what, key, id, owner, lease, wait)

        return LockContext(self, what, target)

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
    ) -> LockedSession[S]:
        """A session under its lock, as a context manager::

            with tracker.get_locked(Checkout, "order-42") as checkout:
                checkout.paid = True

        Leaving the block saves what changed and lets the lock go, in one step; an exception
        saves nothing. ``missing`` is started if there is no active session.

        Raises: as `get` and `lock`; on leaving, SessionNotFoundError or SessionFinishedError
        if somebody else ended the session.
        """

        def target(store: Store[S]) -> Target[S]:
            target = self._target(store, what, key, id, owner, lease, wait)
            if missing is not None:
                start = self._start_missing(store, target.address, target.key, owner, missing)
                target.missing = missing, start
            return target

        return LockedSession(self, what, target)

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
