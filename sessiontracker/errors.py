"""Every error that sessiontracker raises, on one page.

Each message says what happened and what to do about it. Where several errors
apply to one call, the first of these is raised: lock lost; not found; finished
or active; locked; stale; limit.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BackendError",
    "BackendUnavailableError",
    "CapabilityError",
    "ConfigurationError",
    "InvalidKeyError",
    "LockError",
    "LockLostError",
    "LockNotAcquiredError",
    "OutcomeUnknownError",
    "PluginError",
    "PluginNotFoundError",
    "SessionActiveError",
    "SessionDecodeError",
    "SessionEncodeError",
    "SessionError",
    "SessionFinishedError",
    "SessionInProgressError",
    "SessionLimitError",
    "SessionLockedError",
    "SessionNotFoundError",
    "SessionTooLargeError",
    "SessionTrackerError",
    "SharedStateError",
    "StaleSessionError",
]


class SessionTrackerError(Exception):
    """The base of every error of this library. Each can be made of its message alone, as it is
    when it is unpickled."""


# Configuration ---------------------------------------------------------------


class ConfigurationError(SessionTrackerError):
    """The configuration, a session type or a call's setting cannot be used as it stands."""


class PluginError(ConfigurationError):
    """An installed plugin is broken, too old or claimed by two distributions."""


class PluginNotFoundError(PluginError):
    """The configuration names a plugin that no installed distribution provides."""


class CapabilityError(ConfigurationError):
    """A call or a session type needs what its backend cannot do."""


# The session's state ---------------------------------------------------------


class SessionError(SessionTrackerError):
    """What was asked does not fit the state that the session is in."""


class InvalidKeyError(SessionError, ValueError):
    """A key that no session can have: empty, too long, or in the shape of a secret key or an id."""


class SessionNotFoundError(SessionError):
    """There is no such session: never started, expired, deleted, or another key's."""


class SessionFinishedError(SessionError):
    """The session is finished. ``get_finished`` reads it, ``resume`` makes it active again."""


class SessionActiveError(SessionError):
    """The session is active where a finished one was asked for."""


class SessionInProgressError(SessionError):
    """``start`` found an active session under this key; it is ``.session``."""

    def __init__(self, message: str, session: Any = None) -> None:
        super().__init__(message)
        self.session = session


class StaleSessionError(SessionError):
    """Somebody wrote the session since it was read.

    ``expected`` is the version that the writer had read, ``actual`` the one in the store.
    """

    def __init__(self, message: str, expected: int = 0, actual: int = 0) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class SessionLimitError(SessionError):
    """The owner has as many sessions as the type's ``max_per_owner`` allows: ``count``."""

    def __init__(self, message: str, count: int = 0) -> None:
        super().__init__(message)
        self.count = count


class SharedStateError(SessionError):
    """An owner's shared state was used in a way that would lose a change."""


class SessionEncodeError(SessionError):
    """The session holds a value that its codec cannot encode; nothing was written."""


class SessionTooLargeError(SessionEncodeError):
    """The encoded session weighs more than its type's ``max_bytes``; nothing was written."""

    def __init__(self, message: str, size: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.size = size
        self.limit = limit


class SessionDecodeError(SessionError):
    """What is stored cannot be read as this session type. It stays where it is."""


# Locks -----------------------------------------------------------------------


class LockError(SessionTrackerError):
    """A session's lock could not be had, or was not held."""


class LockNotAcquiredError(LockError):
    """The lock was not free within ``wait``.

    ``holder`` names who had it last (host and process), ``waited`` is in seconds.
    """

    def __init__(self, message: str, holder: str = "", waited: float = 0.0) -> None:
        super().__init__(message)
        self.holder = holder
        self.waited = waited


class LockLostError(LockError):
    """The lease ran out, or another holder came: what was not saved before is not saved."""


class SessionLockedError(LockError):
    """Somebody else holds the session's lock. ``holder`` names it (host and process)."""

    def __init__(self, message: str, holder: str = "") -> None:
        super().__init__(message)
        self.holder = holder


# Backends --------------------------------------------------------------------


class BackendError(SessionTrackerError):
    """The backend failed in a way that has no name of its own."""


class BackendUnavailableError(BackendError):
    """The backend could not be reached or refused to work: nothing was done."""


class OutcomeUnknownError(BackendError):
    """A write was sent and no answer came, or others wrote before it could be repeated safely."""
