"""An owner's rows on a server: who waits for whom, what is left, and what it costs."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from msgspec.structs import replace

from sessiontracker.contract import new_id
from sessiontracker.keys import new_scope
from sessiontracker.operations import (
    Address,
    CountOwner,
    Delete,
    Ended,
    EndOwner,
    Failed,
    Finish,
    Found,
    Limit,
    LimitReached,
    ListOwner,
    Missing,
    Read,
    ReadShared,
    Reap,
    Reaped,
    Resume,
    Rotate,
    Saved,
    SavedShared,
    Start,
    Touch,
    Unavailable,
    Write,
    WriteShared,
)
from sessiontracker_sql._sync.backend import ServerBackend

from .conftest import Admin, Asked, OpenBackend
from .owned import literal, start


def test_an_owner_that_a_stranger_has_locked_holds_up_no_other(
    backend: ServerBackend, stranger: Any, prefix: str, owner: Address
) -> None:
    other = replace(owner, scope=new_scope())
    for each in (owner, other):
        assert isinstance(start(backend, each, "ka"), Saved)
    stranger.execute("BEGIN")
    type, scope = (literal(stranger, part) for part in (owner.type, owner.scope))
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


def test_a_new_owner_that_an_open_transaction_has_holds_up_no_other(
    backend: ServerBackend, stranger: Admin, prefix: str, owner: Address
) -> None:
    others = [replace(owner, scope=new_scope()) for _ in range(4)]
    start(backend, owner, "ka")
    stranger.execute(f"CREATE TABLE {prefix}copy AS SELECT * FROM {prefix}owners")
    try:
        stranger.execute(f"DELETE FROM {prefix}owners")
        stranger.execute("BEGIN")
        stranger.execute(f"INSERT INTO {prefix}owners SELECT * FROM {prefix}copy")
        outcomes = backend.execute(
            [Start(replace(each, key="kb"), new_id(), b"x", "alice") for each in [owner, *others]]
        )
        assert isinstance(outcomes[0], Unavailable), outcomes[0]
        assert {type(outcome) for outcome in outcomes[1:]} == {Saved}
        stranger.execute("COMMIT")
        assert isinstance(start(backend, owner, "kb"), Saved)
    finally:
        stranger.execute("ROLLBACK")
        stranger.execute(f"DROP TABLE {prefix}copy")


def test_one_batch_keeps_a_limit(backend: ServerBackend, owner: Address) -> None:
    operations = [
        Start(replace(owner, key=f"k{number}"), new_id(), b"", limit=Limit(3))
        for number in range(8)
    ]
    outcomes = backend.execute(operations)
    assert [type(each) for each in outcomes] == [Saved] * 3 + [LimitReached] * 5


def test_owners_leave_no_rows(open_backend: OpenBackend, admin: Any, prefix: str) -> None:
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


def test_a_key_of_which_both_sessions_expired_is_reaped_however_few_are_asked_for(
    open_backend: OpenBackend, owner: Address
) -> None:
    now = time.time_ns() // 1000
    backend = open_backend(clock=lambda: now)
    key = replace(owner, key="ka")
    backend.execute(
        [
            Start(key, new_id(), b"x", "alice", idle=1_000),
            Finish(key, new_id(), 1_000),
            Start(key, new_id(), b"x", "alice", idle=1_000),
            Start(replace(owner, key="kb"), new_id(), b"x", "alice", idle=72_000_000),
        ]
    )
    now += 2_000_000
    assert backend.execute([Reap(1)]) == [Reaped(2)]
    assert backend.execute([Reap(1)]) == [Reaped(0)]


def test_what_is_too_large_for_a_packet_is_refused_and_said(
    backend: ServerBackend, admin: Any, owner: Address
) -> None:
    if admin.is_postgresql:
        pytest.skip("PostgreSQL has no such limit")
    [[most]] = admin.execute("SELECT @@max_allowed_packet")
    outcome = start(backend, owner, "ka", bytes(most // 2))
    assert isinstance(outcome, Failed), outcome
    assert "max_allowed_packet" in str(outcome.error)
    assert isinstance(start(backend, owner, "ka"), Saved)


# What it costs ---------------------------------------------------------------------

DEVICES = [f"kdevice-{n}" for n in range(10)]
WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b")


@pytest.fixture
def costs(asked: Asked, backend: ServerBackend, admin: Admin, owner: Address) -> Any:
    """What an operation costs: the statements that read, and the transactions that write."""
    for device in DEVICES:
        start(backend, owner, device)

    def of(operation: Any) -> tuple[int, int]:
        asked.clear()
        [outcome] = backend.execute([operation])
        assert not isinstance(outcome, (Missing, Failed, Unavailable))
        writes = [query.text for query in asked if WRITES.search(query.text)]
        for text in writes:  # by itself, a statement is a transaction
            if admin.is_postgresql:
                assert text.startswith("WITH")
                assert ";" not in text
            else:
                assert text.startswith("START TRANSACTION;")
                assert text.endswith(";COMMIT")
                assert text.count("COMMIT") == 1
        return len(asked) - len(writes), len(writes)

    return of


def test_an_operation_on_ten_sessions_is_one_statement_and_one_transaction_if_it_writes(
    costs: Any, backend: ServerBackend, owner: Address
) -> None:
    first, second, third = (replace(owner, key=key) for key in DEVICES[:3])
    new, newest = replace(owner, key="knew"), replace(owner, key="knewest")
    stamps: list[Any] = []
    for each in (second, third):
        [found] = backend.execute([Read(each)])
        assert isinstance(found, Found)
        stamps.append(found.meta.stamp)
    oldest_go = Limit(5, finish_oldest=True, retention=60_000)
    for cost, operations in {
        (1, 0): [ListOwner(owner), CountOwner(owner), ReadShared(owner), Read(first)],
        (1, 1): [
            Touch(first),
            Write(second, new_id(), stamps[0], b"y"),
            Rotate(third, new_id(), stamps[1], b"y", "kthird"),
            WriteShared(owner, new_id(), 0, 0, b"shared", 60_000),
            Finish(first, new_id(), 60_000),
            Resume(first, new_id()),
            Start(new, new_id(), b"x", "alice", limit=Limit(20)),
            Start(newest, new_id(), b"x", "alice", limit=oldest_go),
            EndOwner(owner, new_id(), retention=60_000, keep="knew"),
            Delete(new, new_id()),
            EndOwner(owner, new_id()),
        ],
    }.items():
        for operation in operations:
            said = costs(operation)
            print(
                f"{type(operation).__name__}: {said[0]} statement read, {said[1]} transaction wrote"
            )
            assert said == cost
