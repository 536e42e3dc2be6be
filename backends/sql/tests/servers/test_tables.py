"""The tables: created by a tracker, by its administrator or by Alembic's means, and used."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from sessiontracker.backend import BackendError, BackendOptions, ConfigurationError, new_id
from sessiontracker.backend import operations as kinds
from sessiontracker.cli import main
from sessiontracker_sql import metadata
from sessiontracker_sql.ddl import ddl

from .conftest import Admin, OpenBackend

DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}


def use(backend: Any, address: kinds.Address) -> None:
    """Start, read, write, lock, list, finish and reap."""
    [started] = backend.execute([kinds.Start(address, new_id(), b"payload", idle=60_000)])
    assert isinstance(started, kinds.Saved)
    [saved] = backend.execute([kinds.Write(address, new_id(), started.meta.stamp, b"new")])
    assert isinstance(saved, kinds.Saved)
    ticket = new_id()
    [granted] = backend.execute([kinds.Acquire(address, ticket, 60_000, read=True)])
    assert isinstance(granted, kinds.Granted)
    assert backend.execute([kinds.Release(address, ticket)]) == [kinds.Released()]
    [page] = backend.execute([kinds.Scan(address.type)])
    assert isinstance(page, kinds.Page)
    assert [item.payload for item in page.items] == [b"new"]
    short = kinds.Address(address.type, "", "kshort")
    backend.execute([kinds.Start(short, new_id(), b"", idle=1)])
    while backend.execute([kinds.Reap()]) != [kinds.Reaped(1)]:
        pass
    [deleted] = backend.execute([kinds.Delete(address, new_id())])
    assert deleted == kinds.Deleted(True)


def statements(script: str) -> list[str]:
    return [each for each in script.split(";\n") if each.strip()]


def test_what_the_command_prints_suffices(
    url: str, admin: Admin, prefix: str, open_backend: OpenBackend, address: kinds.Address,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(["schema", "--url", url, "--option", f"table_prefix={prefix}"]) == 0
    printed = capsys.readouterr().out
    assert "postgres@" not in printed
    assert "root@" not in printed
    for statement in statements(printed):
        admin.execute(statement)
    use(open_backend(create_tables=False), address)


def test_what_alembic_would_create_suffices(
    url: str, admin: Admin, prefix: str, open_backend: OpenBackend, address: kinds.Address
) -> None:
    parsed = make_url(url)
    kind = parsed.get_backend_name().replace("mariadb", "mysql")
    engine = create_engine(parsed.set(drivername=DRIVERS[kind]))
    metadata(url, table_prefix=prefix).create_all(engine)
    engine.dispose()
    use(open_backend(create_tables=False), address)
    assert admin.execute(f"SELECT version, oldest FROM {prefix}schema") == [(1, 1)]
    use(open_backend(create_tables=False), address)


def test_tables_that_must_not_be_created_are_missed(open_backend: OpenBackend) -> None:
    with pytest.raises(BackendError, match="set create_tables = true"):
        open_backend(create_tables=False)


@pytest.mark.parametrize("columns", ["version INT, oldest INT", "id INT"])
def test_tables_of_our_name_that_are_not_ours_are_left_alone(
    admin: Admin, prefix: str, open_backend: OpenBackend, columns: str
) -> None:
    admin.execute(f"CREATE TABLE {prefix}keys (id INT)")
    admin.execute(f"CREATE TABLE {prefix}schema ({columns})")
    for create in (True, False):
        with pytest.raises(BackendError):
            open_backend(create_tables=create)
    assert admin.execute(f"SELECT * FROM {prefix}schema") == []


def test_many_who_begin_at_once_create_them_once(
    open_backend: OpenBackend, admin: Admin, prefix: str, address: kinds.Address
) -> None:
    with ThreadPoolExecutor(6) as pool:
        backends = list(pool.map(lambda _: open_backend(), range(6)))
    assert admin.execute(f"SELECT version, oldest FROM {prefix}schema") == [(1, 1)]
    for backend in backends:
        use(backend, address)


def test_who_opens_waits_for_another_who_does(
    url: str, admin: Admin, prefix: str, open_backend: OpenBackend, address: kinds.Address,
    thread: ThreadPoolExecutor,
) -> None:  # fmt: skip
    for statement in statements(ddl(BackendOptions("ledger", url, {"table_prefix": prefix}))):
        admin.execute(statement)
    admin.execute(f"DELETE FROM {prefix}schema")
    admin.execute("BEGIN")
    admin.execute(f"INSERT INTO {prefix}schema (version, oldest) VALUES (1, 1)")
    opening = thread.submit(open_backend)
    sleep(1.0)
    admin.execute("ROLLBACK")
    use(opening.result(), address)
    assert admin.execute(f"SELECT version, oldest FROM {prefix}schema") == [(1, 1)]


@pytest.fixture
def user(admin: Admin, url: str) -> Iterator[str]:
    """The name of somebody who may do nothing yet but connect."""
    name = f"t{secrets.token_hex(4)}"
    if admin.is_postgresql:
        admin.execute(f"CREATE ROLE {name} LOGIN")
        yield name
        admin.execute(f"DROP OWNED BY {name}")
        admin.execute(f"DROP ROLE {name}")
    else:
        admin.execute(f"CREATE USER {name}")
        yield name
        admin.execute(f"DROP USER {name}")


def test_the_rights_that_the_readme_lists_suffice(
    url: str, admin: Admin, prefix: str, user: str, open_backend: OpenBackend,
    address: kinds.Address,
) -> None:  # fmt: skip
    for statement in statements(ddl(BackendOptions("ledger", url, {"table_prefix": prefix}))):
        admin.execute(statement)
    of_user = make_url(url).set(username=user).render_as_string(hide_password=False)
    with pytest.raises(BackendError, match=r"may not|grant"):
        open_backend(url=of_user, create_tables=False)
    for table in ("keys", "owners", "schema"):
        admin.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {prefix}{table} TO {user}")
    use(open_backend(url=of_user, create_tables=False), address)


@pytest.fixture
def schema(admin: Admin) -> Iterator[str]:
    name = f"T{secrets.token_hex(4)}"  # which has to be quoted
    admin.execute(f'CREATE SCHEMA "{name}"')
    yield name
    admin.execute(f'DROP SCHEMA "{name}" CASCADE')


def test_they_may_live_in_a_schema_of_their_own(
    admin: Admin, open_backend: OpenBackend, address: kinds.Address, request: Any
) -> None:
    if not admin.is_postgresql:
        with pytest.raises(ConfigurationError, match="only PostgreSQL has schemas"):
            open_backend(schema="app")
        return
    name = request.getfixturevalue("schema")
    use(open_backend(schema=name), address)
    tables = admin.execute(f"SELECT tablename FROM pg_tables WHERE schemaname = '{name}'")
    assert len(tables) == 3
    with pytest.raises(BackendError, match="there is no such schema"):
        open_backend(schema="elsewhere")
