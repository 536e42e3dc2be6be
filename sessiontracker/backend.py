"""What the author of a backend imports: the contract, the machine, and a base to build on."""

from __future__ import annotations

from ._async.wakes import AsyncWakes
from ._sync.wakes import Wakes
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

__all__ = [
    "API_VERSION",
    "Asked",
    "AsyncBackend",
    "AsyncWakes",
    "Backend",
    "BackendOptions",
    "BackendPlugin",
    "Capability",
    "LockingPlugin",
    "StoragePlugin",
    "Wakes",
    "new_id",
]
