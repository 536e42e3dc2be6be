"""Calls within a transaction of the application's own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, ResourceClosedError

from sessiontracker import (
    CapabilityError,
    ConfigurationError,
    SessionActiveError,
    SessionFinishedError,
    SessionInProgressError,
    SessionLimitError,
    SessionLockedError,
    SessionNotFoundError,
    StaleSessionError,
)

from .callers import Application, Awaited, Checkout, Login
from .conftest import SERVERS, drop_tables, named_url

PAIRS = [f"{name}-{side}" for name in ("sqlite", *SERVERS) for side in ("async", "sync")]


class UndoError(Exception):
    """Rolls a transaction back."""


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(pair: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    name = pair.split("-", maxsplit=1)[0]
    return f"sqlite:///{tmp_path / 'shop.db'}" if name == "sqlite" else named_url(name, request)


@pytest.fixture
def prefix(url: str) -> Iterator[str]:
    """What the names of this test's tables begin with; they go at its end."""
    prefix = f"t{secrets.token_hex(4)}_"
    yield prefix
    if not url.startswith("sqlite"):
        drop_tables(url, prefix)


@pytest_asyncio.fixture
async def application(pair: str, url: str, prefix: str) -> AsyncIterator[Application]:
    asynchronous = pair.endswith("async")
    application = Application(url, asynchronous=asynchronous, prefix=prefix)
    await application.open()
    yield application
    await application.close()


# All or nothing ------------------------------------------------------------------


async def test_an_order_and_its_session_change_together(application: Application) -> None:
    tracker = application.tracker
    checkout = await tracker.start(Checkout(key="order-42"))
    async with application.begin() as connection:
        await application.order(connection, "order-42")
        checkout.paid = True
        assert await application.bind(connection).update(checkout) is checkout
        assert not (await tracker.get(Checkout, "order-42", touch=False)).paid
    assert checkout.version == 2
    assert (await tracker.get(Checkout, "order-42")).paid
    assert await application.ordered() == ["order-42"]


async def test_or_not_at_all_and_what_was_saved_is_stale(application: Application) -> None:
    tracker = application.tracker
    checkout = await tracker.start(Checkout(key="order-42"))
    with pytest.raises(UndoError):
        async with application.begin() as connection:
            await application.order(connection, "order-42")
            checkout.paid = True
            await application.bind(connection).update(checkout)
            raise UndoError
    assert await application.ordered() == []
    other = await tracker.get(Checkout, "order-42")
    assert (other.paid, other.version) == (False, 1)
    with pytest.raises(StaleSessionError, match="in a transaction that was rolled back"):
        await tracker.update(checkout)
    await tracker.update(other)
    assert other.version == checkout.version
    with pytest.raises(StaleSessionError):  # the number came again, the write did not
        await tracker.update(checkout)


async def test_what_was_started_in_vain_is_not_there(application: Application) -> None:
    checkout, login = Checkout(key="order-42"), Login(owner="alice")
    with pytest.raises(UndoError):
        async with application.begin() as connection:
            bound = application.bind(connection)
            await bound.start(checkout)
            await bound.start(login)
            assert await bound.count_sessions(Login, "alice") == 1
            raise UndoError
    for session in (checkout, login):
        with pytest.raises(SessionNotFoundError):
            await application.tracker.update(session)
    assert await application.tracker.count_sessions(Login, "alice") == 0
    await application.tracker.start(Checkout(key="order-42"))


async def test_what_was_started_in_vain_can_be_started_again(application: Application) -> None:
    sessions = [Checkout(key="order-42"), Checkout(), Login(owner="alice")]
    for end in ("rollback", "commit"):
        async with application.connect() as connection:
            for session in sessions:
                await application.bind(connection).start(session)
            await getattr(connection, end)()
    for session in sessions:
        session = await application.tracker.get(type(session), session.key)
        assert (await application.tracker.update(session)).version == 2


async def test_all_calls_of_a_life_in_one_transaction(application: Application) -> None:
    async with application.begin() as connection:
        bound = application.bind(connection)
        checkout = await bound.start(Checkout(key="order-42"))
        assert (await bound.get_or_start(Checkout(key="order-42"))).id == checkout.id
        other = await bound.get_or_start(Checkout(key="order-43"))
        assert set(await bound.get_many(Checkout, ["order-43", "order-42", "no"])) == {
            "order-42",
            "order-43",
        }
        await bound.touch(other)
        with pytest.raises(SessionInProgressError):
            await bound.start(Checkout(key="order-42"))
        checkout.count += 1
        await bound.finish(checkout)
        with pytest.raises(SessionFinishedError):
            await bound.get(Checkout, "order-42")
        assert (await bound.get_finished(checkout)).count == 1
        await bound.resume(checkout)
        with pytest.raises(SessionActiveError):
            await bound.get_finished(checkout)
        key = (await bound.rotate(other)).key
        with pytest.raises(SessionNotFoundError):
            await bound.get(Checkout, "order-43")
        gone = await bound.start(Checkout())
        assert await bound.delete(gone)
        assert not await bound.delete(gone)
    tracker = application.tracker
    assert (await tracker.get(Checkout, "order-42")).version == 3
    assert (await tracker.get(Checkout, key)).version == 2
    with pytest.raises(SessionNotFoundError):
        await tracker.get(Checkout, "order-43")


async def test_an_owners_calls_in_one_transaction(application: Application) -> None:
    tracker = application.tracker
    phone = await tracker.start(Login(owner="alice", device="phone"))
    async with application.begin() as connection:
        bound = application.bind(connection)
        laptop = await bound.start(Login(owner="alice", device="laptop"))
        with pytest.raises(SessionLimitError):
            await bound.start(Login(owner="alice", device="tablet"))
        assert {each.device for each in await bound.list_sessions(laptop)} == {"laptop", "phone"}
        old = laptop.key
        await bound.rotate(laptop)
        with pytest.raises(SessionNotFoundError):
            await bound.get(Login, old)
        visitor = await bound.start(Login(device="library"))
        assert await bound.finish_all(Login, "alice", keep=laptop) == 1
        await bound.rotate(visitor, owner="alice")
        assert await bound.count_sessions(Login, "alice") == 2
    logins = await tracker.list_sessions(Login, "alice")
    assert {each.device for each in logins} == {"library", "laptop"}
    with pytest.raises(SessionFinishedError):
        await tracker.get(Login, phone.key)
    with pytest.raises(UndoError):
        async with application.begin() as connection:
            assert await application.bind(connection).delete_all(Login, "alice") == 3
            raise UndoError
    assert await tracker.count_sessions(Login, "alice") == 2


async def test_a_session_of_sqlalchemys(application: Application) -> None:
    async with application.session() as session:
        bound = application.bind(session)
        for n in range(2):  # it has another connection, perhaps, in each transaction
            await application.order(session, f"order-{n}")
            await bound.start(Checkout(key=f"order-{n}"))
            await session.commit()
            assert application.observed.told() == ["SessionStarted"]
        await application.order(session, "order-2")
        await bound.start(Checkout(key="order-2"))
        await session.rollback()
        assert application.observed.told() == []
    keys = [f"order-{n}" for n in range(3)]
    assert sorted(await application.tracker.get_many(Checkout, keys)) == keys[:2]
    assert await application.ordered() == keys[:2]


async def test_several_trackers_on_one_connection(application: Application) -> None:
    async with application.connect() as connection:
        one, other = application.bind(connection), application.bind(connection)
        checkout = await one.start(Checkout(key="order-42"))
        assert (await other.get(Checkout, "order-42")).version == 1
        await other.update(checkout)
        await connection.commit()
        await one.finish(checkout)
        await connection.commit()
    assert (await application.tracker.get_finished(Checkout, "order-42")).version == 3


# Versions and locks ----------------------------------------------------------------


async def test_a_refusal_leaves_the_transaction_as_it_was(application: Application) -> None:
    tracker = application.tracker
    checkout = await tracker.start(Checkout(key="order-42"))
    await tracker.update(await tracker.get(Checkout, "order-42"))
    async with application.begin() as connection:
        bound = application.bind(connection)
        await application.order(connection, "order-42")
        with pytest.raises(StaleSessionError):
            await bound.update(checkout)
        with pytest.raises(SessionNotFoundError):
            await bound.finish(Checkout, "no")
        await bound.start(Checkout(key="order-43"))
    assert await application.ordered() == ["order-42"]
    assert (await tracker.get(Checkout, "order-43")).version == 1


async def test_a_lock_of_somebody_elses_is_kept_to(application: Application) -> None:
    tracker = application.tracker
    await tracker.start(Checkout(key="order-42"))
    async with holding(application) as checkout, application.begin() as connection:
        bound = application.bind(connection)
        with pytest.raises(SessionLockedError):
            await bound.finish(Checkout, "order-42")
        assert (await bound.get(Checkout, "order-42")).version == 1
        checkout.count += 1
        await bound.update(checkout)  # by the very object
        lock = application.own.lock_of(checkout)
        await bound.finish(Checkout, "order-42", lock=lock)
    assert (await tracker.get_finished(Checkout, "order-42")).count == 1


async def test_a_lock_may_live_elsewhere(url: str, prefix: str, application: Application) -> None:
    hot = {"sessions": {"checkout": {"locking": "hot"}}}
    backends = {"ledger": {"use": "sql", "url": url, "table_prefix": prefix}}
    elsewhere = {"backends": {**backends, "hot": {"use": "memory"}}, **hot}
    elsewhere |= {"defaults": {"storage": "ledger"}}
    other = Application(url, asynchronous=application.asynchronous, prefix=prefix, **elsewhere)
    await other.tracker.open()
    await other.tracker.start(Checkout(key="order-42"))
    async with holding(other) as checkout:
        checkout.count += 1
        async with other.begin() as connection:
            await other.bind(connection).update(checkout)
        checkout.count += 1
    assert (await other.tracker.get(Checkout, "order-42")).count == 2
    await other.tracker.close()
    await other.dispose(other.engine)


async def test_what_was_saved_under_a_lock_in_vain_is_not_taken_for_saved(
    application: Application,
) -> None:
    tracker = application.tracker
    await tracker.start(Checkout(key="order-42"))
    with pytest.raises(StaleSessionError):
        async with holding(application) as checkout:
            checkout.count += 1
            with pytest.raises(UndoError):
                async with application.begin() as connection:
                    await application.bind(connection).update(checkout)
                    raise UndoError
    with pytest.raises(StaleSessionError):
        async with holding(application) as checkout:
            checkout.count += 1
            with pytest.raises(UndoError):
                async with application.begin() as connection:
                    await application.bind(connection).finish(checkout)
                    raise UndoError
    async with holding(application) as checkout:
        checkout.count += 1
        with pytest.raises(UndoError):
            async with application.begin() as connection:
                lock = application.own.lock_of(checkout)
                await application.bind(connection).finish(Checkout, "order-42", lock=lock)
                raise UndoError
    assert (await tracker.get(Checkout, "order-42")).count == 1


async def test_nor_what_a_savepoint_took_back(application: Application) -> None:
    await application.tracker.start(Checkout(key="order-42"))
    with pytest.raises(StaleSessionError):
        async with holding(application) as checkout, application.begin() as connection:
            bound = application.bind(connection)
            await bound.start(Checkout(key="order-43"))
            checkout.count += 1
            with pytest.raises(UndoError):
                async with application.nested(connection):
                    await bound.update(checkout)
                    raise UndoError
    assert (await application.tracker.get(Checkout, "order-43")).version == 1


def holding(application: Application) -> Any:
    """The block in which the order's session is locked."""
    block = application.own.get_locked(Checkout, "order-42")
    return block if application.asynchronous else Entered(block)


class Entered:
    """A block of threads', to be entered with ``async with``."""

    def __init__(self, block: Any) -> None:
        self._block = block

    async def __aenter__(self) -> Any:
        return self._block.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self._block.__exit__(*error)


# Events ------------------------------------------------------------------------------


async def test_events_count_from_the_commit(application: Application) -> None:
    told = application.observed.told
    async with application.connect() as connection:
        bound = application.bind(connection)
        checkout = await bound.start(Checkout(key="order-42"))
        await bound.update(checkout)
        await bound.start(Login(owner="alice"))
        await bound.finish_all(Login, "alice")
        assert told() == []
        await connection.commit()
        await connection.execute(text("SELECT 1"))  # at the latest
        assert told() == ["SessionStarted", "SessionUpdated", "SessionStarted", "OwnerLoggedOut"]
        await bound.finish(Checkout, "order-42")
        await connection.rollback()
        await bound.delete(Checkout, "order-42")
        assert told() == []
        await connection.commit()
    assert told() == ["SessionDeleted"]


async def test_events_of_a_savepoint_count_unless_it_is_rolled_back(
    application: Application,
) -> None:
    told = application.observed.told
    async with application.begin() as connection:
        bound = application.bind(connection)
        await bound.start(Checkout(key="order-1"))
        async with application.nested(connection):
            await bound.start(Checkout(key="order-2"))
            with pytest.raises(UndoError):
                async with application.nested(connection):
                    await bound.start(Checkout(key="order-3"))
                    raise UndoError
        with pytest.raises(UndoError):
            async with application.nested(connection):
                async with application.nested(connection):
                    await bound.finish(Checkout, "order-1")
                raise UndoError
        await bound.delete(Checkout, "order-2")
        assert told() == []
    assert told() == ["SessionStarted", "SessionStarted", "SessionDeleted"]
    keys = [f"order-{n}" for n in range(1, 4)]
    assert list(await application.tracker.get_many(Checkout, keys)) == ["order-1"]


async def test_a_savepoint_from_before_the_first_call_counts(application: Application) -> None:
    told = application.observed.told
    async with application.begin() as connection:
        bound = application.bind(connection)
        await application.order(connection, "order-1")
        with pytest.raises(UndoError):
            async with application.nested(connection):
                await bound.start(Checkout(key="order-1"))
                raise UndoError
        await bound.start(Checkout(key="order-2"))
    assert told() == ["SessionStarted"]
    with pytest.raises(SessionNotFoundError):
        await application.tracker.get(Checkout, "order-1")


async def test_a_refusal_by_the_limit_is_told_at_once(application: Application) -> None:
    with pytest.raises(SessionLimitError):
        async with application.begin() as connection:
            bound = application.bind(connection)
            for _ in range(3):
                await bound.start(Login(owner="alice"))
    assert application.observed.told() == ["SessionLimitReached"]


async def test_a_commit_that_fails_is_none(application: Application) -> None:
    told = application.observed.told
    if application.kind == "mysql" and application.asynchronous:
        pytest.skip("aiomysql leaves a connection that was killed unclosed")
    async with application.connect() as connection:
        if application.kind == "mysql":
            kill = f"KILL {(await connection.execute(text('SELECT CONNECTION_ID()'))).scalar()}"
        else:
            if application.kind == "sqlite":
                await connection.execute(text("PRAGMA foreign_keys = ON"))
            wrong = (
                "CREATE TEMPORARY TABLE parts (id int PRIMARY KEY, whole int "
                "REFERENCES parts DEFERRABLE INITIALLY DEFERRED)"
            )
            await connection.execute(text(wrong))
            await connection.commit()
        bound = application.bind(connection)
        await bound.start(Checkout(key="order-42"))
        if application.kind == "mysql":
            async with application.begin() as other:
                await other.execute(text(kill))
        else:
            await connection.execute(text("INSERT INTO parts VALUES (1, 2)"))
        with pytest.raises(DBAPIError):
            await connection.commit()
        if application.kind == "sqlite":  # which goes on, and SQLAlchemy does not know
            await connection.rollback()
            await connection.execute(text("ROLLBACK"))
    assert told() == []
    with pytest.raises(SessionNotFoundError):
        await application.tracker.get(Checkout, "order-42")


@pytest.mark.parametrize("where", ["in the transaction", "in a savepoint"])
async def test_a_transaction_that_failed_is_told_of_as_it_ends(
    application: Application, where: str
) -> None:
    """PostgreSQL rolls back when it is told to commit, and the others commit."""
    async with application.connect() as connection:
        bound = application.bind(connection)
        await bound.start(Checkout(key="order-42"))
        await application.order(connection, "order-42")
        with pytest.raises(DBAPIError):
            if where == "in a savepoint":
                async with application.nested(connection):
                    await bound.start(Checkout(key="order-43"))
                    await application.order(connection, "order-42")
            else:
                await application.order(connection, "order-42")
        await connection.commit()
    there = await application.tracker.get_many(Checkout, ["order-42", "order-43"])
    assert application.observed.told() == ["SessionStarted"] * len(there)
    is_undone = application.kind == "postgresql" and where == "in the transaction"
    assert list(there) == ([] if is_undone else ["order-42"])


# What cannot be bound ------------------------------------------------------------------


async def test_a_lock_cannot_be_taken_in_a_transaction(application: Application) -> None:
    async with application.begin() as connection:
        bound = application.bind(connection)
        for call in ("lock", "get_locked"):
            with pytest.raises(CapabilityError, match="before the transaction begins, and pass"):
                await called(getattr(bound, call)(Checkout, "order-42"))


async def called(answer: Any) -> Any:
    return await answer


@pytest.mark.parametrize("by", ["engine", "connection"])
async def test_autocommit_is_refused(application: Application, by: str) -> None:
    autocommit: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"}
    engine = application.new_engine(**(autocommit if by == "engine" else {}))
    options = autocommit if by == "connection" else {}
    async with application.connect(engine, **options) as connection:
        bound = application.bind(connection)
        with pytest.raises(ConfigurationError, match="autocommit"):
            await bound.start(Checkout(key="order-42"))
        with pytest.raises(ConfigurationError, match="autocommit"):
            await bound.start(Login(owner="alice"))
    await application.dispose(engine)
    with pytest.raises(SessionNotFoundError):
        await application.tracker.get(Checkout, "order-42")


async def test_what_is_no_connection_is_refused(application: Application) -> None:
    engine = application.engine
    bound = application.own.bind(engine)
    bound = bound if application.asynchronous else Awaited(bound)
    with pytest.raises(TypeError, match=r"bind\(\) takes SQLAlchemy's"):
        await bound.start(Checkout())


async def test_a_closed_connection_is_refused(application: Application) -> None:
    async with application.connect() as connection:
        bound = application.bind(connection)
        await bound.start(Checkout(key="order-42"))
    with pytest.raises(ResourceClosedError):
        await bound.get(Checkout, "order-42")
    with pytest.raises(SessionNotFoundError):
        await application.tracker.get(Checkout, "order-42")
    assert application.observed.told() == []


async def test_another_database_is_refused(
    application: Application, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Of another kind; and of the same, where that can be told."""
    elsewhere = [f"sqlite:///{tmp_path / 'another.db'}"]
    if application.kind == "sqlite":
        elsewhere.append(request.getfixturevalue("own_url"))
    else:
        name = {"postgresql": "template1", "mysql": "mysql"}[application.kind]
        another = application.url.set(database=name, drivername=application.kind)
        elsewhere.append(another.render_as_string(hide_password=False))
    for url in elsewhere:
        other = Application(url, asynchronous=application.asynchronous, prefix="t_")
        async with other.begin() as connection:
            with pytest.raises(ConfigurationError, match=r"this connection is to"):
                await application.bind(connection).start(Checkout(key="order-42"))
        await other.dispose(other.engine)
    if application.kind == "postgresql":  # or to another schema in it
        async with application.begin() as connection:
            await connection.execute(text("SET LOCAL search_path TO pg_catalog"))
            with pytest.raises(ConfigurationError, match=r"does not see its tables"):
                await application.bind(connection).start(Checkout(key="order-42"))


async def test_how_many_statements_an_update_is(application: Application) -> None:
    checkout = await application.tracker.start(Checkout(key="order-42"))
    said: list[str] = []
    engine = getattr(application.engine, "sync_engine", application.engine)
    async with application.begin() as connection:
        bound = application.bind(connection)
        await bound.update(checkout)  # the first on an engine also asks which database it is
        event.listen(engine, "before_cursor_execute", lambda *what: said.append(what[2]))
        await bound.update(checkout)
    assert len(said) == {"sqlite": 4, "postgresql": 3, "mysql": 4}[application.kind], said


async def test_a_tracker_that_is_closed_is_closed(application: Application) -> None:
    async with application.begin() as connection:
        bound = application.bind(connection)
        await bound.start(Checkout(key="order-42"))
        await application.tracker.close()
        with pytest.raises(Exception, match="not open"):
            await bound.get(Checkout, "order-42")
    await application.tracker.open()


async def test_errors_of_the_transaction_are_the_callers(application: Application) -> None:
    """As SQLAlchemy raises them, so that whoever repeats transactions recognizes them."""
    with pytest.raises(DBAPIError):
        async with application.begin() as connection:
            await application.bind(connection).start(Checkout(key="order-42"))
            for _ in range(2):
                await application.order(connection, "order-42")
    assert application.observed.told() == []
    with pytest.raises(SessionNotFoundError):
        await application.tracker.get(Checkout, "order-42")


async def test_what_is_bound_elsewhere_is_refused(application: Application) -> None:
    asynchronous = application.asynchronous
    here = type(application.own)()
    await (here.open() if asynchronous else Awaited(here).open())
    async with application.begin() as connection:
        bound = here.bind(connection if asynchronous else connection.it)
        with pytest.raises(CapabilityError, match=r"'checkout' sessions .* use = \"sql\""):
            await (bound if asynchronous else Awaited(bound)).start(Checkout())
    await (here.close() if asynchronous else Awaited(here).close())
