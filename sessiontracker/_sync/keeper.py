# Generated from sessiontracker/_async/keeper.py by scripts/generate_sync.py: edit that.
"""What a tracker keeps while it is open: where each type's sessions are, which locks are held."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from ..binding import Binding
from ..events import (
    Event,
    Observer,
    OwnerEvent,
    SessionFinished,
    SessionLimitReached,
    notify,
)
from ..keys import id_of
from ..operations import Address, Limit, Meta, NoAnswer, Operation, Release, Unavailable
from ..session import Session, moment
from .asking import Asker
from .renewals import Held, Renewals
from .runtime import Caller, Tasks, Work, current

__all__ = ["Keeper", "Store"]

S = TypeVar("S", bound=Session)
T = TypeVar("T")


class Store(Generic[S]):
    """A session type with the backends that keep its sessions and its locks."""

    __slots__ = ("binding", "fused", "locking", "storage")

    def __init__(self, binding: Binding[S], storage: Asker, locking: Asker) -> None:
        self.binding = binding
        self.storage = storage
        self.locking = locking
        self.fused = storage is locking  # one backend does both roles in one step


class Keeper:
    """What holds all locks of a tracker: who they are, who renews them, who cleans up."""

    def __init__(self, holder: str, tasks: Tasks) -> None:
        self.holder = holder
        self.tasks = tasks
        self._renewals: dict[Asker, Renewals] = {}
        self._held: dict[tuple[Address, Caller], Held] = {}
        self._abandoned = False
        self.observers: tuple[Observer, ...] = ()

    def tell(self, kind: type[Event], address: Address, meta: Meta | None, **more: Any) -> None:
        """Tell the observers. Ask first whether there are any, since that costs nothing."""
        if meta is None:
            time = datetime.now(UTC)
        else:
            time = moment(meta.updated)
            more |= {"owner": meta.owner, "version": meta.version}
        id = id_of(address.scope, address.key)
        notify(self.observers, kind(type=address.type, id=id, time=time, **more))

    def tell_of_limit(
        self, address: Address, owner: str, limit: Limit | None, ended: Sequence[str] = ()
    ) -> None:
        """Tell the observers that the session at ``address`` was refused, or whose sessions
        were finished to make room for it."""
        most = 0 if limit is None else limit.most
        more = {"owner": owner, "most": most, "finished": len(ended)}
        self.tell(SessionLimitReached, address, None, **more)
        for key in ended:
            self.tell(SessionFinished, replace(address, key=key), None, owner=owner)

    def tell_of_owner(self, kind: type[OwnerEvent], address: Address, **more: Any) -> None:
        """Tell the observers of what concerns all of an owner's sessions."""
        notify(self.observers, kind(type=address.type, time=datetime.now(UTC), **more))

    def hold(self, held: Held) -> None:
        """Renew ``held`` from now on."""
        renewals = self._renewals.get(held.asker)
        if renewals is None:
            # One worker a backend: one that hangs delays no other's renewals.
            fresh = Renewals(self.tasks, held.asker)
            renewals = self._renewals.setdefault(held.asker, fresh)
        self._held[held.lock._address, held.by] = held
        renewals.add(held)

    def drop(self, held: Held) -> None:
        """Renew ``held`` no more."""
        self._renewals[held.asker].remove(held)
        place = held.lock._address, held.by
        if self._held.get(place) is held:  # not if it was lost, and taken again
            del self._held[place]

    def is_held_here(self, address: Address) -> bool:
        """Whether the very task that asks holds the lock."""
        return (address, current()) in self._held

    def let_go(self, store: Store[Any], address: Address, ticket: int) -> None:
        """Release behind a caller that does not wait for it."""
        self.ask_behind(store.locking, Release(address, ticket))

    def let_go_now(self, store: Store[Any], address: Address, ticket: int) -> bool:
        """Release, and wait for one answer. Whether there was one; if not, release behind."""
        if self._abandoned:
            return False
        try:
            (outcome,) = store.locking.ask_once([Release(address, ticket)])
        except BaseException:
            self.let_go(store, address, ticket)
            raise
        if type(outcome) is Unavailable or type(outcome) is NoAnswer:
            self.let_go(store, address, ticket)
            return False
        return True

    def ask_behind(self, asker: Asker, operation: Operation) -> None:
        """Clean up behind a caller that does not wait for it; close() does."""
        if self._abandoned:
            return
        if asker.at_once is not None:
            asker.at_once(operation)
            return

        def ask() -> None:
            asker.ask(operation)

        self.tasks.start(ask)

    def to_the_end(self, work: Work[T]) -> T:
        """What ``work``, of several steps, comes to; all are done, also behind a caller who is
        cancelled after the first. close() waits for that."""
        return self.tasks.finish(work)

    def abandon(self) -> None:
        """In a forked child: the locks are the parent's alone, and stay as they are."""
        self._abandoned = True
        for held in self._held.values():
            held.lock._abandon()

    def close(self) -> None:
        """Renew no more."""
        for renewals in self._renewals.values():
            renewals.close()
