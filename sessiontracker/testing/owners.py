"""What the tests of owners ask and say."""

from __future__ import annotations

import time
from typing import Any

from msgspec.structs import replace

from ..contract import new_id
from ..operations import (
    Address,
    Counted,
    CountOwner,
    FoundShared,
    Limit,
    Listed,
    ListOwner,
    Meta,
    ReadShared,
    Saved,
    SavedShared,
    Shared,
    Start,
    WriteShared,
)
from .harness import Store

__all__ = ["DAY", "at", "listed", "share", "shared", "start", "tell_apart", "try_to_start"]

DAY = 86_400_000  # ms


def at(owner: Address, key: str) -> Address:
    return replace(owner, key=key)


def start(store: Store, owner: Address, key: str, payload: bytes = b"new", **more: Any) -> Meta:
    operation = Start(at(owner, key), new_id(), payload, "alice", **more)
    return store.expect(operation, Saved).meta


def try_to_start(store: Store, owner: Address, key: str, limit: Limit) -> Any:
    return store.ask(Start(at(owner, key), new_id(), b"", "alice", limit=limit))


def listed(store: Store, owner: Address) -> list[str]:
    """The keys of the active sessions, newest first; their count must say the same."""
    keys = [item.address.key for item in store.expect(ListOwner(owner), Listed).items]
    assert store.expect(CountOwner(owner), Counted).count == len(keys)
    return keys


def shared(store: Store, owner: Address) -> Shared | None:
    return store.expect(ReadShared(owner), FoundShared).shared


def share(store: Store, owner: Address, payload: bytes, keep: int = DAY) -> int:
    now = shared(store, owner)
    version, write = (0, 0) if now is None else (now.version, now.write)
    operation = WriteShared(owner, new_id(), version, write, payload, keep)
    return store.expect(operation, SavedShared).version


def tell_apart(store: Store) -> None:
    """Let the store's clock show another millisecond."""
    if store.clock is not None:
        store.clock.now += 1_000
        return
    now = store.now()
    while store.now() == now:
        time.sleep(0.0005)
