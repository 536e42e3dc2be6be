"""Through PgBouncer in transaction mode, which lends a connection for a transaction at a time."""

from __future__ import annotations

import asyncio
import getpass
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from sessiontracker import AsyncSessionTracker, Session, SessionTracker
from sessiontracker_sql.postgresql import _SETTINGS

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/bin:/usr/bin:/opt/homebrew/bin")
pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")

CONFIGURATION = """
[databases]
* = host={host} port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
logfile = {folder}/log
pool_mode = transaction
default_pool_size = 3
ignore_startup_parameters = extra_float_digits
"""


class Tally(Session):
    count: int = 0


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def pooled_url(own_url: str) -> Iterator[str]:
    """Where PgBouncer is, in front of the tests' own server."""
    assert PGBOUNCER is not None
    server, port = make_url(own_url), free_port()
    with tempfile.TemporaryDirectory(prefix="st-") as name:
        folder = Path(name)
        host = str(server.query["host"])
        settings = {"host": host, "server_port": server.port or 5432, "port": port}
        (folder / "ini").write_text(CONFIGURATION.format(folder=folder, **settings))
        (folder / "users").write_text('"postgres" ""\n')
        command = [PGBOUNCER, str(folder / "ini")]
        if getpass.getuser() == "root":  # which it does not run as
            folder.chmod(0o777)
            command[1:1] = ["--user", Path(host).owner()]
        running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            url = f"postgresql://postgres@127.0.0.1:{port}/{server.database}"
            deadline = monotonic() + 20
            while True:
                try:
                    psycopg.connect(url, connect_timeout=2).close()
                    break
                except psycopg.OperationalError:
                    assert monotonic() < deadline, (folder / "log").read_text()
                    sleep(0.05)
            yield url
        finally:
            running.terminate()
            running.wait()


@pytest.fixture
def url(own_url: str) -> str:
    """Of the server behind it, to clean up there."""
    return own_url


def left_behind(pooled_url: str) -> list[Any]:
    """What whoever comes next finds set or prepared on the connections that the pooler lends."""
    with ThreadPoolExecutor(3) as pool:

        def look(_: int) -> list[Any]:
            with psycopg.connect(pooled_url) as connection:
                changed = connection.execute(
                    "SELECT name, setting FROM pg_settings WHERE setting <> reset_val"
                )
                prepared = connection.execute("SELECT name, statement FROM pg_prepared_statements")
                return [*(each for each in changed if each[0] in _SETTINGS), *prepared]

        return [each for found in pool.map(look, range(3)) for each in found]


@pytest.mark.parametrize("listens", [False, True])
async def test_tasks_and_threads_count_side_by_side(
    pooled_url: str, own_url: str, prefix: str, listens: bool
) -> None:
    options: dict[str, Any] = {"url": pooled_url, "table_prefix": prefix}
    if listens:
        options["listen_url"] = own_url

    def by_threads() -> None:
        with SessionTracker(backend="sql", **options) as tracker:

            def count_up() -> None:
                for _ in range(5):
                    with tracker.get_locked(Tally, "tally", wait="60s") as tally:
                        tally.count += 1

            threads = [threading.Thread(target=count_up) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    async with AsyncSessionTracker(backend="sql", **options) as tracker:
        await tracker.start(Tally(key="tally"))

        async def count_up() -> None:
            for _ in range(5):
                async with tracker.get_locked(Tally, "tally", wait="60s") as tally:
                    tally.count += 1

        await asyncio.gather(asyncio.to_thread(by_threads), *(count_up() for _ in range(3)))
        assert (await tracker.get(Tally, "tally")).count == 30
        sessions = [await tracker.get_or_start(Tally(key=f"k{n}")) for n in range(20)]
        await asyncio.gather(*(tracker.update(session) for session in sessions))
        assert len([session async for session in tracker.scan(Tally)]) == 21
        [asker] = tracker._askers.values()
        hints: Any = asker.backend._hints  # type: ignore[attr-defined]
        assert (hints._listener is not None) is listens
    assert not left_behind(pooled_url)


async def test_a_server_connection_that_is_lost_is_replaced(
    pooled_url: str, own_url: str, prefix: str
) -> None:
    async with AsyncSessionTracker(backend="sql", url=pooled_url, table_prefix=prefix) as tracker:
        await tracker.start(Tally(key="tally"))
        with psycopg.connect(own_url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        tally = await tracker.get(Tally, "tally")
        tally.count += 1
        await tracker.update(tally)
        assert (await tracker.get(Tally, "tally")).count == 1
