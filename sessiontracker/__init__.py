"""Distributed, typed sessions: one typed API, asynchronous and synchronous, over any store."""

from __future__ import annotations

from ._async.bound import AsyncBoundTracker
from ._async.tracker import AsyncSessionTracker
from ._sync.bound import BoundTracker
from ._sync.tracker import SessionTracker
from .config import Config
from .errors import (
    BackendError,
    BackendUnavailableError,
    CapabilityError,
    ConfigurationError,
    InvalidKeyError,
    LockError,
    LockLostError,
    LockNotAcquiredError,
    OutcomeUnknownError,
    PluginError,
    PluginNotFoundError,
    SessionActiveError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
    SessionFinishedError,
    SessionInProgressError,
    SessionLimitError,
    SessionLockedError,
    SessionNotFoundError,
    SessionTooLargeError,
    SessionTrackerError,
    SharedStateError,
    StaleSessionError,
)
from .lock import SessionLock
from .session import OwnedSession, Session

__version__ = "0.1.0"

__all__ = [
    "AsyncBoundTracker",
    "AsyncSessionTracker",
    "BackendError",
    "BackendUnavailableError",
    "BoundTracker",
    "CapabilityError",
    "Config",
    "ConfigurationError",
    "InvalidKeyError",
    "LockError",
    "LockLostError",
    "LockNotAcquiredError",
    "OutcomeUnknownError",
    "OwnedSession",
    "PluginError",
    "PluginNotFoundError",
    "Session",
    "SessionActiveError",
    "SessionDecodeError",
    "SessionEncodeError",
    "SessionError",
    "SessionFinishedError",
    "SessionInProgressError",
    "SessionLimitError",
    "SessionLock",
    "SessionLockedError",
    "SessionNotFoundError",
    "SessionTooLargeError",
    "SessionTracker",
    "SessionTrackerError",
    "SharedStateError",
    "StaleSessionError",
]
