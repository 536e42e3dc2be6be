"""Operations within a transaction that a caller has open, on a connection of SQLAlchemy's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from sqlalchemy import Connection, Pool

from sessiontracker.backend import (
    AsyncTransaction,
    ConfigurationError,
    Transaction,
    operations,
)

from .endings import Callback, Ending

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = [
    "AsyncCallersTransaction",
    "CallersTransaction",
    "Steps",
    "check_dialect",
    "refuse_autocommit",
    "together",
]


class Steps(Protocol):
    """What is said on a caller's connection, to one kind of database."""

    where: str
    """How errors name the backend."""

    right: WeakSet[Pool]
    """Whose connections are known to be to the backend's own database."""

    def identify(self, connection: Connection) -> object:
        """What tells the database at the other end from any other. Raises: ConfigurationError."""
        ...

    def execute(
        self, connection: Connection, operation: operations.Operation
    ) -> operations.Outcome:
        """Execute ``operation``, and leave locked what it concerns. Raises: SQLAlchemyError."""
        ...


class AsyncCallersTransaction(AsyncTransaction):
    """On an AsyncConnection, or on that of an AsyncSession. ``identify`` asks the backend's own
    database."""

    def __init__(self, given: Any, steps: Steps, identify: Callable[[], Awaitable[object]]) -> None:
        from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

        if not isinstance(given, (AsyncConnection, AsyncSession, async_scoped_session)):
            raise _no_connection(given, "AsyncConnection or AsyncSession")
        self._given = given
        self._steps = steps
        self._identify = identify
        self._current: Connection | None = None

    async def execute(self, operation: operations.Operation) -> operations.Outcome:
        steps = self._steps
        connection = await self._connected()
        if connection.engine.pool not in steps.right:
            found = await connection.run_sync(steps.identify)
            _compare(steps, connection.engine.pool, found, await self._identify())
        self._current = connection.sync_connection
        return await connection.run_sync(_step, steps, operation)

    async def _connected(self) -> AsyncConnection:
        from sqlalchemy.ext.asyncio import AsyncConnection

        if isinstance(self._given, AsyncConnection):
            return self._given
        connection: AsyncConnection = await self._given.connection()
        return connection

    def when_over(self, committed: Callback, rolled_back: Callback) -> None:
        assert self._current is not None
        Ending.of(self._current).add(self._current, committed, rolled_back)


class CallersTransaction(Transaction):
    """On a Connection, or on that of a Session."""

    def __init__(self, given: Any, steps: Steps, identify: Callable[[], object]) -> None:
        from sqlalchemy.orm import Session, scoped_session  # which takes its time

        if not isinstance(given, (Connection, Session, scoped_session)):
            raise _no_connection(given, "Connection or Session")
        self._given = given
        self._steps = steps
        self._identify = identify
        self._current: Connection | None = None

    def execute(self, operation: operations.Operation) -> operations.Outcome:
        steps, given = self._steps, self._given
        connection = given if isinstance(given, Connection) else given.connection()
        if connection.engine.pool not in steps.right:
            _compare(steps, connection.engine.pool, steps.identify(connection), self._identify())
        self._current = connection
        return _step(connection, steps, operation)

    def when_over(self, committed: Callback, rolled_back: Callback) -> None:
        assert self._current is not None
        Ending.of(self._current).add(self._current, committed, rolled_back)


_at_work: WeakSet[Connection] = WeakSet()


def _step(
    connection: Connection, steps: Steps, operation: operations.Operation
) -> operations.Outcome:
    """Execute ``operation``, alone: from itself, no lock keeps a transaction."""
    if connection in _at_work:
        raise ConfigurationError(
            f"{steps.where}: two calls at once on one connection: make one after the other, or "
            "bind a connection for each"
        )
    _at_work.add(connection)
    try:
        return steps.execute(connection, operation)
    finally:
        _at_work.discard(connection)


def _compare(steps: Steps, pool: Pool, found: object, own: object) -> None:
    if found != own:
        raise ConfigurationError(
            f"{steps.where}: this connection is to another database than the backend's, or does "
            "not see its tables: bind one to where the sessions are"
        )
    steps.right.add(pool)


def _no_connection(given: object, wanted: str) -> TypeError:
    return TypeError(f"bind() takes SQLAlchemy's {wanted} here, not a {type(given).__name__}")


def refuse_autocommit(steps: Steps) -> ConfigurationError:
    """The error for a connection without transactions."""
    return ConfigurationError(
        f"{steps.where}: this connection is in autocommit mode, so that there is no transaction "
        "to take part in: bind one with another isolation level"
    )


def check_dialect(steps: Steps, connection: Connection, *names: str) -> None:
    """Whether the ``connection`` is to a database of the backend's kind.

    Raises: ConfigurationError.
    """
    name = connection.dialect.name
    if name not in names:
        raise ConfigurationError(
            f"{steps.where}: this connection is to {name}, and the sessions are in {names[0]}: "
            "bind one to where the sessions are"
        )


@contextmanager
def together(connection: Connection) -> Iterator[None]:
    """Statements that are undone, all of them, if one fails; the transaction may go on then."""
    connection.exec_driver_sql("SAVEPOINT sessiontracker_step")
    try:
        yield
    except BaseException:
        with suppress(Exception):  # unless it is over, and all that was in it
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT sessiontracker_step")
        raise
    connection.exec_driver_sql("RELEASE SAVEPOINT sessiontracker_step")
