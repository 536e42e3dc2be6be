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
    AsyncTransaction,
    Backend,
    BackendOptions,
    BackendPlugin,
    Capability,
    LockingPlugin,
    StoragePlugin,
    Transaction,
    new_id,
)
from .durations import parse_duration
from .errors import (
    BackendError,
    BackendUnavailableError,
    ConfigurationError,
    OutcomeUnknownError,
)
from .hookspecs import hookimpl
from .paths import parse_path
from .threaded import AsyncThreadedBackend, ThreadedBackend
from .wording import mask, shown

__all__ = [
    "API_VERSION",
    "Answer",
    "Asked",
    "AsyncBackend",
    "AsyncCompareAndSwapBackend",
    "AsyncThreadedBackend",
    "AsyncTransaction",
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
    "OutcomeUnknownError",
    "StoragePlugin",
    "ThreadedBackend",
    "Transaction",
    "Wakes",
    "hookimpl",
    "machine",
    "mask",
    "new_id",
    "operations",
    "parse_duration",
    "parse_path",
    "shown",
    "state",
]
