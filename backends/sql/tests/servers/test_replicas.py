"""A server that takes no writes: refused when a tracker opens, and whenever it connects anew; after
a failover all go on by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self

import pytest

from database_servers import MariaDB, PostgreSQL, Server
from sessiontracker import (
    AsyncSessionTracker,
    BackendUnavailableError,
    OutcomeUnknownError,
    Session,
    SessionTracker,
)
from sessiontracker.backend import BackendError

from .conftest import OWN, Admin
from .counting import PATIENCE

PREFIX = "failover_"


class Tally(Session):
    count: int = 0


def config(url: str, patience: str = "1s") -> dict[str, Any]:
    return {
        "backends": {"ledger": {"use": "sql", "url": url, "table_prefix": PREFIX}},
        "defaults": {"storage": "ledger"},
        "operation_timeout": patience,
    }


async def refused(url: str, match: str) -> None:
    """By both sides of the house."""
    with pytest.raises(BackendError, match=match):
        SessionTracker(config(url)).open()
    with pytest.raises(BackendError, match=match):
        await AsyncSessionTracker(config(url)).open()


class User:
    """Counts up by both sides of the house, and remembers what was said to be done."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.blocking = SessionTracker(config(url))
        self.tracker = AsyncSessionTracker(config(url))
        self.done = {"blocking": 0, "tasks": 0}

    async def __aenter__(self) -> Self:
        with SessionTracker(config(self._url, "60s")) as patient:
            for key in self.done:
                patient.delete(Tally, key)
                patient.start(Tally(key=key))
        self.blocking.open()
        await self.tracker.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.blocking.close()
        await self.tracker.close()

    async def count_up(self) -> None:
        """Raises what either raised."""
        tally = self.blocking.get(Tally, "blocking")
        tally.count += 1
        self.blocking.update(tally)
        self.done["blocking"] += 1
        tally = await self.tracker.get(Tally, "tasks")
        tally.count += 1
        await self.tracker.update(tally)
        self.done["tasks"] += 1

    async def count_until_done(self) -> None:
        deadline = monotonic() + PATIENCE
        while True:
            try:
                return await self.count_up()
            except (BackendUnavailableError, OutcomeUnknownError):
                assert monotonic() < deadline
                await asyncio.sleep(0.02)

    async def is_refused(self, match: str) -> None:
        """As soon as the connections are others: on both sides."""

        async def until(write: Callable[[], Any]) -> None:
            deadline = monotonic() + PATIENCE
            while True:
                with pytest.raises((BackendUnavailableError, OutcomeUnknownError)) as caught:
                    await write()
                if match in str(caught.value):
                    return
                assert monotonic() < deadline, caught.value

        async def blocking() -> None:
            self.blocking.start(Tally())

        async def tasks() -> None:
            await self.tracker.start(Tally())

        await until(blocking)
        await until(tasks)

    def check(self) -> None:
        """Nothing that was said to be done is lost."""
        for key, done in self.done.items():
            assert self.blocking.get(Tally, key).count >= done


@pytest.fixture
def primary() -> Iterator[PostgreSQL]:
    server = PostgreSQL().start()
    yield server
    server.stop()


@pytest.fixture
def standby(primary: PostgreSQL) -> Iterator[PostgreSQL]:
    server = PostgreSQL(primary=primary).start()
    yield server
    server.stop()


def until_caught_up(primary: PostgreSQL, standby: PostgreSQL) -> None:
    """The standby has all that the primary has."""
    with closing(Admin(primary.url)) as there, closing(Admin(standby.url)) as here:
        [[position]] = there.execute("SELECT pg_current_wal_flush_lsn()::text")
        behind = f"SELECT pg_last_wal_replay_lsn() < '{position}'::pg_lsn"
        deadline = monotonic() + PATIENCE
        while here.execute(behind) != [(False,)]:
            assert monotonic() < deadline
            sleep(0.02)


async def test_a_failover_of_postgresql(
    primary: PostgreSQL, standby: PostgreSQL, tmp_path: Path
) -> None:
    address = tmp_path / "address"  # which leads to the one, and later to the other
    address.symlink_to(primary.socket)
    url = primary.url.replace(str(primary.socket), str(address))
    async with User(url) as user:
        await user.count_until_done()
        await refused(standby.url, "the server is a replica")
        # The primary comes back as a replica …
        until_caught_up(primary, standby)
        primary.end(primary.fast)
        (primary.data / "standby.signal").touch()
        primary.start()
        await user.is_refused("the server is a replica")
        await refused(url, "the server is a replica")
        # … and another is the primary now.
        standby.promote()
        address.unlink()
        address.symlink_to(standby.socket)
        await user.count_until_done()
        user.check()


async def test_mariadb_becomes_read_only_and_is_so_no_more(own_mariadb: MariaDB) -> None:
    with closing(Admin(own_mariadb.url)) as admin:
        admin.execute("CREATE USER app")
        admin.execute("GRANT ALL ON test.* TO app")
        url = own_mariadb.url.replace("root", "app")
        try:
            async with User(url) as user:
                await user.count_until_done()
                admin.execute("SET GLOBAL read_only = 1")  # while it is connected
                await user.is_refused("takes no writes")
                await refused(url, "takes no writes")
                await refused(own_mariadb.url, "takes no writes")  # whom it would let write
                admin.execute("SET GLOBAL read_only = 0")
                await user.count_until_done()
                user.check()
        finally:
            admin.execute("SET GLOBAL read_only = 0")
            admin.execute("DROP USER app")


@pytest.mark.parametrize("own", OWN, indirect=True)
async def test_a_server_that_takes_no_writes_by_default(own: Server) -> None:
    with closing(Admin(own.url)) as admin:
        set_it = (
            "ALTER DATABASE postgres SET default_transaction_read_only = {}"
            if admin.is_postgresql
            else "SET GLOBAL tx_read_only = {}"
        )
        async with User(own.url) as user:
            await user.count_until_done()
            try:
                admin.execute(set_it.format("on"))
                admin.end_others()
                await user.is_refused("takes no writes by default")
                if admin.is_postgresql:  # MariaDB says so when one writes
                    await refused(own.url, "takes no writes by default")
            finally:
                admin.execute(set_it.format("off"))
            await user.count_until_done()
            user.check()
