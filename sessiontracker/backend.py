"""What the author of a backend imports: the contract, the machine, and a base to build on."""

from __future__ import annotations

from ._async.wakes import AsyncWakes
from ._sync.wakes import Wakes
from .blocking import BlockingStore
from .contract import (
    API_VERSION,
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
from .threaded import AsyncThreadedBackend, ThreadedBackend

__all__ = [
    "API_VERSION",
    "Asked",
    "AsyncBackend",
    "AsyncThreadedBackend",
    "AsyncWakes",
    "Backend",
    "BackendOptions",
    "BackendPlugin",
    "BlockingStore",
    "Capability",
    "LockingPlugin",
    "StoragePlugin",
    "ThreadedBackend",
    "Wakes",
    "new_id",
]
