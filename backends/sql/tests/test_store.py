"""The store by itself: batches, reading, waiting, scanning, reaping, rows that are none of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessiontracker.backend import operations
from sessiontracker.operations import (
    Acquire,
    Address,
    Broken,
    Delete,
    Failed,
    Finish,
    Found,
    Granted,
    Item,
    Meta,
    Missing,
    Page,
    Ping,
    Pong,
    Queued,
    Read,
    Reap,
    Reaped,
    Release,
    Saved,
    Scan,
    Stamp,
    Start,
    Touch,
    Unavailable,
    Write,
)
from sessiontracker_sql.options import Options
from sessiontracker_sql.sqlite import SQLiteStore

At = Callable[..., Address]
OpenStore = Callable[..., SQLiteStore]


# Batches ---------------------------------------------------------------------


def test_operations_on_one_key_take_effect_in_order(store: SQLiteStore, at: At) -> None:
    outcomes = store.execute(
        [
            Read(at()),
            Start(at(), 1, b"one"),
            Ping(),
            Write(at(), 2, Stamp(1, 1, 1), b"two"),
            Read(at()),
            Delete(at(), 3),
            Scan("checkout"),
            Read(at()),
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [
        Missing, Saved, Pong, Saved, Found, operations.Deleted, Page, Missing,
    ]  # fmt: skip
    assert isinstance(outcomes[4], Found)
    assert outcomes[4].payload == b"two"


def test_one_that_sqlite_refuses_fails_alone(store: SQLiteStore, at: At) -> None:
    first, huge, last = store.execute(
        [Start(at("a"), 1, b""), Start(at("b"), 2**63, b""), Start(at("c"), 3, b"")]
    )
    assert isinstance(first, Saved)
    assert isinstance(last, Saved)
    assert isinstance(huge, Failed)
    assert "nothing was changed" in str(huge.error)
    assert [type(o) for o in store.execute([Read(at(key)) for key in "abc"])] == [
        Found, Missing, Found,
    ]  # fmt: skip


def test_keys_that_differ_in_anything_are_different(store: SQLiteStore) -> None:
    keys = [
        "a", "A", "a ", "a  ", " a", "á", "a\u0301", "a\x00", "a\x00b", "\x00", "ß", "ss", "🙂",
        "🙂\ufe0f", "x" * 1024, "x" * 1023 + "y", "'; DROP TABLE sessiontracker_keys; --", "%", "_",
    ]  # fmt: skip
    places = [Address("checkout", "", f"k{key}") for key in keys]
    places += [Address("Checkout", "", "ka"), Address("checkout", "scope", "ka")]
    started = store.execute([Start(place, i, str(i).encode()) for i, place in enumerate(places, 1)])
    assert all(isinstance(outcome, Saved) for outcome in started)
    found = store.execute([Read(place) for place in places])
    assert [outcome.payload for outcome in found if isinstance(outcome, Found)] == [
        str(i).encode() for i in range(1, len(places) + 1)
    ]


def test_a_payload_comes_back_whatever_it_holds(store: SQLiteStore, at: At) -> None:
    payloads = [b"", b"\x00", bytes(range(256)), b"x" * 1_048_576]
    store.execute([Start(at(str(i)), i + 1, payload) for i, payload in enumerate(payloads)])
    found = store.execute([Read(at(str(i))) for i in range(len(payloads))])
    assert [outcome.payload for outcome in found if isinstance(outcome, Found)] == payloads


@pytest.mark.parametrize("name", ["a b#c?d=e%20f&g.db", "größe-🙂.db", "-wal.db"])
def test_the_file_may_have_any_name(name: str, tmp_path: Path, at: At) -> None:
    store = SQLiteStore(Options(path=tmp_path / name))
    store.open()
    assert isinstance(store.execute([Start(at(), 1, b"")])[0], Saved)
    store.close()
    assert [file.name for file in tmp_path.iterdir()] == [name]


# Reading ---------------------------------------------------------------------


def test_reading_needs_no_write_lock(
    store: SQLiteStore, started: Meta, sql: sqlite3.Connection, at: At
) -> None:
    sql.execute("BEGIN IMMEDIATE")
    outcomes = store.execute(
        [
            Read(at(), slide=True),
            Read(at("other")),
            Start(at(), 9, b"", read=True),
            Scan("checkout"),
        ]
    )
    found = Found(started, b"payload")
    assert outcomes == [found, Missing(), found, Page([Item(at(), started, b"payload")], "")]


def test_reading_writes_nothing(
    store: SQLiteStore, started: Meta, sql: sqlite3.Connection, at: At
) -> None:
    before = sql.execute("PRAGMA data_version").fetchone()
    store.execute([Read(at(), slide=True)])
    assert sql.execute("PRAGMA data_version").fetchone() == before


def test_a_slide_that_is_due_is_written(
    store: SQLiteStore, started: Meta, clock: Any, sql: sqlite3.Connection, at: At
) -> None:
    clock.move(30)
    read = Read(at(), slide=True)
    [first, second] = store.execute([read, Read(at("other"))])
    assert isinstance(first, Found)
    assert first.meta.expires == started.expires + 30_000
    assert second == Missing()
    assert sql.execute("SELECT active_expires FROM sessiontracker_keys").fetchall() == [
        (first.meta.expires,)
    ]


def test_what_another_connection_wrote_is_seen_at_once(
    store: SQLiteStore, open_store: OpenStore, started: Meta, at: At
) -> None:
    other = open_store()
    meta = started
    for i in range(2, 12):
        writer, reader = (store, other) if i % 2 else (other, store)
        [saved] = writer.execute([Write(at(), i, meta.stamp, b"%d" % i)])
        assert isinstance(saved, Saved)
        meta = saved.meta
        assert reader.execute([Read(at())]) == [Found(meta, b"%d" % i)]


# Waiting ---------------------------------------------------------------------


def test_a_claim_given_by_this_connection_is_told_with_its_batch(
    store: SQLiteStore, at: At
) -> None:
    store.execute([Acquire(at(), 1, 30_000)])
    assert isinstance(store.execute([Acquire(at(), 2, 30_000)])[0], Queued)
    assert list(store.claims()) == []
    store.execute([Release(at(), 1)])
    assert list(store.claims()) == [2]
    store.execute([Read(at())])
    assert list(store.claims()) == []


def test_a_claim_given_by_another_is_found_by_looking(
    store: SQLiteStore, open_store: OpenStore, at: At
) -> None:
    other = open_store()
    waiting = {2: at(), 3: at("else")}
    store.execute([Acquire(at(), 1, 30_000), Acquire(at("else"), 7, 30_000)])
    store.execute([Acquire(at(), 2, 30_000), Acquire(at("else"), 3, 30_000)])
    store.look(waiting)
    assert list(store.look(waiting)) == []
    other.execute([Release(at(), 1)])
    assert list(store.look(waiting)) == [2]
    [granted] = store.execute([Acquire(at(), 2, 30_000)])
    assert isinstance(granted, Granted)


def test_a_look_that_failed_is_made_again_in_full(
    store: SQLiteStore, open_store: OpenStore, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_store()
    other.execute([Acquire(at(), 1, 60_000)])
    store.execute([Acquire(at(), 2, 60_000)])
    other.execute([Release(at(), 1)])

    def fail(work: object) -> None:
        raise sqlite3.OperationalError("it is told to")

    with monkeypatch.context() as patched:
        patched.setattr(store._database, "read", fail)
        with pytest.raises(sqlite3.OperationalError):
            store.look({2: at()})
    assert list(store.look({2: at()})) == [2]


# The store as a whole --------------------------------------------------------


def test_a_scan_has_every_session_once_and_in_pages(store: SQLiteStore, clock: Any) -> None:
    places = [Address("t", "", f"k{i:03}") for i in range(7)]
    places += [Address("t", scope * 22, f"k{i}") for scope in "ab" for i in range(3)]
    starts = [Start(place, i, b"", idle=1_000) for i, place in enumerate(places, 1)]
    store.execute(
        [*starts, Start(Address("u", "", "k"), 99, b""), Start(Address("", "", "k"), 98, b"")]
    )
    store.execute([Finish(places[1], 50, 9_000), Finish(places[8], 51, 9_000)])

    def scanned(**options: Any) -> list[Address]:
        found: list[Address] = []
        cursor = ""
        while True:
            [page] = store.execute([Scan("t", cursor=cursor, limit=3, **options)])
            assert isinstance(page, Page)
            assert len(page.items) <= 3
            found += [item.address for item in page.items]
            cursor = page.cursor
            if not cursor:
                return found

    active = [place for place in places if place not in (places[1], places[8])]
    assert scanned() == active
    assert scanned(finished=True) == [places[1], places[8]]
    clock.move(2)
    assert scanned() == []
    assert scanned(finished=True) == [places[1], places[8]]


def test_a_cursor_that_is_none_is_refused(store: SQLiteStore) -> None:
    [outcome] = store.execute([Scan("t", cursor="nonsense")])
    assert isinstance(outcome, Failed)
    assert "begin again" in str(outcome.error)


def rows(sql: sqlite3.Connection) -> int:
    [(count,)] = sql.execute("SELECT count(*) FROM sessiontracker_keys")
    return int(count)


def test_reaping_is_bounded_oldest_first_and_leaves_no_row_behind(
    store: SQLiteStore, clock: Any, sql: sqlite3.Connection, at: At
) -> None:
    for i in range(10):
        store.execute([Start(at(str(i)), i + 1, b"", idle=1_000 * (i + 1))])
    store.execute([Start(at("stays"), 99, b"", idle=10_000_000)])
    assert store.execute([Reap()]) == [Reaped(0)]
    clock.move(10.5)
    assert store.execute([Reap(limit=4)]) == [Reaped(4)]
    left = sql.execute("SELECT key FROM sessiontracker_keys WHERE active_life IS NOT NULL")
    assert {key for (key,) in left} == {b"kstays", *(b"k%d" % i for i in range(4, 10))}
    assert store.execute([Reap(limit=100)]) == [Reaped(6)]
    assert store.execute([Reap()]) == [Reaped(0)]
    assert rows(sql) == 11  # each remembers the last thing done to it for a minute
    clock.move(60)
    store.execute([Reap()])
    assert rows(sql) == 1


def test_reaping_is_bounded_also_where_only_memories_go(
    store: SQLiteStore, clock: Any, sql: sqlite3.Connection, at: At
) -> None:
    for i in range(0, 1_200, 200):
        keys = range(i, i + 200)
        store.execute([Start(at(str(key)), key + 1, b"") for key in keys])
        store.execute([Delete(at(str(key)), key + 5_000) for key in keys])
    clock.move(100)
    assert store.execute([Reap(limit=1)]) == [Reaped(0)]
    assert 0 < rows(sql) < 1_200
    while rows(sql):
        assert store.execute([Reap(limit=200)]) == [Reaped(0)]


def test_what_was_prolonged_since_is_put_off_and_kept(
    store: SQLiteStore, started: Meta, clock: Any, sql: sqlite3.Connection, at: At
) -> None:
    due = "SELECT due FROM sessiontracker_keys"
    assert sql.execute(due).fetchone() == (started.expires,)
    clock.move(50)
    store.execute([Touch(at())])
    assert sql.execute(due).fetchone() == (started.expires,)  # the index was left alone
    clock.move(20)
    assert store.execute([Reap()]) == [Reaped(0)]
    assert sql.execute(due).fetchone() == (started.expires + 50_000,)
    assert isinstance(store.execute([Read(at())])[0], Found)
    clock.move(100)
    assert store.execute([Reap()]) == [Reaped(1)]


def test_a_sooner_end_is_due_sooner(
    store: SQLiteStore, started: Meta, sql: sqlite3.Connection, at: At
) -> None:
    [finished] = store.execute([Finish(at(), 2, 1_000)])
    assert isinstance(finished, Found)
    due = sql.execute("SELECT due FROM sessiontracker_keys").fetchone()
    assert due == (finished.meta.expires,)
    assert finished.meta.expires < started.expires


def test_the_token_of_a_lock_outlives_its_session_and_the_reaper(
    store: SQLiteStore, clock: Any, sql: sqlite3.Connection, at: At
) -> None:
    [granted] = store.execute([Acquire(at(), 1, 1_000, keep=3_600_000)])
    assert isinstance(granted, Granted)
    clock.move(60)
    store.execute([Reap()])
    assert rows(sql) == 1
    clock.now = granted.token - 5_000_000  # a clock that was set back
    [again] = store.execute([Acquire(at(), 2, 1_000)])
    assert isinstance(again, Queued)  # the lease has not run out yet, by this clock
    clock.move(10)
    [again] = store.execute([Acquire(at(), 2, 1_000)])
    assert isinstance(again, Granted)
    assert again.token > granted.token


# Rows that are none of ours --------------------------------------------------


def test_a_broken_row_is_told_for_its_key_alone_and_stays(
    store: SQLiteStore, started: Meta, sql: sqlite3.Connection, at: At, clock: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    store.execute([Start(at("good"), 5, b"good", idle=10_000)])
    sql.execute(
        "UPDATE sessiontracker_keys SET lock_token = 1, lock_kept = 1, lock_released = 0, "
        "queue = x'ffff' WHERE key = ?",
        (b"korder-42",),
    )
    sql.execute("INSERT INTO sessiontracker_keys (type, scope, key, due) VALUES ('text', 1, 2, 3)")
    sql.execute("INSERT INTO sessiontracker_keys (type, scope, key, due) VALUES (?, ?, ?, 'x')",
                (b"checkout", b"", b"\xff"))  # fmt: skip
    before = sql.execute("SELECT key, queue, active_payload FROM sessiontracker_keys").fetchall()
    first, good, second, write = store.execute(
        [Read(at()), Read(at("good")), Acquire(at(), 1, 1), Write(at(), 2, started.stamp, b"")]
    )
    assert isinstance(first, Broken)
    assert isinstance(second, Broken)
    assert isinstance(write, Broken)
    assert isinstance(good, Found)
    [page] = store.execute([Scan("checkout")])
    assert isinstance(page, Page)
    assert [item.address for item in page.items] == [at("good")]
    clock.move(20_000)
    assert store.execute([Reap()]) == [Reaped(1)]
    assert store.execute([Reap()]) == [Reaped(0)]
    assert "passed over" in caplog.text
    after = sql.execute("SELECT key, queue, active_payload FROM sessiontracker_keys").fetchall()
    assert set(after) == {row for row in before if row[0] != b"kgood"}


def test_what_the_store_cannot_reach_is_unavailable_for_all(
    store: SQLiteStore, started: Meta, path: Path, at: At
) -> None:
    path.rename(path.with_suffix(".gone"))
    outcomes = store.execute([Read(at()), Ping(), Scan("checkout"), Reap(), Touch(at())])
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 5
    path.with_suffix(".gone").rename(path)
    assert isinstance(store.execute([Read(at())])[0], Found)
