"""What the author of a backend imports: the contract, the machine, and a base to build on."""

from __future__ import annotations

from . import machine, operations, state
from ._async.compare_and_swap import AsyncCompareAndSwapBackend
from ._async.wakes import AsyncWakes
from ._sync.compare_and_swap import CompareAndSwapBackend
from ._sync.wakes import Wakes
from .blocking import BlockingStore
from .contract import (
    API_VERSION,
    Answer,
    Asked,
    AsyncBackend,
    Backend,
    BackendOptions,
    BackendPlugin,
    Capability,
    LockingPlugin,
    StoragePlugin,
    new_id,
)
from .durations import parse_duration
from .errors import BackendError, BackendUnavailableError, ConfigurationError
from .hookspecs import hookimpl
from .threaded import AsyncThreadedBackend, ThreadedBackend
from .wording import mask

__all__ = [
    "API_VERSION",
    "Answer",
    "Asked",
    "AsyncBackend",
    "AsyncCompareAndSwapBackend",
    "AsyncThreadedBackend",
    "AsyncWakes",
    "Backend",
    "BackendError",
    "BackendOptions",
    "BackendPlugin",
    "BackendUnavailableError",
    "BlockingStore",
    "Capability",
    "CompareAndSwapBackend",
    "ConfigurationError",
    "LockingPlugin",
    "StoragePlugin",
    "ThreadedBackend",
    "Wakes",
    "hookimpl",
    "machine",
    "mask",
    "new_id",
    "operations",
    "parse_duration",
    "state",
]
