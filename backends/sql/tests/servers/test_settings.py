"""What an administrator has set for all, or for one user, changes no answer: timeouts as short as
they may be, isolation levels, modes. What is asked is done, or refused by name."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from time import monotonic, sleep

import pytest
from sqlalchemy.engine import make_url

from database_servers import Server
from sessiontracker import AsyncSessionTracker, SessionTracker
from sessiontracker_sql.talk import Pause, Query, Talk

from .conftest import Admin, OpenBackend
from .counting import BY_VERSION, LOCKED, PATIENCE, Tally, count_among

OF_POSTGRESQL = {
    "default_transaction_deferrable": "on",
    "bytea_output": "'escape'",
    "idle_in_transaction_session_timeout": "'200ms'",
    "lock_timeout": "'1ms'",
    "search_path": "'public'",
    "standard_conforming_strings": "off",
    "statement_timeout": "'200ms'",
    "timezone": "'Asia/Kathmandu'",
    "transaction_timeout": "'200ms'",
}
OF_MARIADB = {
    "idle_write_transaction_timeout": "1",
    "innodb_lock_wait_timeout": "1",
    "lock_wait_timeout": "0",
    "max_statement_time": "0.2",
    "sql_mode": "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'",
    "sql_select_limit": "1",
    "time_zone": "'+05:45'",
}
SETTINGS = [
    pytest.param("postgresql", OF_POSTGRESQL, id="postgresql"),
    pytest.param("mariadb", OF_MARIADB, id="mariadb"),
    *(
        pytest.param(kind, {name: level}, id=f"{kind}-{level}")
        for kind, name, levels in (
            (
                "postgresql",
                "default_transaction_isolation",
                ("'repeatable read'", "'serializable'"),
            ),
            ("mariadb", "tx_isolation", ("'REPEATABLE-READ'", "'SERIALIZABLE'")),
        )
        for level in levels
    ),
]
of_each = pytest.mark.parametrize(("own", "settings"), SETTINGS, indirect=["own"])


@pytest.fixture
def admin(own: Server) -> Iterator[Admin]:
    """Connected before anything is set."""
    admin = Admin(own.url)
    yield admin
    admin.close()


@pytest.fixture
def url(own: Server, admin: Admin, settings: dict[str, str]) -> Iterator[str]:
    """Where it is so."""
    if admin.is_postgresql:
        role = f"t{secrets.token_hex(4)}"
        admin.execute(f"CREATE ROLE {role} LOGIN SUPERUSER")
        for name, value in settings.items():
            admin.execute(f"ALTER ROLE {role} SET {name} = {value}")
        yield make_url(own.url).set(username=role).render_as_string(hide_password=False)
        admin.execute(f"DROP OWNED BY {role}")
        admin.execute(f"DROP ROLE {role}")
    else:
        before = dict(admin.execute("SHOW GLOBAL VARIABLES"))
        for name, value in settings.items():
            admin.execute(f"SET GLOBAL {name} = {value}")
        yield own.url
        for name in settings:
            value = before[name]
            is_number = value.replace(".", "").isdigit()
            admin.execute(f"SET GLOBAL {name} = {value if is_number else repr(value)}")


@pytest.fixture
def prefix(admin: Admin, url: str) -> Iterator[str]:
    prefix = f"t{secrets.token_hex(4)}_"
    yield prefix
    admin.execute(f"DROP TABLE IF EXISTS {prefix}keys, {prefix}owners, {prefix}schema")


@of_each
def test_all_count_beside_a_transaction_that_is_left_open(
    admin: Admin, url: str, prefix: str
) -> None:
    def trouble() -> None:
        admin.execute("BEGIN")
        admin.execute(f"SELECT * FROM {prefix}keys FOR UPDATE")
        sleep(0.5)  # for longer than any of them
        admin.execute("COMMIT")

    count_among(url, prefix, trouble)


@pytest.mark.parametrize(
    ("own", "settings"),
    [
        (
            "postgresql",
            {"idle_in_transaction_session_timeout": "'10ms'", "transaction_timeout": "'50ms'"},
        )
    ],
    ids=["postgresql"],
    indirect=["own"],
)
async def test_connections_are_made_by_a_busy_loop(own: Server, url: str, prefix: str) -> None:
    async def keep_busy() -> None:
        while True:
            sleep(0.02)  # noqa: ASYNC251 - the loop is blocked
            await asyncio.sleep(0)

    busy = asyncio.create_task(keep_busy())
    for _ in range(3):
        async with AsyncSessionTracker(backend="sql", url=url, table_prefix=prefix) as tracker:
            await tracker.start(Tally())
    busy.cancel()


@of_each
def test_nothing_is_cut_short(open_backend: OpenBackend, admin: Admin) -> None:
    backend = open_backend()
    sleep_on = "SELECT pg_sleep(0.3)::text" if admin.is_postgresql else "SELECT SLEEP(0.3)"

    def talk() -> Talk[int]:
        yield Query("BEGIN")
        answer = yield Query(sleep_on)
        yield Pause(0.03)
        yield Query("COMMIT")
        return len(answer.rows)

    assert backend._connections.hold(talk()) == 1


@pytest.mark.parametrize(
    ("own", "settings"),
    [("postgresql", {"idle_session_timeout": "'1s'"}), ("mariadb", {"wait_timeout": "1"})],
    ids=["postgresql", "mariadb"],
    indirect=["own"],
)
async def test_who_was_idle_goes_on(own: Server, url: str, prefix: str, admin: Admin) -> None:
    with SessionTracker(backend="sql", url=url, table_prefix=prefix) as blocking:
        async with AsyncSessionTracker(backend="sql", url=url, table_prefix=prefix) as tracker:
            tally = await tracker.start(Tally(key=BY_VERSION))
            other = blocking.start(Tally(key=LOCKED))
            await until_nobody_is_left(admin)
            await tracker.update(tally)
            blocking.update(other)


async def until_nobody_is_left(admin: Admin) -> None:
    """The server has ended all connections but ``admin``'s."""
    deadline = monotonic() + PATIENCE
    while admin.others():
        assert monotonic() < deadline
        await asyncio.sleep(0.02)
