"""An owner's rows on a server: who waits for whom, and what is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from sessiontracker.contract import new_id
from sessiontracker.keys import new_scope
from sessiontracker.operations import (
    Address,
    Ended,
    EndOwner,
    Failed,
    Found,
    Limit,
    LimitReached,
    Read,
    Reap,
    Reaped,
    Saved,
    SavedShared,
    Start,
    Unavailable,
    WriteShared,
)
from sessiontracker_sql._sync.backend import ServerBackend


@pytest.fixture
def owner() -> Address:
    return Address("login", new_scope(), "")


def start(backend: ServerBackend, owner: Address, key: str, payload: bytes = b"x") -> Any:
    operation = Start(replace(owner, key=key), new_id(), payload, "alice", idle=60_000)
    [outcome] = backend.execute([operation])
    return outcome


def test_an_owner_that_a_stranger_has_locked_holds_up_no_other(
    backend: ServerBackend, stranger: Any, prefix: str, owner: Address
) -> None:
    other = replace(owner, scope=new_scope())
    for each in (owner, other):
        assert isinstance(start(backend, each, "ka"), Saved)
    stranger.execute("BEGIN")
    type, scope = (
        f"'\\x{part.encode().hex()}'" if stranger.is_postgresql else f"X'{part.encode().hex()}'"
        for part in (owner.type, owner.scope)
    )
    stranger.execute(
        f"SELECT 1 FROM {prefix}owners WHERE type = {type} AND scope = {scope} FOR UPDATE"
    )
    operations = [
        Start(replace(each, key="kb"), new_id(), b"x", "alice") for each in (owner, other)
    ]
    begun = time.monotonic()
    one, two = backend.execute(operations)
    assert time.monotonic() - begun < 5
    assert isinstance(one, Unavailable), one
    assert isinstance(two, Saved), two
    # To read is not to wait.
    [found] = backend.execute([Read(replace(owner, key="ka"), slide=True, touch_every=0)])
    assert isinstance(found, Found)
    stranger.execute("ROLLBACK")
    assert isinstance(start(backend, owner, "kc"), Saved)


def test_one_batch_keeps_a_limit(backend: ServerBackend, owner: Address) -> None:
    operations = [
        Start(replace(owner, key=f"k{number}"), new_id(), b"", limit=Limit(3))
        for number in range(8)
    ]
    outcomes = backend.execute(operations)
    assert [type(each) for each in outcomes] == [Saved] * 3 + [LimitReached] * 5


def test_owners_leave_no_rows(
    open_backend: Callable[..., ServerBackend], admin: Any, prefix: str
) -> None:
    now = time.time_ns() // 1000
    backend = open_backend(clock=lambda: now)
    for number in range(5):
        owner = Address("login", new_scope(), "")
        start(backend, owner, "ka")
        start(backend, owner, "kb")
        if number % 2:
            written = backend.execute([WriteShared(owner, new_id(), 0, 0, b"dark", 1_000)])
            assert isinstance(written[0], SavedShared)
        else:
            assert backend.execute([EndOwner(owner, new_id(), 1_000)]) == [Ended(2)]
    now += 3_600_000_000
    assert backend.execute([Reap(7)]) == [Reaped(7)]
    assert backend.execute([Reap(100)]) == [Reaped(3)]
    now += 86_400_000_000
    backend.execute([Reap(100)])
    for table in ("keys", "owners"):
        rows = admin.execute(f"SELECT type, scope FROM {prefix}{table}")
        assert [row for row in rows if bytes(row[0])] == []


def test_what_is_too_large_for_a_packet_is_refused_and_said(
    backend: ServerBackend, admin: Any, owner: Address
) -> None:
    if admin.is_postgresql:
        return
    [[most]] = admin.execute("SELECT @@max_allowed_packet")
    outcome = start(backend, owner, "ka", bytes(most // 2))
    assert isinstance(outcome, Failed), outcome
    assert "max_allowed_packet" in str(outcome.error)
    assert isinstance(start(backend, owner, "ka"), Saved)
