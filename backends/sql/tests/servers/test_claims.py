"""A claim that its waiter was told of, made a full lease: in one statement, or as ever."""

from __future__ import annotations

from time import sleep
from typing import Any

import pytest

from sessiontracker.backend import operations as kinds
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.talk import Query
from tests.conditions import eventually

from .conftest import POSTGRESQL, Admin

PAYLOAD = b"payload"
HOLDER, WAITER, NEXT = 7, 8, 9


def one(backend: ServerBackend, operation: Any) -> Any:
    [outcome] = backend.execute([operation])
    return outcome


@pytest.fixture
def look_every() -> int:
    return 60_000


@pytest.fixture
def claimed(backend: ServerBackend, address: kinds.Address, look_every: int) -> int:
    """The last token, when the lock has just come to WAITER, of whom NEXT is behind."""
    one(backend, kinds.Start(address, 1, PAYLOAD, idle=60_000))
    granted = one(backend, kinds.Acquire(address, HOLDER, 60_000))
    for ticket in (WAITER, NEXT):
        queued = one(backend, kinds.Acquire(address, ticket, 60_000, look_every=look_every))
        assert isinstance(queued, kinds.Queued)
    one(backend, kinds.Release(address, HOLDER))
    return int(granted.token)


@pytest.mark.parametrize("url", POSTGRESQL, indirect=True)
@pytest.mark.parametrize("read", [False, True], ids=["lock", "session"])
def test_it_is_one_statement(
    asked: list[Query], claimed: int, backend: ServerBackend, address: kinds.Address, prefix: str,
    read: bool,
) -> None:  # fmt: skip
    asked.clear()
    claim = kinds.Acquire(address, WAITER, 60_000, "me", read=read)
    granted = one(backend, claim)
    assert len([query for query in asked if f"{prefix}keys k" in query.text]) == 1
    assert granted.token > claimed
    assert granted.expires_in == 60_000
    assert granted.found == (one(backend, kinds.Read(address)) if read else None)
    assert one(backend, claim) == granted  # a repeat, which is decided by what stands there
    assert one(backend, kinds.Acquire(address, 5, 1, queue=False)).holder == "me"
    hold = kinds.Hold(WAITER, granted.token)
    stamp = one(backend, kinds.Read(address)).meta.stamp
    assert isinstance(one(backend, kinds.Write(address, 2, stamp, b"mine", hold)), kinds.Saved)
    assert one(backend, kinds.Release(address, WAITER)) == kinds.Released()
    assert isinstance(one(backend, kinds.Acquire(address, NEXT, 60_000)), kinds.Granted)


def test_without_the_session_that_is_asked_for_nothing_is_taken(
    claimed: int, backend: ServerBackend, address: kinds.Address, stranger: Admin, prefix: str
) -> None:
    one(backend, kinds.Delete(address, 2))
    missing = one(backend, kinds.Acquire(address, WAITER, 60_000, read=True, keep=60_000))
    assert isinstance(missing, kinds.Missing)
    left = stranger.execute(f"SELECT lease_ticket, lease_token, lock_token FROM {prefix}keys")
    assert [tuple(row) for row in left] == [(NEXT, 0, claimed)]


def test_what_is_to_be_slid_is(
    claimed: int, backend: ServerBackend, address: kinds.Address
) -> None:
    before = one(backend, kinds.Read(address)).meta
    sleep(0.005)
    granted = one(backend, kinds.Acquire(address, WAITER, 60_000, read=True, touch_every=0))
    assert granted.token > claimed
    assert granted.found.meta.slid > before.slid
    assert one(backend, kinds.Read(address)) == granted.found


@pytest.mark.parametrize("look_every", [100])
def test_one_that_has_lapsed_is_none(
    claimed: int, backend: ServerBackend, address: kinds.Address
) -> None:
    another = kinds.Acquire(address, 6, 60_000, queue=False)
    eventually(lambda: isinstance(one(backend, another), kinds.Granted))
    assert not isinstance(one(backend, kinds.Acquire(address, WAITER, 60_000)), kinds.Granted)


def test_one_that_somebody_took_back_is_none(
    claimed: int, backend: ServerBackend, address: kinds.Address, open_backend: Any
) -> None:
    assert one(open_backend(), kinds.Release(address, WAITER)) == kinds.Released()
    lost = one(backend, kinds.Acquire(address, WAITER, 60_000))
    assert not isinstance(lost, kinds.Granted)


def test_a_row_that_a_stranger_has_locked_is_not_waited_for(
    claimed: int, backend: ServerBackend, address: kinds.Address, stranger: Admin, prefix: str
) -> None:
    stranger.execute("BEGIN")
    stranger.execute(f"SELECT 1 FROM {prefix}keys FOR UPDATE")
    busy = one(backend, kinds.Acquire(address, WAITER, 60_000))
    assert isinstance(busy, kinds.Unavailable)
    stranger.execute("ROLLBACK")
    assert isinstance(one(backend, kinds.Acquire(address, WAITER, 60_000)), kinds.Granted)
