"""What happens to sessions and their locks, and who is told.

An observer is told after the deed, in this process alone, of what this process did. Where
the store's answer is lost, nobody is told: events are for metrics and logs, not for state.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

__all__ = [
    "Event",
    "LockAcquired",
    "LockEvent",
    "LockLost",
    "LockReleased",
    "Observer",
    "OwnerEvent",
    "OwnerLoggedOut",
    "SessionDeleted",
    "SessionEvent",
    "SessionFinished",
    "SessionLimitReached",
    "SessionResumed",
    "SessionRotated",
    "SessionStarted",
    "SessionUpdated",
    "SharedStateUpdated",
    "notify",
]

_log = logging.getLogger("sessiontracker")


class Event(Struct, frozen=True, kw_only=True):
    """``type`` is the session type's name, ``id`` the public id, never a secret key.

    ``time`` is aware, in UTC: the store's for sessions, this machine's for locks and deletions.
    """

    type: str
    id: str
    owner: str = ""
    time: datetime


class SessionEvent(Event, frozen=True, kw_only=True):
    """``version`` is the session's after the deed; 0 where the deed was by key alone."""

    version: int = 0


class SessionStarted(SessionEvent, frozen=True, kw_only=True):
    pass


class SessionUpdated(SessionEvent, frozen=True, kw_only=True):
    pass


class SessionFinished(SessionEvent, frozen=True, kw_only=True):
    pass


class SessionResumed(SessionEvent, frozen=True, kw_only=True):
    pass


class SessionDeleted(SessionEvent, frozen=True, kw_only=True):
    pass


class SessionRotated(SessionEvent, frozen=True, kw_only=True):
    """``id`` is the new one."""

    old_id: str


class SessionLimitReached(SessionEvent, frozen=True, kw_only=True):
    """The owner had as many sessions as it may have, ``most``.

    The session ``id`` was refused, or so many others were ``finished`` to make room for it.
    """

    most: int
    finished: int = 0


class OwnerEvent(Event, frozen=True, kw_only=True):
    """What concerns all of an owner's sessions of a type. Its ``id`` is ``""``."""

    id: str = ""


class OwnerLoggedOut(OwnerEvent, frozen=True, kw_only=True):
    """``count`` sessions were finished or deleted at once; ``kept`` is the id of one that was not.

    ``owner`` is ``""`` for a visitor.
    """

    count: int
    kept: str = ""


class SharedStateUpdated(OwnerEvent, frozen=True, kw_only=True):
    """What the owner's sessions share is at ``version`` now."""

    version: int


class LockEvent(Event, frozen=True, kw_only=True):
    """``token`` is the lock's fencing token."""

    token: int


class LockAcquired(LockEvent, frozen=True, kw_only=True):
    """``waited`` is in seconds."""

    waited: float = 0.0


class LockReleased(LockEvent, frozen=True, kw_only=True):
    pass


class LockLost(LockEvent, frozen=True, kw_only=True):
    """The lease ran out or was taken over while the lock was still wanted."""


class Observer(Protocol):
    """Who is told. A plugin hands one out, or the tracker is given it: ``observers=[...]``."""

    def notify(self, event: Event, /) -> None:
        """Take note of ``event``; quickly, for the call that caused it waits.

        It is called in the event loop, or in the thread of the call. What it raises is logged
        and reaches no caller.
        """
        ...


def notify(observers: Sequence[Observer], event: Event) -> None:
    """Tell all of them, whatever one of them raises."""
    for observer in observers:
        try:
            observer.notify(event)
        except Exception:
            _log.exception(
                "%s raised on %s of the %r session %r",
                type(observer).__qualname__,
                type(event).__name__,
                event.type,
                event.id,
            )
