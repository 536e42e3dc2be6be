"""PostgreSQL: who waits is notified when the lock comes to it, and nobody is for nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from sessiontracker.backend import operations as kinds
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.servers import server_of

from .conftest import NAMED, SERVERS, options_of

PAYLOAD = b"payload"


@pytest.fixture(params=[name for name in SERVERS if name != "mariadb"])
def url(request: pytest.FixtureRequest) -> str:
    """Of each PostgreSQL: MariaDB has nothing to listen to."""
    if request.param == "own":
        return str(request.getfixturevalue("own_url"))
    return os.environ[NAMED[request.param]]


@pytest.fixture
def heard(url: str, prefix: str) -> Iterator[Any]:
    """What has been said on the channel since it was last asked for."""
    with psycopg.connect(url, autocommit=True) as connection:
        channel = server_of(options_of(url, table_prefix=prefix)).channel
        connection.execute(f'LISTEN "{channel}"')
        yield lambda: [int(each.payload) for each in connection.notifies(timeout=0.3)]


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
