# Generated from sessiontracker/_async/calls.py by scripts/generate_sync.py: edit that.
"""What can be asked of a session: the calls that begin, read, change and end it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, overload

from msgspec import UNSET, UnsetType

from ..binding import Binding
from ..contract import new_id
from ..durations import Duration
from ..errors import SessionNotFoundError
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
    Read,
    Resume,
    Rotate,
    Saved,
    Start,
    Touch,
    Unknown,
    Write,
)
from ..refusals import refusal
from ..session import Session, attach, key_of, lock_of, meta_of, refill, set_meta
from .keeper import Store
from .owners import OwnerCalls
from .runtime import Signal

__all__ = ["SessionCalls"]

S = TypeVar("S", bound=Session)
Lock = SessionLock[Signal]


class SessionCalls(OwnerCalls):
    """A tracker, as far as it is asked about sessions and owners."""

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
        store = self._stores.get(type(session)) or self._store(type(session))
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
        own, held, adopted = key_of(session), lock_of(session), begun.meta

        def leave() -> Outcome:
            gone = store.storage.ask(Delete(old, new_id(), stamp=meta.stamp, lock=hold))
            if type(gone) not in _LEFT:
                store.storage.ask(Delete(new, new_id(), stamp=adopted.stamp))
                if meta_of(session) is adopted:  # behind a caller who was cancelled
                    attach(session, old, own, meta, held)
            return gone

        try:
            gone = self._keeper.to_the_end(leave)
        except BaseException:
            # The old one may be gone: unless it is found to be there still, the new one remains.
            attach(session, new, key, adopted, held)
            raise
        if type(gone) is Deleted:
            return begun
        if type(gone) in _LEFT:
            attach(session, new, key, adopted, held)
        return gone


_LEFT = (Deleted, Unknown, NoAnswer)
"""What may have become of the old one, where the new one is what surely remains."""
