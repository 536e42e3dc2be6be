# Generated from sessiontracker/_async/owners.py by scripts/generate_sync.py: edit that.
"""What can be asked of an owner as a whole: its sessions, and what they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from ..contract import new_id
from ..errors import SessionNotFoundError
from ..events import OwnerLoggedOut
from ..keys import id_of
from ..operations import (
    FOREVER,
    Address,
    Counted,
    CountOwner,
    Ended,
    EndOwner,
    Listed,
    ListOwner,
    SavedShared,
    Stale,
)
from ..refusals import owner_refusal
from ..session import OwnedSession, Session
from .sharing import Owner, SharedEdit, SharedState
from .steps import TrackerSteps

__all__ = ["OwnerCalls"]

S = TypeVar("S", bound=OwnedSession[Any])
P = TypeVar("P")


class OwnerCalls(TrackerSteps):
    """A tracker, as far as it is asked about owners."""

    # An owner's sessions -----------------------------------------------------

    @overload
    def list_sessions(self, kind: type[S], /, owner: str) -> list[S]: ...
    @overload
    def list_sessions(self, session: S, /) -> list[S]: ...
    def list_sessions(self, what: type[S] | S, /, owner: str | None = None) -> list[S]:
        """An owner's active sessions, newest first; never an expired one.

        A session with a secret key has ``key == ""``; its ``id`` names it. A session in place
        of type and owner stands for its owner, also for a visitor.

        Raises: SessionDecodeError.
        """
        store, address, _ = self._owner(what, owner)
        outcome = store.storage.ask(ListOwner(address))
        if type(outcome) is not Listed:
            raise owner_refusal(outcome, store.binding)
        return store.binding.listed(outcome.items)

    @overload
    def count_sessions(self, kind: type[OwnedSession[Any]], /, owner: str) -> int: ...
    @overload
    def count_sessions(self, session: OwnedSession[Any], /) -> int: ...
    def count_sessions(
        self, what: type[OwnedSession[Any]] | OwnedSession[Any], /, owner: str | None = None
    ) -> int:
        """How many active sessions an owner has; never an expired one."""
        store, address, _ = self._owner(what, owner)
        outcome = store.storage.ask(CountOwner(address))
        if type(outcome) is not Counted:
            raise owner_refusal(outcome, store.binding)
        return outcome.count

    @overload
    def finish_all(self, kind: type[S], /, owner: str, *, keep: S | str | None = None) -> int: ...
    @overload
    def finish_all(self, session: S, /, *, keep: S | str | None = None) -> int: ...
    def finish_all(
        self, what: type[S] | S, /, owner: str | None = None, *, keep: S | str | None = None
    ) -> int:
        """Finish all of an owner's active sessions but ``keep`` (one of them, or its key), in one
        step, whoever holds their locks. Returns how many that were.

        A session that is started meanwhile is wholly before it (and finished) or wholly after.

        Raises: SessionNotFoundError if ``keep`` cannot be this owner's.
        """
        named = self._owner(what, owner)
        kept = named.store.binding.settings.finished_retention
        return self._end_all(named, keep, FOREVER if kept is None else kept)

    @overload
    def delete_all(self, kind: type[S], /, owner: str, *, keep: S | str | None = None) -> int: ...
    @overload
    def delete_all(self, session: S, /, *, keep: S | str | None = None) -> int: ...
    def delete_all(
        self, what: type[S] | S, /, owner: str | None = None, *, keep: S | str | None = None
    ) -> int:
        """Remove all of an owner's sessions, finished ones too, but ``keep``; as `finish_all`.

        Returns how many that were, finished ones too.
        """
        return self._end_all(self._owner(what, owner), keep, None)

    def _end_all(
        self, owner: Owner, keep: OwnedSession[Any] | str | None, retention: int | None
    ) -> int:
        store, address, name = owner
        kept = "" if keep is None else _kept(owner, keep).key
        outcome = store.storage.ask(EndOwner(address, new_id(), retention, kept))
        if type(outcome) is not Ended:
            raise owner_refusal(outcome, store.binding)
        if outcome.count and self._keeper.observers:
            id = id_of(address.scope, kept) if kept else ""
            count = outcome.count
            self._keeper.tell_of_owner(OwnerLoggedOut, address, owner=name, count=count, kept=id)
        return outcome.count

    # What they share ---------------------------------------------------------

    @overload
    def get_shared(self, kind: type[OwnedSession[P]], /, owner: str) -> P: ...
    @overload
    def get_shared(self, session: OwnedSession[P], /) -> P: ...
    def get_shared(
        self, what: type[OwnedSession[P]] | OwnedSession[P], /, owner: str | None = None
    ) -> P:
        """What all of an owner's sessions of this type share; a new one if nothing was written.

        Raises: SessionDecodeError.
        """
        state: SharedState[P] = SharedState(self._keeper, self._owner(what, owner))
        state.read()
        return state.value

    @overload
    def edit_shared(self, kind: type[OwnedSession[P]], /, owner: str) -> SharedEdit[P]: ...
    @overload
    def edit_shared(self, session: OwnedSession[P], /) -> SharedEdit[P]: ...
    def edit_shared(
        self, what: type[OwnedSession[P]] | OwnedSession[P], /, owner: str | None = None
    ) -> SharedEdit[P]:
        """What an owner's sessions share, to be changed, as a context manager::

            with tracker.edit_shared(Login, "alice") as profile:
                profile.theme = "dark"

        A clean exit writes it if it was changed; an exception writes nothing.

        Raises: SessionDecodeError; on leaving, StaleSessionError if another wrote it since,
        SessionEncodeError.
        """

        def resolve() -> Owner:
            return self._owner(what, owner)

        return SharedEdit(self._keeper, resolve)

    @overload
    def update_shared(
        self, kind: type[OwnedSession[P]], owner: str, change: Callable[[P], P | None], /
    ) -> P: ...
    @overload
    def update_shared(self, session: OwnedSession[P], change: Callable[[P], P | None], /) -> P: ...
    def update_shared(self, what: Any, *arguments: Any) -> Any:
        """Have ``change`` change what an owner's sessions share, or return what is to be in its
        place; it is called again if another wrote it meanwhile. Returns what was written.

        Raises: SessionDecodeError, SessionEncodeError.
        """
        *owner, change = arguments
        state: SharedState[Any] = SharedState(self._keeper, self._owner(what, *owner))
        while True:
            state.read()
            changed = change(state.value)
            if changed is not None:
                state.value = changed
            if not state.is_changed:
                return state.value
            outcome = state.write()
            if type(outcome) is SavedShared:
                return state.value
            if type(outcome) is not Stale:
                raise state.refusal(outcome)

    # Whose -------------------------------------------------------------------

    def _owner(
        self, what: type[OwnedSession[Any]] | OwnedSession[Any], owner: str | None = None
    ) -> Owner:
        """Whose sessions ``what`` and ``owner`` name."""
        if isinstance(what, type):
            store = self._store(what)
            return Owner(store, store.binding.owner_address(owner), owner or "")
        if not isinstance(what, Session):
            kind = type(what).__name__  # not itself, for it may be a secret key
            raise TypeError(f"name a session type and an owner, or a session, not a {kind}")
        if owner is not None:
            raise TypeError("a session names its owner itself: leave owner out")
        store = self._store(type(what))
        return Owner(store, store.binding.owner_address_of(what), what.owner)


def _kept(owner: Owner, keep: OwnedSession[Any] | str) -> Address:
    """Where the session is that is kept. For one that is not the owner's, nothing is ended.

    Raises: SessionNotFoundError.
    """
    binding = owner.store.binding
    if isinstance(keep, Session):
        kept = binding.started(keep)[0]
    else:
        kept = binding.address_beside(owner.address, keep)
    if kept.slot != owner.address.slot:
        raise SessionNotFoundError(
            f"keep= is no {binding.name!r} session of this owner: nothing was ended"
        )
    return kept
