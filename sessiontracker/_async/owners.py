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
from .sharing import AsyncOwner, AsyncSharedEdit, AsyncSharedState
from .steps import AsyncTrackerSteps

__all__ = ["AsyncOwnerCalls"]

S = TypeVar("S", bound=OwnedSession[Any])
P = TypeVar("P")


class AsyncOwnerCalls(AsyncTrackerSteps):
    """A tracker, as far as it is asked about owners."""

    # An owner's sessions -----------------------------------------------------

    @overload
    async def list_sessions(self, kind: type[S], /, owner: str) -> list[S]: ...
    @overload
    async def list_sessions(self, session: S, /) -> list[S]: ...
    async def list_sessions(self, what: type[S] | S, /, owner: str | None = None) -> list[S]:
        """An owner's active sessions, newest first; never an expired one.

        A session with a secret key has ``key == ""``; its ``id`` names it. A session in place
        of type and owner stands for its owner, also for a visitor.

        Raises: SessionDecodeError.
        """
        store, address, _ = await self._owner(what, owner)
        outcome = await store.storage.ask(ListOwner(address))
        if type(outcome) is not Listed:
            raise owner_refusal(outcome, store.binding)
        return store.binding.listed(outcome.items)

    @overload
    async def count_sessions(self, kind: type[OwnedSession[Any]], /, owner: str) -> int: ...
    @overload
    async def count_sessions(self, session: OwnedSession[Any], /) -> int: ...
    async def count_sessions(
        self, what: type[OwnedSession[Any]] | OwnedSession[Any], /, owner: str | None = None
    ) -> int:
        """How many active sessions an owner has; never an expired one."""
        store, address, _ = await self._owner(what, owner)
        outcome = await store.storage.ask(CountOwner(address))
        if type(outcome) is not Counted:
            raise owner_refusal(outcome, store.binding)
        return outcome.count

    @overload
    async def finish_all(
        self, kind: type[S], /, owner: str, *, keep: S | str | None = None
    ) -> int: ...
    @overload
    async def finish_all(self, session: S, /, *, keep: S | str | None = None) -> int: ...
    async def finish_all(
        self, what: type[S] | S, /, owner: str | None = None, *, keep: S | str | None = None
    ) -> int:
        """Finish all of an owner's active sessions but ``keep`` (one of them, or its key), in one
        step, whoever holds their locks. Returns how many that were.

        A session that is started meanwhile is wholly before it (and finished) or wholly after.

        Raises: SessionNotFoundError if ``keep`` cannot be this owner's.
        """
        named = await self._owner(what, owner)
        kept = named.store.binding.settings.finished_retention
        return await self._end_all(named, keep, FOREVER if kept is None else kept)

    @overload
    async def delete_all(
        self, kind: type[S], /, owner: str, *, keep: S | str | None = None
    ) -> int: ...
    @overload
    async def delete_all(self, session: S, /, *, keep: S | str | None = None) -> int: ...
    async def delete_all(
        self, what: type[S] | S, /, owner: str | None = None, *, keep: S | str | None = None
    ) -> int:
        """Remove all of an owner's sessions, finished ones too, but ``keep``; as `finish_all`.

        Returns how many that were, finished ones too.
        """
        return await self._end_all(await self._owner(what, owner), keep, None)

    async def _end_all(
        self, owner: AsyncOwner, keep: OwnedSession[Any] | str | None, retention: int | None
    ) -> int:
        store, address, name = owner
        kept = "" if keep is None else _kept(owner, keep).key
        outcome = await store.storage.ask(EndOwner(address, new_id(), retention, kept))
        if type(outcome) is not Ended:
            raise owner_refusal(outcome, store.binding)
        if outcome.count and self._keeper.observers:
            id = id_of(address.scope, kept) if kept else ""
            count = outcome.count
            self._keeper.tell_of_owner(OwnerLoggedOut, address, owner=name, count=count, kept=id)
        return outcome.count

    # What they share ---------------------------------------------------------

    @overload
    async def get_shared(self, kind: type[OwnedSession[P]], /, owner: str) -> P: ...
    @overload
    async def get_shared(self, session: OwnedSession[P], /) -> P: ...
    async def get_shared(
        self, what: type[OwnedSession[P]] | OwnedSession[P], /, owner: str | None = None
    ) -> P:
        """What all of an owner's sessions of this type share; a new one if nothing was written.

        Raises: SessionDecodeError.
        """
        state: AsyncSharedState[P] = AsyncSharedState(self._keeper, await self._owner(what, owner))
        await state.read()
        return state.value

    @overload
    def edit_shared(self, kind: type[OwnedSession[P]], /, owner: str) -> AsyncSharedEdit[P]: ...
    @overload
    def edit_shared(self, session: OwnedSession[P], /) -> AsyncSharedEdit[P]: ...
    def edit_shared(
        self, what: type[OwnedSession[P]] | OwnedSession[P], /, owner: str | None = None
    ) -> AsyncSharedEdit[P]:
        """What an owner's sessions share, to be changed, as a context manager::

            async with tracker.edit_shared(Login, "alice") as profile:
                profile.theme = "dark"

        A clean exit writes it if it was changed; an exception writes nothing.

        Raises: SessionDecodeError; on leaving, StaleSessionError if another wrote it since,
        SessionEncodeError.
        """

        async def resolve() -> AsyncOwner:
            return await self._owner(what, owner)

        return AsyncSharedEdit(self._keeper, resolve)

    @overload
    async def update_shared(
        self, kind: type[OwnedSession[P]], owner: str, change: Callable[[P], P | None], /
    ) -> P: ...
    @overload
    async def update_shared(
        self, session: OwnedSession[P], change: Callable[[P], P | None], /
    ) -> P: ...
    async def update_shared(self, what: Any, *arguments: Any) -> Any:
        """Have ``change`` change what an owner's sessions share, or return what is to be in its
        place; it is called again if another wrote it meanwhile. Returns what was written.

        Raises: SessionDecodeError, SessionEncodeError.
        """
        *owner, change = arguments
        state: AsyncSharedState[Any] = AsyncSharedState(
            self._keeper, await self._owner(what, *owner)
        )
        while True:
            await state.read()
            changed = change(state.value)
            if changed is not None:
                state.value = changed
            if not state.is_changed:
                return state.value
            outcome = await state.write()
            if type(outcome) is SavedShared:
                return state.value
            if type(outcome) is not Stale:
                raise state.refusal(outcome)

    # Whose -------------------------------------------------------------------

    async def _owner(
        self, what: type[OwnedSession[Any]] | OwnedSession[Any], owner: str | None = None
    ) -> AsyncOwner:
        """Whose sessions ``what`` and ``owner`` name."""
        if isinstance(what, type):
            store = await self._store(what)
            return AsyncOwner(store, store.binding.owner_address(owner), owner or "")
        if not isinstance(what, Session):
            kind = type(what).__name__  # not itself, for it may be a secret key
            raise TypeError(f"name a session type and an owner, or a session, not a {kind}")
        if owner is not None:
            raise TypeError("a session names its owner itself: leave owner out")
        store = await self._store(type(what))
        return AsyncOwner(store, store.binding.owner_address_of(what), what.owner)


def _kept(owner: AsyncOwner, keep: OwnedSession[Any] | str) -> Address:
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
