"""What is read by a transaction: what comes of it where it is refused, cut or sent elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from shutil import which
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ExecAbortError, MovedError

from redis_servers import Cluster, Server
from sessiontracker.backend import BackendError
from sessiontracker.keys import new_scope
from sessiontracker.operations import (
    Address,
    Broken,
    EndOwner,
    Failed,
    Listed,
    ListOwner,
    Page,
    Saved,
    Scan,
    Start,
    WriteShared,
)
from sessiontracker_redis._async.backend import AsyncRedisBackend
from sessiontracker_redis._sync.backend import RedisBackend
from sessiontracker_redis.packing import Packer, with_scripts
from sessiontracker_redis.scripts import OWNED_SCRIPTS
from sessiontracker_redis.slots import slot_of
from sessiontracker_redis.transaction import count, together, wire

OpenBackend = Callable[..., RedisBackend]
HOUR = 3_600_000


def an_owner(backend: RedisBackend, kind: str = "login") -> Address:
    """One with three sessions and what they share."""
    owner = Address(kind, new_scope(), "")
    for number in (1, 2, 3):
        at = Address(owner.type, owner.scope, f"k{number}")
        [outcome] = backend.execute([Start(at, number, b"x%d" % number, "alice", idle=HOUR)])
        assert isinstance(outcome, Saved), outcome
    backend.execute([WriteShared(owner, 4, 0, 0, b"dark", HOUR)])
    return owner


def listed(backend: RedisBackend, *owners: Address) -> list[Listed]:
    outcomes = backend.execute([ListOwner(owner) for owner in owners])
    for outcome in outcomes:
        assert isinstance(outcome, Listed), outcome
        assert {item.payload for item in outcome.items} == {b"x1", b"x2", b"x3"}
        assert {item.shared and item.shared.payload for item in outcome.items} == {b"dark"}
    return outcomes  # type: ignore[return-value]


# By itself -------------------------------------------------------------------

LIST = Packer("st:", "", None).evalsha(ListOwner(Address("login", "scope", "")))
READ = (b"EVALSHA", b"0" * 40, b"0")
QUEUED = [b"OK", b"QUEUED", b"QUEUED", b"QUEUED", b"QUEUED"]
MOVED, ABORTED = MovedError("7 h:1"), ExecAbortError("previous errors")


@pytest.mark.parametrize(
    ("replies", "wanted"),
    [
        ([b"a", *QUEUED, [1, 2, 3, 4], b"b"], [b"a", [14, 1, 2, 3, 4], b"b"]),
        ([b"a", *QUEUED, [1, MOVED, 3, ABORTED], b"b"], [b"a", MOVED, b"b"]),
        ([b"a", *QUEUED[:2], MOVED, *QUEUED[:2], ABORTED, b"b"], [b"a", MOVED, b"b"]),
        ([b"a", *QUEUED, ABORTED, b"b"], [b"a", ABORTED, b"b"]),
        ([b"a", *QUEUED, 7, b"b"], [b"a", 7, b"b"]),
        ([b"a", *QUEUED], [b"a"]),
        ([b"a", b"OK", b"QUEUED"], [b"a"]),
        ([], []),
    ],
)
def test_a_reply_of_many_parts_is_one(replies: list[Any], wanted: list[Any]) -> None:
    commands = [READ, LIST, READ]
    assert sum(map(count, commands)) == 8
    assert together(commands, replies) == wanted
    assert together([READ], [MOVED]) == [MOVED]


def test_the_script_can_take_its_place() -> None:
    assert wire(LIST).startswith(b"*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nTIME\r\n")
    first, second = with_scripts([LIST, LIST])
    assert first == (b"EVAL", OWNED_SCRIPTS["list"].text, *LIST[2:])
    assert second == (b"EVALSHA", *LIST[1:])


# On servers ------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("kind", ["valkey", *["redis"] * (which("redis-server") is not None)])
async def test_memory_that_is_full_can_be_read(
    open_backend: OpenBackend,
    open_async: Any,
    server_of: Callable[..., Server],
    kind: str,
    protocol: int,
) -> None:
    """A Redis that is short of it queues no command for a transaction."""
    server = server_of(kind)
    backend = open_backend(server.url, protocol=protocol)
    own: AsyncRedisBackend = await open_async(server.url, protocol=protocol)
    owners = [an_owner(backend), an_owner(backend)]
    before = listed(backend, *owners)
    server.ask("CONFIG SET maxmemory 1")
    assert listed(backend, *owners) == before
    assert await own.execute([ListOwner(owner) for owner in owners]) == before
    found, cursor = 0, ""
    while True:
        [page] = backend.execute([Scan("login", cursor=cursor)])
        assert isinstance(page, Page), page
        found, cursor = found + len(page.items), page.cursor
        if not cursor:
            break
    assert found == 6


def test_what_is_no_hash_is_broken(backend: RedisBackend, admin: Redis, prefix: str) -> None:
    for ending in ("ah", "ap", "o"):
        owner = an_owner(backend)
        name = f"{prefix}login:{{{owner.scope}}}:{ending}"
        admin.delete(name)
        admin.rpush(name, "x")
        [outcome] = backend.execute([ListOwner(owner)])
        assert isinstance(outcome, Broken), outcome


def test_a_user_who_may_not(open_backend: OpenBackend, url: str, admin: Redis) -> None:
    rights: dict[str, Any] = {"enabled": True, "passwords": ["+pw"], "keys": ["*"]}
    admin.acl_setuser("scripts", commands=["+@all", "-multi"], channels=["*"], **rights)
    backend = open_backend(url, username="scripts", password="pw")
    [outcome] = backend.execute([ListOwner(an_owner(backend))])
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, BackendError)
    assert "extend its ACL" in str(outcome.error)
    admin.acl_deluser("scripts")


def test_a_slot_that_moves(cluster: Cluster, open_backend: OpenBackend, prefix: str) -> None:
    """It goes where it is sent as a whole, with others in the same batch."""
    backend = open_backend(cluster.url)
    source, target = cluster.owner(0), cluster.owner(16383)
    own = (an_owner(backend) for _ in range(1000))
    moving, staying = (
        next(owner for owner in own if cluster.owner(slot_of(owner.scope)) is server)
        for server in (source, target)
    )
    number = slot_of(moving.scope)
    cluster.begin_to_migrate(number, source, target)
    try:
        listed(backend, moving, staying)
        cluster.move_keys(number, source, target)
        # Not all that the script may read is there.
        assert type(backend.execute([ListOwner(moving)])[0]).__name__ == "Unavailable"
    finally:
        cluster.settle(number, target)
    listed(backend, staying, moving, staying)
    cluster.migrate(number, target, source)
    listed(backend, moving, staying)
    for owner in (moving, staying):
        backend.execute([EndOwner(owner, 9)])
