"""The tables are made, or brought up to date, by one who dies over it, or whose server does:
whoever comes next goes on from there, and what the tables held is there."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy.schema import DDL

from database_servers import Server
from sessiontracker.backend import new_id
from sessiontracker.backend import operations as kinds
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql._sync.connections import Connections
from sessiontracker_sql.schema import Tables
from sessiontracker_sql.servers import server_of
from sessiontracker_sql.talk import LostError, NotConnectedError, ServerError

from .conftest import drop_tables, options_of

PREFIX = "migrating_"
HERE = kinds.Address("checkout", "", "korder-42")


class NewerTables(Tables):
    """As a later version may have them: a column and an index more."""

    def steps(self) -> list[Any]:
        more = DDL(f"ALTER TABLE {self.keys} ADD COLUMN more INTEGER")
        return [
            *super().steps(),
            [more, DDL(f"CREATE INDEX {self.keys}_more ON {self.keys} (more)")],
        ]


class DiedError(Exception):
    pass


def nothing() -> None:
    """The server lives on."""


def cut_off(talk: Any, after: int, end: Callable[[], None]) -> Any:
    """``talk``, of which nothing is heard any more when so many statements were sent."""
    said = next(talk)
    for _ in range(after):
        try:
            answer = yield said
        except (ServerError, LostError) as error:
            said = talk.throw(error)
        else:
            try:
                said = talk.send(answer)
            except StopIteration as done:
                return done.value
    end()
    raise DiedError


def migrate(
    url: str,
    tables: type[Tables],
    after: int = 100,
    end: Callable[[], None] = nothing,
) -> bool:
    """Whether that was over before so many statements were sent; if not, it dies then."""
    options = options_of(url, table_prefix=PREFIX)
    server = server_of(options)
    server.tables = tables(PREFIX, revisions=True)
    with closing(Connections(server, options)) as connections:
        try:
            connections.hold(cut_off(server.migrate(create=True), after, end))
        except DiedError:
            return False
    return True


def start(backend: ServerBackend) -> kinds.Stamp:
    [saved] = backend.execute([kinds.Start(HERE, new_id(), b"payload")])
    assert isinstance(saved, kinds.Saved)
    return saved.meta.stamp


def is_there(backend: ServerBackend, stamp: kinds.Stamp) -> bool:
    [found] = backend.execute([kinds.Read(HERE)])
    return isinstance(found, kinds.Found) and found.meta.stamp == stamp


@pytest.fixture
def url(own: Server) -> Iterator[str]:
    yield own.url
    drop_tables(own.url, PREFIX)


@pytest.fixture
def backend(url: str) -> Iterator[ServerBackend]:
    """As a process has it that knows nothing of newer tables."""
    options = options_of(url, table_prefix=PREFIX)
    with closing(ServerBackend(server_of(options), options)) as backend:
        yield backend


@pytest.mark.parametrize("sent", range(3, 10, 2))
def test_whoever_dies_over_making_them_is_followed(
    url: str, backend: ServerBackend, sent: int
) -> None:
    assert not migrate(url, Tables, sent)
    backend.open()
    assert is_there(backend, start(backend))


@pytest.mark.parametrize("sent", range(3, 7))
def test_whoever_dies_over_altering_them_is_followed(
    url: str, backend: ServerBackend, sent: int
) -> None:
    backend.open()
    stamp = start(backend)
    assert not migrate(url, NewerTables, sent)
    assert is_there(backend, stamp)
    assert migrate(url, NewerTables)
    assert is_there(backend, stamp)


def test_a_server_that_dies_over_altering_them_goes_on_when_it_is_back(
    own: Server, url: str, backend: ServerBackend
) -> None:
    backend.open()
    stamp = start(backend)
    assert not migrate(url, NewerTables, 5, lambda: own.end(signal.SIGKILL))
    with pytest.raises((NotConnectedError, LostError)):
        migrate(url, NewerTables)
    own.start()
    assert migrate(url, NewerTables)
    assert is_there(backend, stamp)
