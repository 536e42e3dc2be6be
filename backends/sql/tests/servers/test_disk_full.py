"""A disk that is full: what does not fit is refused by name and nothing of it is done, the rest
goes on, and all of it does once there is space again.

The disk is a small one of the test's own, in memory, which needs the right to mount it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import closing, suppress
from time import monotonic
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from database_servers import MARIADB, MariaDB, PostgreSQL, Server
from sessiontracker import (
    BackendUnavailableError,
    OutcomeUnknownError,
    Session,
    SessionNotFoundError,
    SessionTracker,
)
from sessiontracker.backend import BackendError
from small_disk import NoDiskError, SmallDisk

from .conftest import Admin
from .counting import PATIENCE, count_among

PREFIX = "full_"


class Parcel(Session):
    content: bytes = b""


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    try:
        disk = SmallDisk(192)
    except NoDiskError as error:
        pytest.skip(f"NOT with a full disk: {error}")
    yield disk
    disk.close()


@pytest.fixture
def tablespace(disk: SmallDisk, own_postgresql: PostgreSQL) -> Iterator[str]:
    """The URL of one whose tables are on the disk."""
    place = disk.folder / "tables"
    place.mkdir()
    shutil.chown(place, own_postgresql.data.owner())
    name = f"t{secrets.token_hex(4)}"
    with closing(Admin(own_postgresql.url)) as admin:
        admin.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'")
        admin.execute(f"CREATE ROLE {name} LOGIN SUPERUSER")
        admin.execute(f"ALTER ROLE {name} SET default_tablespace = '{name}'")
        yield make_url(own_postgresql.url).set(username=name).render_as_string(hide_password=False)
        admin.execute(f"DROP OWNED BY {name}")
        admin.execute(f"DROP ROLE {name}")
        admin.execute(f"DROP TABLESPACE {name}")


def config(url: str, patience: str = "1s") -> dict[str, Any]:
    return {
        "backends": {"ledger": {"use": "sql", "url": url, "table_prefix": PREFIX, "timeout": "1s"}},
        "defaults": {"storage": "ledger"},
        "operation_timeout": patience,
    }


def until_refused(tracker: SessionTracker) -> tuple[list[Parcel], Parcel, BackendError]:
    """What was stored before the disk was full, what was not, and why."""
    stored: list[Parcel] = []
    while True:
        parcel = Parcel(key=secrets.token_hex(8), content=os.urandom(200_000))
        try:
            stored.append(tracker.start(parcel))
        except BackendError as error:
            return stored, parcel, error
        assert len(stored) < 10_000


def fill_up(disk: SmallDisk, url: str, server: Server) -> BackendError:
    """Fill the disk beneath ``server`` while others count; why it then refused."""
    reasons: list[BackendError] = []
    with SessionTracker(config(url)) as tracker:

        def trouble() -> None:
            before = tracker.start(Parcel(content=b"before"))
            disk.fill()
            stored, refused, reason = until_refused(tracker)
            reasons.append(reason)
            disk.free()
            server.start()  # where it has ended over it, as by whoever looks after it
            begin_again(tracker, refused, reason)
            with SessionTracker(config(url, "60s")) as patient:
                for each in (before, *stored, refused):
                    assert patient.get(Parcel, each.key).content == each.content

        count_among(url, PREFIX, trouble)
    with closing(Admin(url)) as admin:
        admin.execute(f"DROP TABLE {PREFIX}keys, {PREFIX}owners, {PREFIX}schema")
    return reasons[0]


def begin_again(tracker: SessionTracker, refused: Parcel, reason: BackendError) -> None:
    """Store what was refused, as soon as that is possible: nothing of it was there, or, where that
    was not known, all of it may be."""
    deadline = monotonic() + PATIENCE
    while True:
        try:
            with suppress(SessionNotFoundError):
                tracker.get(Parcel, refused.key)
                assert not isinstance(reason, BackendUnavailableError)
                return
            tracker.start(refused)
            return
        except BackendError as error:
            assert monotonic() < deadline
            reason = error if isinstance(error, OutcomeUnknownError) else reason


def test_postgresql_has_no_space_for_its_tables(
    disk: SmallDisk, tablespace: str, own_postgresql: PostgreSQL
) -> None:
    assert "disk is full" in str(fill_up(disk, tablespace, own_postgresql))


def test_postgresql_has_no_space_for_its_log(disk: SmallDisk) -> None:
    """For want of which it ends."""
    server = PostgreSQL()
    log = server.data / "pg_wal"
    shutil.copytree(log, disk.folder / "log")
    for path in (disk.folder, disk.folder / "log", *(disk.folder / "log").iterdir()):
        shutil.chown(path, log.owner())
    shutil.rmtree(log)
    log.symlink_to(disk.folder / "log")
    server.start()
    try:
        fill_up(disk, server.url, server)
        assert "PANIC" in (server.folder / "log").read_text()
    finally:
        server.stop()


@pytest.mark.skipif(MARIADB is None, reason="mariadbd is not installed")
def test_mariadb_has_no_space(disk: SmallDisk) -> None:
    """It tries for some seconds to find some, and may end over it."""
    server = MariaDB(disk.folder).start()
    try:
        fill_up(disk, server.url, server)
    finally:
        server.stop()
