"""What somebody else put under our keys: scripts look first, and refuse before they write."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from sessiontracker.backend import operations
from sessiontracker.operations import (
    Acquire,
    Address,
    Broken,
    Delete,
    EndOwner,
    Finish,
    Found,
    Granted,
    Limit,
    Page,
    Queued,
    Read,
    Release,
    Saved,
    Scan,
    Start,
    Write,
)
from sessiontracker_redis._sync.backend import RedisBackend

SCOPE = "c2NvcGUgb2YgMTI4IGJpdA"
PLAIN = Address("checkout", "", "kone")
OWNED = Address("login", SCOPE, "kone")
OTHER = Address("login", SCOPE, "ktwo")
LOCK = 92  # bytes before the holder

Ask = Callable[[operations.Operation], operations.Outcome]


@pytest.fixture
def ask(backend: RedisBackend) -> Ask:
    return lambda operation: backend.execute([operation])[0]


@pytest.fixture
def stamp(ask: Ask) -> Callable[[Address], operations.Stamp]:
    def of(address: Address) -> operations.Stamp:
        found = ask(Read(address))
        assert isinstance(found, Found)
        return found.meta.stamp

    return of


def everything(admin: Redis, prefix: str) -> dict[bytes, Any]:
    """All that is stored, in the server's own form."""
    return {name: admin.dump(name) for name in admin.keys(f"{prefix}*")}


NAME = b"\0\x05web-1\0\x07channel"
WAITER = b"ticket!!" + struct.pack(">Q", 1000)[1:] + struct.pack(">Q", 1 << 41)[1:] + bytes(4)
TIMES = struct.pack(">Q", 1 << 41)[1:] * 2
QUEUE = TIMES + struct.pack(">I", len(NAME)) + NAME + WAITER
QUEUES = {
    "no head": b"\xc1",
    "a head alone": TIMES + bytes(4),
    "nobody": QUEUE[: -len(WAITER)],
    "cut": QUEUE[:-3],
    "half a waiter": QUEUE + WAITER[:12],
    "names that are not there": TIMES + struct.pack(">I", 1000) + NAME + WAITER,
    "names without end": TIMES + b"\xff\xff\xff\xff" + NAME + WAITER,
}


@pytest.mark.parametrize("address", [PLAIN, OWNED])
@pytest.mark.parametrize("queue", QUEUES)
def test_a_queue_that_is_none_is_refused_before_anything_is_written(
    ask: Ask, admin: Redis, prefix: str, stamp: Any, address: Address, queue: str
) -> None:
    ask(Start(address, 1, b"payload"))
    read = stamp(address)
    name = spoil_queue(ask, admin, prefix, address, QUEUES[queue])
    before = everything(admin, prefix)
    for operation in (
        Write(address, 2, read, b"new"),
        Finish(address, 3, 60_000),
        Release(address, 11),
        Acquire(address, 12, 60_000, "web-2"),
        Delete(address, 4),
        Start(address, 5, b"again"),
    ):
        outcome = ask(operation)
        assert isinstance(outcome, Broken), (operation, outcome)
        assert name in outcome.reason
        assert everything(admin, prefix) == before


@pytest.mark.parametrize("place", [1, len(NAME) - 8, len(NAME), 2**32 - 1])
@pytest.mark.parametrize("address", [PLAIN, OWNED])
def test_who_waits_without_a_name_is_given_nothing(
    ask: Ask, admin: Redis, prefix: str, stamp: Any, address: Address, place: int
) -> None:
    ask(Start(address, 1, b"payload"))
    queue = QUEUE[:-4] + struct.pack(">I", place)
    name = spoil_queue(ask, admin, prefix, address, queue)
    before = everything(admin, prefix)
    outcome = ask(Release(address, 11))
    assert isinstance(outcome, Broken)
    assert name in outcome.reason
    assert everything(admin, prefix) == before
    assert isinstance(ask(Delete(address, 4)), operations.Deleted)


def test_names_that_overlap_are_not_multiplied(ask: Ask, admin: Redis, prefix: str) -> None:
    many = 300
    names = b"\xff" * (2 * 65_537 + many)
    waiters = b"".join(
        number.to_bytes(8) + WAITER[8:-4] + number.to_bytes(4) for number in range(1, many)
    )
    queue = bytes(14) + len(names).to_bytes(4) + names + waiters
    name = spoil_queue(ask, admin, prefix, PLAIN, queue)
    assert isinstance(ask(Acquire(PLAIN, 2**40, 60_000, "web-3")), Queued)
    assert admin.strlen(name) < 2 * len(queue)


def spoil_queue(ask: Ask, admin: Redis, prefix: str, address: Address, queue: bytes) -> str:
    """Somebody has the lock, and ``queue`` is there for it; the name of what is spoilt."""
    assert isinstance(ask(Acquire(address, 11, 60_000, "web-1")), Granted)
    assert isinstance(ask(Acquire(address, 12, 60_000, "web-2")), Queued)
    if address.scope:
        name = f"{prefix}login:{{{SCOPE}}}:lh"
        stored = admin.hget(name, "kone")
    else:
        name = f"{prefix}checkout:{{kone}}:l"
        stored = admin.get(name)
    assert isinstance(stored, bytes)
    spoilt = stored[: LOCK + int.from_bytes(stored[LOCK - 2 : LOCK], "big")] + queue
    if address.scope:
        admin.hset(name, "kone", spoilt)
    else:
        admin.set(name, spoilt)
    return name


@pytest.mark.parametrize("token", [b"1e+15              ", b"-" + b"1" * 18, b"9" * 19])
def test_a_token_that_is_none_is_refused_before_anything_is_written(
    ask: Ask, admin: Redis, prefix: str, token: bytes
) -> None:
    ask(Start(PLAIN, 1, b"payload"))
    ask(Acquire(PLAIN, 11, 60_000, "web-1"))
    name = f"{prefix}checkout:{{kone}}:l"
    stored = admin.get(name)
    assert isinstance(stored, bytes)
    admin.set(name, stored[:1] + token + stored[20:])
    before = everything(admin, prefix)
    for operation in (Delete(PLAIN, 3), Finish(PLAIN, 4, 60_000), Acquire(PLAIN, 12, 60_000)):
        outcome = ask(operation)
        assert isinstance(outcome, Broken), (operation, outcome)
        assert everything(admin, prefix) == before


SPOILT_OWNERS: dict[str, Callable[[Redis, str], object]] = {
    "a payload is missing": lambda admin, name: admin.hdel(f"{name}:ap", "kone"),
    "payloads are no hash": lambda admin, name: admin.set(f"{name}:ap", "x"),
    "finished payloads are no hash": lambda admin, name: admin.set(f"{name}:fp", "x"),
    "a head is none": lambda admin, name: admin.hset(f"{name}:ah", "kone", b"\x09" * 80),
    "a lock is none": lambda admin, name: admin.hset(f"{name}:lh", "kone", "x"),
    "the owner is none": lambda admin, name: admin.set(f"{name}:o", b"\x04" + b"x" * 80),
}


@pytest.mark.parametrize("how", SPOILT_OWNERS)
def test_another_s_spoilt_session_stops_no_script_half_way(
    ask: Ask, admin: Redis, prefix: str, how: str
) -> None:
    ask(Start(OWNED, 1, b"payload"))
    ask(Acquire(OWNED, 11, 60_000, "web-1"))
    name = f"{prefix}login:{{{SCOPE}}}"
    SPOILT_OWNERS[how](admin, name)
    before = everything(admin, prefix)
    makes_room = Limit(1, finish_oldest=True, retention=60_000)
    start = Start(OTHER, 5, b"other", limit=makes_room)
    for operation in (
        start,
        Acquire(OTHER, 13, 60_000, start=start),
        EndOwner(Address("login", SCOPE, ""), 6, 60_000),
    ):
        outcome = ask(operation)
        assert isinstance(outcome, Broken), (operation, outcome)
        assert everything(admin, prefix) == before


@pytest.mark.parametrize("place", ["ah", "fh", "lh"])
def test_a_stranger_among_an_owner_s_sessions_is_named_before_any_is_deleted(
    ask: Ask, admin: Redis, prefix: str, place: str
) -> None:
    ask(Start(OWNED, 1, b"payload"))
    ask(Finish(OWNED, 2, 60_000))
    ask(Start(OWNED, 3, b"payload"))
    name = f"{prefix}login:{{{SCOPE}}}:{place}"
    admin.hset(name, "kstranger", "x")
    before = everything(admin, prefix)
    for keep in ("", "kone"):
        outcome = ask(EndOwner(Address("login", SCOPE, ""), 6, keep=keep))
        assert isinstance(outcome, Broken), outcome
        assert name in outcome.reason
        assert "kstranger" in outcome.reason
        assert everything(admin, prefix) == before


def test_a_name_that_is_no_text_stops_no_scan(ask: Ask, admin: Redis, prefix: str) -> None:
    ask(Start(PLAIN, 1, b"payload"))
    stored = admin.get(f"{prefix}checkout:{{kone}}:a")
    assert isinstance(stored, bytes)
    admin.set(f"{prefix}checkout:{{".encode() + b"\xff\xfe}:a", stored)
    admin.hset(f"{prefix}checkout:{{{SCOPE}}}:ah", b"\xff", b"x")
    found: list[Address] = []
    more = Scan("checkout")
    while True:  # an empty page need not be the last
        page = ask(more)  # type: ignore[arg-type]
        assert isinstance(page, Page)
        found += [item.address for item in page.items]
        if not page.cursor:
            break
        more = Scan("checkout", cursor=page.cursor)
    assert found == [PLAIN]


def test_a_holder_and_an_owner_that_are_no_text_are_shown_all_the_same(
    ask: Ask, admin: Redis, prefix: str
) -> None:
    saved = ask(Start(PLAIN, 1, b"payload", owner="alice"))
    assert isinstance(saved, Saved)
    name = f"{prefix}checkout:{{kone}}:a"
    stored = admin.get(name)
    assert isinstance(stored, bytes)
    admin.set(name, stored.replace(b"alice", b"\xff\xfe\xfd\xfc\xfb"))
    found = ask(Read(PLAIN))
    assert isinstance(found, Found)
    assert found.payload == b"payload"
    admin.set(name, stored[:-9])
    assert isinstance(ask(Read(PLAIN)), Broken)
