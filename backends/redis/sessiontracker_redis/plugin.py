"""What the entry point ``redis`` names: the hooks."""

from __future__ import annotations

from sessiontracker.backend import (
    BackendOptions,
    Capability,
    LockingPlugin,
    StoragePlugin,
    hookimpl,
)

from ._async.sending import AsyncSendingBackend
from ._sync.backend import RedisBackend
from .options import Options

__all__ = ["sessiontracker_locking", "sessiontracker_storage"]

_CAPABILITIES = frozenset(
    {
        Capability.SCAN,
        Capability.PROCESSES,
        Capability.DURABLE,
        Capability.FAIR,
        Capability.OWNERS,
        Capability.CLOCK,
    }
)


def _open_async(options: BackendOptions) -> AsyncSendingBackend:
    return AsyncSendingBackend(Options.of(options))


def _open_sync(options: BackendOptions) -> RedisBackend:
    return RedisBackend(Options.of(options))


@hookimpl
def sessiontracker_storage() -> StoragePlugin:
    return StoragePlugin(
        name="redis",
        open_async=_open_async,
        open_sync=_open_sync,
        api_version=1,
        capabilities=_CAPABILITIES,
    )


@hookimpl
def sessiontracker_locking() -> LockingPlugin:
    return LockingPlugin(
        name="redis",
        open_async=_open_async,
        open_sync=_open_sync,
        api_version=1,
        capabilities=_CAPABILITIES,
    )
