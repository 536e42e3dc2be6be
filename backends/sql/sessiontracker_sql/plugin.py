"""What the entry point ``sql`` names: the hooks."""

from __future__ import annotations

from sessiontracker.backend import (
    AsyncBackend,
    Backend,
    BackendOptions,
    Capability,
    LockingPlugin,
    StoragePlugin,
    hookimpl,
)

from ._async.backend import AsyncServerBackend
from ._sync.backend import ServerBackend
from .ddl import ddl
from .options import Options
from .server_options import ServerOptions, kind_of, need_driver
from .servers import server_of
from .sqlite import SQLiteStore
from .sqlite_backends import AsyncSQLiteBackend, SQLiteBackend

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


def _open_async(options: BackendOptions) -> AsyncBackend:
    if kind_of(options) is None:
        return AsyncSQLiteBackend(SQLiteStore(Options.of(options)))
    on_server = ServerOptions.of(options)
    need_driver(on_server, asynchronous=True)
    return AsyncServerBackend(server_of(on_server), on_server)


def _open_sync(options: BackendOptions) -> Backend:
    if kind_of(options) is None:
        return SQLiteBackend(SQLiteStore(Options.of(options)))
    on_server = ServerOptions.of(options)
    need_driver(on_server, asynchronous=False)
    return ServerBackend(server_of(on_server), on_server)


@hookimpl
def sessiontracker_storage() -> StoragePlugin:
    return StoragePlugin(
        name="sql",
        open_async=_open_async,
        open_sync=_open_sync,
        api_version=1,
        capabilities=_CAPABILITIES,
        ddl=ddl,
    )


@hookimpl
def sessiontracker_locking() -> LockingPlugin:
    return LockingPlugin(
        name="sql",
        open_async=_open_async,
        open_sync=_open_sync,
        api_version=1,
        capabilities=_CAPABILITIES,
        ddl=ddl,
    )
