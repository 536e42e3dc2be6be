"""What is remembered of an owner's sessions that have ended: it goes, and costs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from sessiontracker.contract import new_id
from sessiontracker.operations import (
    Acquire,
    Address,
    Counted,
    CountOwner,
    Delete,
    Ended,
    EndOwner,
    Failed,
    Found,
    Limit,
    ListOwner,
    Read,
    ReadShared,
    Reap,
    Reaped,
    Release,
    Rotate,
    Saved,
    Start,
    Unavailable,
    Unknown,
)
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.server_steps import ServerSteps
from tests.clock import Clock

from .conftest import Admin, Asked, OpenBackend
from .owned import literal, start


@pytest.fixture
def rows(admin: Admin, prefix: str, owner: Address) -> Callable[[], tuple[int, int]]:
    """How many rows there are of the owner's keys, and of its own."""
    own = f"type = {literal(admin, owner.type)} AND scope = {literal(admin, owner.scope)}"

    def count(table: str) -> int:
        return len(admin.execute(f"SELECT 1 FROM {prefix}{table} WHERE {own}"))

    return lambda: (count("keys"), count("owners"))


@pytest.fixture
def after_many(asked: Asked, open_backend: OpenBackend, owner: Address) -> ServerBackend:
    """An owner's two sessions, after 30 others of it that have just been ended, one by one."""
    backend = open_backend()
    for number in range(30):
        start(backend, owner, f"kgone-{number}")
        backend.execute([Delete(replace(owner, key=f"kgone-{number}"), new_id())])
    for key in ("ka", "kb"):
        start(backend, owner, key)
    asked.rows = 0
    return backend


@pytest.mark.parametrize(
    "step",
    [
        lambda owner: ListOwner(owner),
        lambda owner: CountOwner(owner),
        lambda owner: ReadShared(owner),
        lambda owner: Start(replace(owner, key="kc"), new_id(), b"x", limit=Limit(5)),
        lambda owner: Start(replace(owner, key="kgone-3"), new_id(), b"x", limit=Limit(5)),
        lambda owner: EndOwner(owner, new_id()),
    ],
    ids=["list", "count", "shared", "start", "start-again", "end"],
)
def test_what_has_ended_is_not_read_again(
    after_many: ServerBackend, asked: Asked, owner: Address, step: Callable[[Address], Any]
) -> None:
    [outcome] = after_many.execute([step(owner)])
    assert not isinstance(outcome, (Failed, Unavailable))
    assert asked.rows <= 5  # two sessions, what is at the key, and what was written


def test_a_repeated_log_out_looks_at_what_has_ended_since(
    after_many: ServerBackend, owner: Address
) -> None:
    since = time.time_ns() // 1_000_000 - 30_000
    assert after_many.execute([EndOwner(owner, new_id(), since=since)]) == [Unknown()]


def test_what_is_left_of_a_key_is_known_to_who_comes_back_to_it(
    after_many: ServerBackend, owner: Address
) -> None:
    key = replace(owner, key="kback")
    begun, ended = Start(key, new_id(), b"x", "alice"), Delete(key, new_id())
    after_many.execute([begun])
    after_many.execute([ended])
    since = time.time_ns() // 1_000_000 - 30_000
    assert after_many.execute([replace(begun, since=since)]) == [Unknown()]
    [found] = after_many.execute([Read(replace(owner, key="kb"))])
    assert isinstance(found, Found)
    rotate = Rotate(replace(owner, key="kb"), new_id(), found.meta.stamp, b"y", key.key)
    assert [type(each) for each in after_many.execute([rotate])] == [Saved]


def test_what_is_left_of_ended_sessions_goes_as_the_owner_does(
    open_backend: OpenBackend, owner: Address, rows: Callable[[], tuple[int, int]]
) -> None:
    clock = Clock()
    backend = open_backend(clock=clock)
    for key, idle in (("ka", 600_000), ("kb", 600_000), ("kc", 1_000)):
        backend.execute([Start(replace(owner, key=key), new_id(), b"x", "alice", idle=idle)])
    clock.move(70)
    backend.execute([Delete(replace(owner, key="ka"), new_id())])
    assert backend.execute([CountOwner(owner)]) == [Counted(1)]
    clock.move(1)
    assert backend.execute([EndOwner(owner, new_id())]) == [Ended(1)]
    backend.execute([Reap(100)])
    assert rows() == (1, 1)  # what "ka" was deleted by is remembered
    clock.move(60)
    for _ in range(2):
        backend.execute([Reap(100)])
    assert rows() == (0, 0)


def test_what_is_only_remembered_goes_by_itself(
    open_backend: OpenBackend, owner: Address, stranger: Admin, prefix: str,
    rows: Callable[[], tuple[int, int]],
) -> None:  # fmt: skip
    """Whoever is at the owner."""
    clock = Clock()
    backend = open_backend(clock=clock)
    for number in range(20):
        key = replace(owner, key=f"k{number}")
        backend.execute([Start(key, new_id(), b"x", "alice", idle=3_600_000)])
        if number:
            backend.execute([Delete(key, new_id())])
    clock.move(59)
    assert backend.execute([Reap(100)]) == [Reaped(0)]
    assert rows() == (20, 1)
    clock.move(2)
    stranger.execute("BEGIN")
    stranger.execute(f"SELECT 1 FROM {prefix}owners FOR UPDATE")
    backend.execute([Reap(100)])
    assert rows() == (1, 1)
    stranger.execute("ROLLBACK")
    assert backend.execute([CountOwner(owner)]) == [Counted(1)]


@pytest.mark.parametrize(
    "steps",
    [
        lambda key: [Start(key, new_id(), b"x"), Delete(key, new_id())],
        lambda key: [Acquire(key, 7, 1_000, keep=1_000), Release(key, 7)],
    ],
    ids=["session", "lock"],
)
def test_what_begins_and_ends_in_one_batch_leaves_no_owner(
    open_backend: OpenBackend, owner: Address, rows: Callable[[], tuple[int, int]],
    steps: Callable[[Address], list[Any]],
) -> None:  # fmt: skip
    clock = Clock()
    backend = open_backend(clock=clock)
    outcomes = backend.execute(steps(replace(owner, key="ka")))
    assert not any(isinstance(outcome, (Failed, Unavailable)) for outcome in outcomes)
    assert rows() == (1, 1)
    clock.move(61)
    for _ in range(2):
        backend.execute([Reap(100)])
    assert rows() == (0, 0)


def test_an_owner_whose_last_session_would_never_expire_goes(
    open_backend: OpenBackend, owner: Address, rows: Callable[[], tuple[int, int]]
) -> None:
    clock = Clock()
    backend = open_backend(clock=clock)
    key = replace(owner, key="ka")
    backend.execute([Start(key, new_id(), b"x")])
    backend.execute([Delete(key, new_id())])
    clock.move(61)
    for _ in range(2):
        backend.execute([Reap(100)])
    assert rows() == (0, 0)


def test_a_transaction_finds_what_is_remembered_of_an_owner_that_has_gone(
    open_backend: OpenBackend, owner: Address, engine: Engine, rows: Callable[[], tuple[int, int]]
) -> None:
    clock = Clock()
    backend = open_backend(clock=clock)
    begun = Start(replace(owner, key="ka"), new_id(), b"x", "alice", idle=1_000)
    backend.execute([begun])
    clock.move(5)
    backend.execute([Reap(100)])
    assert rows() == (1, 0)
    since = clock.now // 1000 - 30_000
    with engine.begin() as connection:
        transaction = backend.bind(connection)
        assert transaction is not None
        assert transaction.execute(replace(begun, since=since)) == Unknown()
        assert isinstance(transaction.execute(replace(begun, id=new_id())), Saved)
    assert rows() == (1, 1)
    assert backend.execute([CountOwner(owner)]) == [Counted(1)]


def test_what_goes_by_itself_while_a_transaction_comes_back_to_it_is_there_again(
    open_backend: OpenBackend, owner: Address, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    backend = open_backend(clock=clock)
    key = replace(owner, key="ka")
    for each in (replace(owner, key="kb"), key):
        backend.execute([Start(each, new_id(), b"x", "alice", idle=3_600_000)])
    backend.execute([Delete(key, new_id())])
    clock.move(61)
    write = ServerSteps._write_owner
    reaped = []

    def late(steps: ServerSteps, *given: Any) -> None:
        reaped.append(backend.execute([Reap(100)]))
        write(steps, *given)

    monkeypatch.setattr(ServerSteps, "_write_owner", late)
    with engine.begin() as connection:
        transaction = backend.bind(connection)
        assert transaction is not None
        assert isinstance(transaction.execute(Start(key, new_id(), b"x", "alice")), Saved)
    assert reaped
    assert backend.execute([CountOwner(owner)]) == [Counted(2)]
