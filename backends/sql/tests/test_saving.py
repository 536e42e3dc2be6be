"""A session saved by itself: one statement where nothing speaks against it, and always the answer
that a transaction would have given."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from time import time_ns
from typing import Any

import pytest
from msgspec.structs import replace

from sessiontracker.operations import (
    Acquire,
    Address,
    Delete,
    Finish,
    Found,
    Granted,
    IsFinished,
    Locked,
    Meta,
    Missing,
    Outcome,
    Ping,
    Read,
    Reap,
    Release,
    Saved,
    Stale,
    Start,
    Touch,
    Unavailable,
    Write,
)
from sessiontracker_sql.sqlite import SQLiteStore

At = Callable[..., Address]
OpenStore = Callable[..., SQLiteStore]


class Statements:
    """What is said to the database from now on."""

    def __init__(self, store: SQLiteStore) -> None:
        self.said: list[str] = []
        store._database._connected().connection.set_trace_callback(self.said.append)

    @property
    def first_words(self) -> list[str]:
        said = [text.split()[0] for text in self.said]
        self.said.clear()
        return said


@pytest.fixture
def statements(store: SQLiteStore, started: Meta) -> Statements:
    return Statements(store)


def saved(store: SQLiteStore, write: Write) -> Meta:
    [outcome] = store.execute([write])
    assert isinstance(outcome, Saved), outcome
    return outcome.meta


def test_it_is_one_statement(
    store: SQLiteStore, open_store: OpenStore, started: Meta, statements: Statements, clock: Any,
    at: At,
) -> None:  # fmt: skip
    meta = started
    ways = []
    for id in range(2, 22):
        clock.move(0.02)
        meta = saved(store, Write(at(), id, meta.stamp, b"%d" % id))
        ways.append(statements.first_words)
        assert (meta.version, meta.write) == (id, id)
        assert meta.updated == meta.slid == clock.now // 1000
        assert meta.expires == meta.slid + 60_000
    # Where a millisecond was over in the middle of it, it was done in a transaction.
    assert ways.count(["UPDATE"]) > 5
    for reader in (store, open_store()):
        assert reader.execute([Read(at())]) == [Found(meta, b"21")]


def test_it_does_not_outlive_its_end(store: SQLiteStore, clock: Any, at: At) -> None:
    [begun] = store.execute([Start(at(), 1, b"", idle=60_000, absolute=100_000)])
    assert isinstance(begun, Saved)
    clock.move(59.999)
    meta = saved(store, Write(at(), 2, begun.meta.stamp, b""))
    assert meta.expires == begun.meta.started + 100_000
    clock.move(40.001)
    assert store.execute([Write(at(), 3, meta.stamp, b"")]) == [Missing()]


def test_its_repeat_is_done_once(store: SQLiteStore, started: Meta, at: At) -> None:
    write = Write(at(), 2, started.stamp, b"new")
    meta = saved(store, write)
    assert saved(store, write) == meta


@pytest.mark.parametrize(
    ("others", "kind"),
    [
        ([Acquire(Address("", "", ""), 9, 30_000)], Locked),
        ([Acquire(Address("", "", ""), 9, 30_000), Release(Address("", "", ""), 9)], Saved),
        ([Finish(Address("", "", ""), 9, 60_000)], IsFinished),
        ([Delete(Address("", "", ""), 9)], Missing),
        ([Delete(Address("", "", ""), 9), Start(Address("", "", ""), 10, b"")], Stale),
        ([Touch(Address("", "", ""))], Saved),
        ([Reap()], Saved),
    ],
    ids=["locks", "locks and lets go", "finishes", "deletes", "starts anew", "slides", "reaps"],
)  # fmt: skip
def test_what_another_connection_did_is_heeded(
    store: SQLiteStore, open_store: OpenStore, started: Meta, at: At, others: list[Any],
    kind: type[Outcome],
) -> None:  # fmt: skip
    for other in others:
        open_store().execute([other if other.address is None else replace(other, address=at())])
    [outcome] = store.execute([Write(at(), 2, started.stamp, b"new")])
    assert type(outcome) is kind


def test_what_another_connection_wrote_is_not_overwritten(
    store: SQLiteStore, open_store: OpenStore, started: Meta, at: At
) -> None:
    meta = saved(open_store(), Write(at(), 2, started.stamp, b"theirs"))
    assert store.execute([Write(at(), 3, started.stamp, b"ours")]) == [Stale(2)]
    assert store.execute([Read(at())]) == [Found(meta, b"theirs")]


def test_one_that_is_held_up_after_it_read_the_clock_revives_nothing(
    open_store: OpenStore, clock: Any, at: At
) -> None:
    held_up = False

    def read_clock() -> int:
        now: int = clock.now
        if held_up:
            since = time_ns() // 1_000_000
            while time_ns() // 1_000_000 == since:
                pass
            clock.move(60)
        return now

    store, other = open_store(clock=read_clock), open_store()
    [begun] = store.execute([Start(at(), 1, b"", idle=60_000)])
    assert isinstance(begun, Saved)
    held_up = True
    assert store.execute([Write(at(), 2, begun.meta.stamp, b"")]) == [Missing()]
    assert other.execute([Read(at())]) == [Missing()]


def test_a_clock_that_was_set_back_makes_its_row_due_sooner(
    store: SQLiteStore, started: Meta, sql: sqlite3.Connection, clock: Any, at: At
) -> None:
    clock.move(-30)
    meta = saved(store, Write(at(), 2, started.stamp, b""))
    assert meta.expires == started.expires - 30_000
    assert sql.execute("SELECT due, deed_time FROM sessiontracker_keys").fetchall() == [
        (meta.expires, started.updated)
    ]


def test_a_lock_that_was_let_go_is_remembered(
    store: SQLiteStore, started: Meta, at: At, open_store: OpenStore
) -> None:
    [granted] = store.execute([Acquire(at(), 7, 30_000)])
    assert isinstance(granted, Granted)
    store.execute([Release(at(), 7)])
    saved(store, Write(at(), 2, started.stamp, b""))
    for number, each in enumerate((store, open_store())):
        [again] = each.execute([Acquire(at(), 8 + number, 30_000)])
        assert isinstance(again, Granted)
        assert again.token > granted.token
        store.execute([Release(at(), 8 + number)])


def test_it_waits_for_others_as_long_as_a_transaction_does(
    open_store: OpenStore, started: Meta, sql: sqlite3.Connection, at: At
) -> None:
    store = open_store(timeout=0.2)
    store.execute([Read(at())])
    sql.execute("BEGIN IMMEDIATE")
    write = Write(at(), 2, started.stamp, b"")
    [outcome] = store.execute([write])
    assert isinstance(outcome, Unavailable)
    assert "for more than 0.2 s" in outcome.reason
    sql.execute("ROLLBACK")
    assert saved(store, write).version == 2


def test_a_number_that_no_column_can_hold_is_refused(
    store: SQLiteStore, started: Meta, at: At
) -> None:
    write = Write(at(), 2**63, started.stamp, b"")
    [outcome] = store.execute([write])
    [in_transaction, _] = store.execute([write, Ping()])
    assert str(outcome) == str(in_transaction)
    assert saved(store, Write(at(), 2, started.stamp, b"")).version == 2
