"""What asyncpg and aiomysql offer an event loop. By hand; ``_sync`` has its twin of threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.util import greenlet_spawn

from .. import error_numbers, sqlstates
from ..server_options import ServerOptions
from ..talk import Answer, LostError, NotConnectedError, Query, ServerError

__all__ = ["AsyncConnection", "AsyncWorker", "connect", "sleep"]

sleep = asyncio.sleep
_CLOSING = 2.0  # s
_OF_TRANSACTIONS = ("BEGIN", "COMMIT", "ROLLBACK")


class AsyncConnection(Protocol):
    """One connection to a server."""

    own: Any
    """What it calls itself."""

    prepares: bool
    """Whether statements may be prepared: no pooler is between us and the server."""

    @property
    def is_usable(self) -> bool:
        """Whether the connection is still there, as far as one can see."""
        ...

    async def ask(self, query: Query, timeout: float) -> Answer:
        """The answer, within ``timeout`` s. Raises: ServerError, LostError."""
        ...

    async def listen(self, channel: str) -> None:
        """Begin to listen. Raises: LostError."""
        ...

    async def hear(self) -> list[str]:
        """What is said on the channel next. Raises: LostError."""
        ...

    def drop(self) -> None:
        """Close the connection at once, whatever is under way in it."""
        ...

    async def close(self) -> None:
        """Close the connection, and say so to the server."""
        ...


async def connect(options: ServerOptions) -> AsyncConnection:
    """A new connection. Raises: NotConnectedError, ServerError."""
    if options.kind == "postgresql":
        return await _connect_postgresql(options)
    return await _connect_mysql(options)


async def _made_by(options: ServerOptions) -> Any:
    """The driver's own connection, made as the engine makes all of its own, but for a pool of ours:
    its own one may be exhausted, and whoever waits for it waits for others."""
    async with asyncio.timeout(options.connecting):
        pooled = await greenlet_spawn(options.engine.pool.recreate().connect)
    driver = pooled.driver_connection
    pooled.detach()
    return driver


def _of_engine(options: ServerOptions) -> tuple[type[Exception], ...]:
    """The errors that an engine raises of its own, and its driver's as it calls them."""
    if options.engine is None:
        return ()
    return SQLAlchemyError, options.engine.dialect.loaded_dbapi.Error


def _words(error: BaseException) -> str:
    return "time was up" if isinstance(error, TimeoutError) else str(error) or repr(error)


# PostgreSQL -------------------------------------------------------------------


class _PostgreSQLConnection:
    """By asyncpg."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.own = driver.get_server_pid()
        self.prepares = False
        self._prepared: dict[str, Any] = {}
        self._heard: asyncio.Queue[str | None] = asyncio.Queue()
        # Those timeouts are for who forgets a transaction: a busy loop may take longer than they.
        self._begin = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0"
        if driver.get_server_version().major >= 17:
            self._begin += "; SET LOCAL transaction_timeout = 0"

    @property
    def is_usable(self) -> bool:
        return not self._driver.is_closed()

    async def ask(self, query: Query, timeout: float) -> Answer:
        driver = self._driver
        try:
            if self.prepares:
                statement = self._prepared.get(query.text)
                if statement is None:
                    # Without a name, it would be parsed and planned at every call.
                    name = f"sessiontracker_{len(self._prepared)}"
                    statement = await driver.prepare(query.text, name=name, timeout=timeout)
                    self._prepared[query.text] = statement
                return Answer(await statement.fetch(*query.arguments, timeout=timeout))
            async with asyncio.timeout(timeout):
                return await self._ask_a_pooler(query)
        except (ValueError, OverflowError, TypeError) as error:  # which no column can hold
            raise ServerError("22000", str(error)) from error
        except (OSError, TimeoutError) as error:
            self.drop()
            raise LostError(_words(error)) from error
        except Exception as error:
            code = getattr(error, "sqlstate", None)
            if code is None or sqlstates.is_lost(code):
                self.drop()
                raise LostError(_words(error)) from error
            raise ServerError(code, str(error)) from error
        except BaseException:
            self.drop()  # whatever is under way in it
            raise

    async def _ask_a_pooler(self, query: Query) -> Answer:
        """As one transaction, for which a pooler lends the same connection: asyncpg parses a
        statement in one round trip, and executes it in the next."""
        driver = self._driver
        if query.text in _OF_TRANSACTIONS:
            await driver.execute(query.text)
            return Answer(())
        if driver.is_in_transaction():
            statement = await driver.prepare(query.text, name="")
            return Answer(await statement.fetch(*query.arguments))
        await driver.execute(self._begin)
        try:
            answer = await self._ask_a_pooler(query)
        except Exception:
            if not driver.is_closed():
                await driver.execute("ROLLBACK")
            raise
        await driver.execute("COMMIT")
        return answer

    async def listen(self, channel: str) -> None:
        heard = self._heard

        def on_notify(connection: Any, process: int, channel: str, payload: str) -> None:
            heard.put_nowait(payload)

        def on_end(connection: Any) -> None:
            heard.put_nowait(None)

        try:
            self._driver.add_termination_listener(on_end)
            await self._driver.add_listener(channel, on_notify)
        except Exception as error:
            self.drop()
            raise LostError(_words(error)) from error

    async def hear(self) -> list[str]:
        payload = await self._heard.get()
        if payload is None:
            raise LostError("the connection that listens was closed")
        return [payload]

    def drop(self) -> None:
        self._driver.terminate()

    async def close(self) -> None:
        try:
            await self._driver.close(timeout=_CLOSING)
        except Exception:
            self.drop()


async def _connect_postgresql(options: ServerOptions) -> AsyncConnection:
    import asyncpg

    try:
        if options.engine is not None:
            driver = await _made_by(options)
            if driver.is_in_transaction():  # which a pool leaves open that resets nothing
                await driver.execute("ROLLBACK")
            return _PostgreSQLConnection(driver)
        # Its own cache would leave named statements behind in what a pooler has lent.
        connecting = {
            "timeout": options.connecting,
            "statement_cache_size": 0,
            **options.connect_args,
        }
        return _PostgreSQLConnection(await asyncpg.connect(options.dsn, **connecting))
    except TypeError as error:
        raise options.refused(error) from error
    except asyncpg.PostgresError as error:
        raise sqlstates.not_connected(error.sqlstate, error) from error
    except (OSError, TimeoutError, ValueError, asyncpg.InterfaceError) as error:
        raise NotConnectedError(error) from error
    except _of_engine(options) as error:
        raise sqlstates.not_connected(getattr(error, "sqlstate", None), error) from error


# MariaDB and MySQL ------------------------------------------------------------


class _MySQLConnection:
    """By aiomysql, which has PyMySQL's errors."""

    prepares = True

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.own = driver.thread_id()

    @property
    def is_usable(self) -> bool:
        return not self._driver.closed and not self._driver._reader.at_eof()

    async def ask(self, query: Query, timeout: float) -> Answer:
        counts: list[int] = []
        rows: Sequence[Sequence[Any]] = ()
        try:
            async with asyncio.timeout(timeout):
                cursor = await self._driver.cursor()
                await cursor.execute(query.text)
                while True:
                    counts.append(cursor.rowcount)
                    if cursor.description is not None:
                        rows = await cursor.fetchall()
                    if not await cursor.nextset():
                        return Answer(rows, counts)
        except (OSError, TimeoutError, EOFError) as error:
            self.drop()
            raise LostError(_words(error)) from error
        except Exception as error:
            code, message = error_numbers.read(error)
            if error_numbers.is_lost(code):
                self.drop()
                raise LostError(message) from error
            raise ServerError(code, message, counts) from error
        except BaseException:
            self.drop()  # whatever is under way in it
            raise

    async def listen(self, channel: str) -> None:
        raise NotImplementedError

    async def hear(self) -> list[str]:
        raise NotImplementedError

    def drop(self) -> None:
        self._driver.close()

    async def close(self) -> None:
        try:
            async with asyncio.timeout(_CLOSING):
                await self._driver.ensure_closed()
        except Exception:
            self.drop()


async def _connect_mysql(options: ServerOptions) -> AsyncConnection:
    import aiomysql

    if options.engine is not None:
        try:
            driver = await _made_by(options)
            await driver.rollback()
            await driver.autocommit(True)
        except (aiomysql.Error, OSError, TimeoutError, *_of_engine(options)) as error:
            raise error_numbers.not_connected(error) from error
        return _MySQLConnection(driver)
    connecting = {
        "autocommit": True,
        "charset": "utf8mb4",
        **options.where_to_connect,
        **options.connect_args,
    }
    connecting["db"] = connecting.pop("database", None)
    # aiomysql limits a part of it alone, by asyncio.wait_for, which may swallow a cancellation.
    limit = connecting.pop("connect_timeout", options.connecting)
    try:
        async with asyncio.timeout(limit):
            return _MySQLConnection(await aiomysql.connect(**connecting))
    except TypeError as error:
        raise options.refused(error) from error
    except (aiomysql.Error, OSError, TimeoutError) as error:
        raise error_numbers.not_connected(error) from error


# Tasks ------------------------------------------------------------------------


class AsyncWorker:
    """One task that works until it is stopped."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._task = asyncio.get_running_loop().create_task(work())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
