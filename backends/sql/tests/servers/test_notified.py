"""PostgreSQL: who waits is notified when the lock comes to it, and nobody is for nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from time import sleep
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import create_engine

from drivers import with_driver
from sessiontracker.backend import operations as kinds
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.servers import server_of
from sessiontracker_sql.talk import NotConnectedError

from .conftest import POSTGRESQL, Admin, OpenBackend, options_of

PAYLOAD = b"payload"


# MariaDB has nothing to listen to.
pytestmark = pytest.mark.parametrize("url", POSTGRESQL, indirect=True)


@pytest.fixture
def heard(url: str, prefix: str) -> Iterator[Any]:
    """What has been said on the channel since it was last asked for."""
    with psycopg.connect(url, autocommit=True) as connection:
        channel = server_of(options_of(url, table_prefix=prefix)).channel
        connection.execute(f'LISTEN "{channel}"')

        def said() -> list[int]:
            connection.execute(f"NOTIFY \"{channel}\", 'until here'")
            payloads = iter(each.payload for each in connection.notifies(timeout=60))
            return [int(each) for each in iter(lambda: next(payloads), "until here")]

        yield said


def test_with_nobody_waiting_nobody_is_notified(
    heard: Any, backend: ServerBackend, address: kinds.Address
) -> None:
    [saved] = backend.execute([kinds.Start(address, 1, PAYLOAD)])
    assert isinstance(saved, kinds.Saved)
    stamp = saved.meta.stamp
    for n in range(10, 20):
        [granted] = backend.execute([kinds.Acquire(address, n, 60_000, read=True)])
        assert isinstance(granted, kinds.Granted)
        hold = kinds.Hold(n, granted.token)
        write = kinds.Write(address, 100 + n, stamp, PAYLOAD, hold, release=n % 2 == 0)
        [saved] = backend.execute([write])
        assert isinstance(saved, kinds.Saved)
        stamp = saved.meta.stamp
        if n % 2:
            assert backend.execute([kinds.Release(address, n)]) == [kinds.Released()]
    assert heard() == []


def test_the_next_in_line_is_notified_once(
    heard: Any, backend: ServerBackend, address: kinds.Address
) -> None:
    for ticket in (7, 8, 9):
        backend.execute([kinds.Acquire(address, ticket, 60_000)])
    assert heard() == []
    for holder, waiter in ((7, 8), (8, 9)):
        backend.execute([kinds.Release(address, holder)])
        assert heard() == [waiter]
        [granted] = backend.execute([kinds.Acquire(address, waiter, 60_000)])
        assert isinstance(granted, kinds.Granted)
    backend.execute([kinds.Release(address, 9)])
    assert heard() == []


@pytest.fixture(params=["o'clock \\'; --", 'a "100%" schema, $1', "ü" * 29])
def schema(request: pytest.FixtureRequest, admin: Admin) -> Iterator[str]:
    name = f"{request.param}{secrets.token_hex(2)}"
    quoted = name.replace('"', '""')
    admin.execute(f'CREATE SCHEMA "{quoted}"')
    yield name
    admin.execute(f'DROP SCHEMA "{quoted}" CASCADE')


def test_a_schema_may_be_called_anything(
    schema: str, url: str, admin: Admin, open_backend: OpenBackend
) -> None:
    """And what stands in its name is no part of a statement."""
    backend = open_backend(schema=schema)
    with psycopg.connect(url, autocommit=True) as connection:
        channel = server_of(options_of(url, table_prefix=admin.prefix, schema=schema)).channel
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        for scope, holder, waiter in (("", 7, 8), ("a" * 22, 9, 10)):
            address = kinds.Address("checkout", scope, "korder-42")
            for ticket in (holder, waiter):
                backend.execute([kinds.Acquire(address, ticket, 60_000)])
            assert backend.execute([kinds.Release(address, holder)]) == [kinds.Released()]
            [heard] = connection.notifies(timeout=60, stop_after=1)
            assert heard.payload == str(waiter)
    engine = create_engine(with_driver(url, asynchronous=False))
    with engine.begin() as callers:
        assert isinstance(backend.bind(callers).execute(kinds.Time(address)), kinds.Pong)
    engine.dispose()
    tables = admin.execute("SELECT tablename, schemaname FROM pg_tables")
    assert (f"{admin.prefix}keys", schema) in tables


def test_what_a_stranger_says_is_passed_over(
    url: str, backend: ServerBackend, address: kinds.Address
) -> None:
    for ticket in (7, 8):
        backend.execute([kinds.Acquire(address, ticket, 60_000)])
    hints = backend._hints
    with psycopg.connect(url, autocommit=True) as stranger:
        while hints._listener is None:
            sleep(0.01)
        backend.wait(8, 60)  # it listens by now, which is a reason to look
        for said in ("", "look", "-1", "9" * 5000, "\u0668"):
            stranger.execute("SELECT pg_notify(%s, %s)", [backend._server.channel, said])
    backend.execute([kinds.Release(address, 7)])
    backend.wait(8, 60)
    assert hints._worker.is_running
    assert hints.claimed == {8}


def test_who_gives_up_while_the_server_is_away_is_expected_no_more(
    backend: ServerBackend, address: kinds.Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.execute([kinds.Acquire(address, 7, 60_000)])
    backend.execute([kinds.Acquire(address, 8, 60_000)])
    hints = backend._hints
    hints.wake([8])
    assert (len(hints._wakes), set(hints._waiting), hints.claimed) == (1, {8}, {8})

    def away(talk: Any) -> Any:
        talk.close()
        raise NotConnectedError(ConnectionRefusedError("away"))

    with monkeypatch.context() as patch:
        patch.setattr(backend._connections, "hold", away)
        [outcome] = backend.execute([kinds.Release(address, 8)])
    assert isinstance(outcome, kinds.Unavailable)
    assert (len(hints._wakes), set(hints._waiting), hints.claimed) == (0, set(), set())
