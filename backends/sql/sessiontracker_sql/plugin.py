"""What the entry point ``sql`` names: the hooks."""

from __future__ import annotations

from sessiontracker.backend import (
    AsyncThreadedBackend,
    BackendOptions,
    Capability,
    LockingPlugin,
    StoragePlugin,
    ThreadedBackend,
    hookimpl,
)

from .options import Options
from .sqlite import SQLiteStore

__all__ = ["sessiontracker_locking", "sessiontracker_storage"]

_CAPABILITIES = frozenset(
    {
        Capability.SCAN,
        Capability.PROCESSES,
        Capability.DURABLE,
        Capability.FAIR,
        Capability.CLOCK,
    }
)


def _open_async(options: BackendOptions) -> AsyncThreadedBackend:
    return AsyncThreadedBackend(SQLiteStore(Options.of(options)))


def _open_sync(options: BackendOptions) -> ThreadedBackend:
    return ThreadedBackend(SQLiteStore(Options.of(options)))


@hookimpl
def sessiontracker_storage() -> StoragePlugin:
    return StoragePlugin(
        name="sql",
        open_async=_open_async,
        open_sync=_open_sync,
        api_version=1,
        capabilities=_CAPABILITIES,
    )


@hookimpl
def sessiontracker_locking() -> LockingPlugin:
    return LockingPlugin(
        name="sql",
        open_async=_open_async,
        open_sync=_open_sync,
        api_version=1,
        capabilities=_CAPABILITIES,
    )
