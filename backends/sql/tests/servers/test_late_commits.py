"""What lapses while somebody, who was in time, is about to commit that it does not.

Nobody may be told that something has gone, and find it there afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import create_engine

from drivers import with_driver
from sessiontracker.backend import operations as kinds
from sessiontracker.keys import new_scope
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.lapsing import LATEST
from sessiontracker_sql.talk import Query

from .conftest import OpenBackend

IDLE, LONG = 10_000, 3_600_000  # ms
DONE = (kinds.Saved, kinds.Found, kinds.Granted, kinds.SavedShared)
START = 1_700_000_000_000_000


class Clock:
    """µs, which pass when the test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def be_at(self, ms: int) -> None:
        self.now = START + ms * 1000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backend(open_backend: OpenBackend, clock: Clock) -> ServerBackend:
    return open_backend(clock=clock)


@pytest.fixture(params=["plain", "owned"])
def place(request: pytest.FixtureRequest) -> kinds.Address:
    scope = "" if request.param == "plain" else new_scope()
    return kinds.Address("checkout", scope, "korder-42")


@pytest.fixture
def committing(backend: ServerBackend, url: str) -> Iterator[Any]:
    """Does a step in a transaction that is committed in the end."""
    engine = create_engine(with_driver(url, asynchronous=False))

    @contextmanager
    def late(step: Any, *, undone: bool = False) -> Iterator[None]:
        with engine.connect() as connection, connection.begin() as transaction:
            outcome = backend.bind(connection).execute(step)
            assert isinstance(outcome, DONE), outcome
            yield
            if undone:
                transaction.rollback()

    yield late
    engine.dispose()


def one(backend: ServerBackend, operation: Any) -> Any:
    [outcome] = backend.execute([operation])
    return outcome


def begin(backend: ServerBackend, place: kinds.Address, **given: int) -> kinds.Meta:
    started = one(backend, kinds.Start(place, 1, b"payload", **({"idle": IDLE} | given)))
    assert isinstance(started, kinds.Saved)
    return started.meta


def read(place: kinds.Address, *, finished: bool = False) -> kinds.Read:
    return kinds.Read(place, finished=finished)


def test_a_session_is_not_said_to_be_missing_before_its_slide_is_committed(
    backend: ServerBackend, place: kinds.Address, clock: Clock, committing: Any
) -> None:
    begin(backend, place)
    clock.be_at(IDLE - 1)
    with committing(kinds.Touch(place)):
        for ms in (IDLE, IDLE + LATEST - 1):
            clock.be_at(ms)
            assert isinstance(one(backend, read(place)), kinds.Unavailable)
    assert isinstance(one(backend, read(place)), kinds.Found)


def test_what_was_said_to_be_missing_stays_so_whatever_somebody_read_before(
    backend: ServerBackend, place: kinds.Address, clock: Clock, committing: Any
) -> None:
    begin(backend, place)
    clock.be_at(IDLE - 1)
    with committing(kinds.Touch(place), undone=True):
        clock.be_at(IDLE)
        assert isinstance(one(backend, read(place)), kinds.Unavailable)
    assert one(backend, read(place)) == kinds.Missing()
    clock.be_at(IDLE - 1)  # as late as this the slide was decided
    assert one(backend, kinds.Touch(place)) == kinds.Missing()


def test_nor_is_one_whose_end_is_yet_to_be_committed(
    backend: ServerBackend, place: kinds.Address, clock: Clock, committing: Any
) -> None:
    begin(backend, place)
    clock.be_at(IDLE - 1)
    with committing(kinds.Finish(place, 2, LONG)):
        clock.be_at(IDLE)
        assert isinstance(one(backend, read(place)), kinds.Unavailable)
    assert one(backend, read(place)) == kinds.IsFinished()


def test_nor_is_a_finished_one_that_somebody_resumes(
    backend: ServerBackend, place: kinds.Address, clock: Clock, committing: Any
) -> None:
    begin(backend, place)
    one(backend, kinds.Finish(place, 2, IDLE))
    clock.be_at(IDLE - 1)
    with committing(kinds.Resume(place, 3)):
        clock.be_at(IDLE)
        assert isinstance(one(backend, read(place, finished=True)), kinds.Unavailable)
    assert one(backend, read(place, finished=True)) == kinds.IsActive()


def test_a_lease_is_not_said_to_be_lost_before_its_renewal_is_committed(
    backend: ServerBackend, place: kinds.Address, clock: Clock, committing: Any
) -> None:
    stamp = begin(backend, place, idle=0).stamp
    lock = kinds.Hold(7, one(backend, kinds.Acquire(place, 7, IDLE)).token)
    write = kinds.Write(place, 2, stamp, b"ours", lock)
    clock.be_at(IDLE - 1)
    with committing(kinds.Renew(place, 7, lock.token, IDLE)):
        clock.be_at(IDLE)
        assert isinstance(one(backend, write), kinds.Unavailable)
    assert isinstance(one(backend, write), kinds.Saved)


@pytest.mark.parametrize("kind", [kinds.ListOwner, kinds.CountOwner, kinds.ReadShared])
def test_nor_is_anything_of_an_owners(
    backend: ServerBackend, clock: Clock, committing: Any, kind: Any
) -> None:
    owner = kinds.Address("login", new_scope(), "")
    for key in ("ka", "kb"):
        begin(backend, replace(owner, key=key))
    written = one(backend, kinds.WriteShared(owner, 2, 0, 0, b"shared", keep=IDLE))
    assert isinstance(written, kinds.SavedShared)
    clock.be_at(IDLE - 1)
    with committing(kinds.Touch(replace(owner, key="ka"))):
        clock.be_at(IDLE)
        assert isinstance(one(backend, kind(owner)), kinds.Unavailable)
    answer = one(backend, kind(owner))
    if isinstance(answer, kinds.Listed):
        assert [item.address.key for item in answer.items] == ["ka"]
    elif isinstance(answer, kinds.FoundShared):
        assert answer.shared is not None
    else:
        assert answer == kinds.Counted(1)
    clock.be_at(2 * IDLE + LATEST)
    assert one(backend, kinds.CountOwner(owner)) == kinds.Counted(0)
    assert one(backend, kinds.ReadShared(owner)) == kinds.FoundShared(None)


def test_what_an_owner_shares_is_not_said_to_be_gone_before_it_is(
    backend: ServerBackend, clock: Clock, committing: Any
) -> None:
    owner = kinds.Address("login", new_scope(), "")
    version = one(backend, kinds.WriteShared(owner, 1, 0, 0, b"shared", keep=IDLE)).version
    clock.be_at(IDLE - 1)
    with committing(kinds.WriteShared(owner, 2, version, 1, b"more", keep=IDLE)):
        clock.be_at(IDLE)
        assert isinstance(one(backend, kinds.ReadShared(owner)), kinds.Unavailable)
    assert one(backend, kinds.ReadShared(owner)).shared.payload == b"more"
    clock.be_at(2 * IDLE)
    assert one(backend, kinds.ReadShared(owner)) == kinds.FoundShared(None)


# What it costs -----------------------------------------------------------------


def test_who_reads_what_is_there_waits_for_nobody(
    backend: ServerBackend, place: kinds.Address, clock: Clock, committing: Any
) -> None:
    """Whatever else has lapsed beside it."""
    begin(backend, place)
    one(backend, kinds.Finish(place, 2, IDLE))
    one(backend, kinds.Start(place, 3, b"another", idle=LONG))
    clock.be_at(IDLE - 1)
    with committing(kinds.Touch(place)):
        clock.be_at(IDLE)
        assert isinstance(one(backend, read(place)), kinds.Found)


def test_only_who_reads_what_has_just_gone_writes(
    asked: list[Query], open_backend: OpenBackend, place: kinds.Address, clock: Clock
) -> None:
    backend = open_backend(clock=clock)

    def queries(at: int) -> int:
        clock.be_at(at)
        asked.clear()
        one(backend, read(place))
        return len(asked)

    begin(backend, place)
    assert queries(IDLE - 1) == 1
    assert queries(IDLE + LATEST) == 1  # long ago
    assert queries(IDLE + LATEST - 1) == 2
    assert queries(IDLE + LATEST - 1) == 1
