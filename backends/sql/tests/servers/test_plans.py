"""Every statement finds its rows by an index, as the server itself explains it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from sessiontracker.backend import new_id
from sessiontracker.backend import operations as kinds
from sessiontracker.keys import new_scope
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.optimistic import place_of
from sessiontracker_sql.talk import Query, Talk

from .conftest import Admin, OpenBackend

ROWS = 3_000
PLACES = [kinds.Address("checkout", "", f"k{n:05}") for n in range(ROWS)]
DONE_TO_ROWS = re.compile(r"(WITH|SELECT|INSERT|UPDATE|DELETE)\b")


@pytest.fixture
def backend(open_backend: OpenBackend, admin: Admin, prefix: str) -> ServerBackend:
    """With many rows, which the server has counted."""
    backend = open_backend()
    for n in range(0, ROWS, 250):
        starts = [kinds.Start(place, new_id(), b"payload") for place in PLACES[n : n + 250]]
        backend.execute(starts)
    admin.execute(f"ANALYZE {'' if admin.is_postgresql else 'TABLE '}{prefix}keys")
    return backend


def do_everything(backend: ServerBackend, admin: Admin, prefix: str) -> None:
    """Have each kind of statement asked once at least."""

    def ask(*operations: Any) -> list[Any]:
        return backend.execute(operations)

    first, second, new = PLACES[0], PLACES[1], kinds.Address("checkout", "", "knew")
    found = ask(*[kinds.Read(place) for place in PLACES[:64]])
    ask(
        *[kinds.Write(p, new_id(), f.meta.stamp, b"x") for p, f in zip(PLACES, found, strict=False)]
    )
    ask(kinds.Touch(first), kinds.Start(new, new_id(), b"payload", idle=1))
    tickets = [new_id() for _ in range(3)]
    [granted] = ask(kinds.Acquire(first, tickets[0], 60_000, read=True))
    ask(*[kinds.Acquire(first, ticket, 60_000) for ticket in tickets[1:]])
    hold = kinds.Hold(tickets[0], granted.token)
    ask(kinds.Write(first, new_id(), granted.found.meta.stamp, b"y", hold, release=True))
    ask(kinds.Finish(second, new_id(), 60_000))
    ask(kinds.Resume(second, new_id()))
    ask(kinds.Delete(second, new_id()), kinds.Start(PLACES[2], new_id(), b"payload"))
    [page] = ask(kinds.Scan("checkout", limit=10))
    ask(kinds.Scan("checkout", cursor=page.cursor, limit=10_000))
    ask(kinds.Reap(), kinds.Ping())
    places = [place_of(first), place_of(second)]
    for talk in (backend._server.holders(places), backend._server.leave(places)):
        backend._connections.hold(talk)
    admin.execute(f"UPDATE {prefix}keys SET due = 1, active_life = -1 WHERE active_life <> 0")
    ask(kinds.Reap(limit=10))


def explained(query: Query) -> Talk[list[str]]:
    """How the server goes about ``query``, on a connection of ours."""
    lines: list[str] = []
    for text in query.text.split(";"):
        if DONE_TO_ROWS.match(text):
            answer = yield Query(f"EXPLAIN {text}", query.arguments)
            lines += [" ".join(map(str, row)) for row in answer.rows]
    return lines


def do_everything_of_an_owner(backend: ServerBackend) -> None:
    def ask(operation: Any) -> Any:
        [outcome] = backend.execute([operation])
        return outcome

    owner = kinds.Address("login", "alice", "")
    device, other = (kinds.Address("login", "alice", key) for key in ("kios", "kweb"))
    limit = kinds.Limit(2, finish_oldest=True, retention=60_000)
    for place in (device, other):
        saved = ask(kinds.Start(place, new_id(), b"payload", owner="alice", limit=limit))
    ask(kinds.Read(device, slide=True, touch_every=0))
    saved = ask(kinds.Write(other, new_id(), saved.meta.stamp, b"new"))
    ask(kinds.Rotate(other, new_id(), saved.meta.stamp, b"new", "kother"))
    ask(kinds.ListOwner(owner))
    ask(kinds.CountOwner(owner))
    shared = ask(kinds.WriteShared(owner, new_id(), 0, 0, b"shared", 60_000))
    assert isinstance(shared, kinds.SavedShared)
    ask(kinds.ReadShared(owner))
    ask(kinds.EndOwner(owner, new_id(), retention=1, keep="kios"))
    ask(kinds.EndOwner(owner, new_id()))
    ask(kinds.Reap())


def test_no_statement_looks_at_all_rows(
    asked: list[Query], backend: ServerBackend, admin: Admin, prefix: str
) -> None:
    asked.clear()
    do_everything(backend, admin, prefix)
    do_everything_of_an_owner(backend)
    tables = f"{prefix}keys", f"{prefix}owners"
    different = {query.text: query for query in asked}.values()
    about_rows = [query for query in different if any(each in query.text for each in tables)]
    assert len(about_rows) >= 10
    by_index = 0
    for query in about_rows:
        for line in backend._connections.hold(explained(query)):
            if any(f" {each} " in line for each in tables):
                by_index += by_an_index(line, admin.is_postgresql)
    assert by_index >= 10


def by_an_index(line: str, is_postgresql: bool) -> bool:
    """Whether a line of a plan says so; it must not say that all rows are looked at."""
    if is_postgresql:
        assert "Seq Scan" not in line
        return "Index" in line
    kind = line.split()[3]  # id, select type, table, type, possible keys, key, …
    assert kind not in ("ALL", "index"), line
    return True


def test_what_is_only_remembered_is_passed_over_by_an_index(
    asked: list[Query], backend: ServerBackend, admin: Admin, prefix: str
) -> None:
    owner = kinds.Address("login", new_scope(), "")
    keys = [replace(owner, key=f"k{number}") for number in range(1_000)]
    backend.execute([kinds.Start(key, new_id(), b"x") for key in keys])
    backend.execute([kinds.Delete(key, new_id()) for key in keys[10:]])
    admin.execute(f"ANALYZE {'' if admin.is_postgresql else 'TABLE '}{prefix}keys")
    asked.clear()
    start = kinds.Start(replace(owner, key="knew"), new_id(), b"x", limit=kinds.Limit(20))
    for operation in (kinds.ListOwner(owner), start):
        backend.execute([operation])
    reads = [query for query in asked if " LEFT JOIN " in query.text]
    assert len(reads) == 2
    index = f"{prefix}keys_owned" if admin.is_postgresql else f"{prefix}keys_due"
    for query in reads:
        plan = "".join(backend._connections.hold(explained(query)))
        assert index in plan, plan
