"""What psycopg and PyMySQL offer threads. By hand; ``_async`` has its twin of an event loop."""

from __future__ import annotations

import re
import select
import threading
from collections.abc import Callable, Sequence
from functools import cache, partial
from math import inf
from struct import Struct, pack
from struct import error as struct_error
from time import monotonic, sleep
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError

from .. import error_numbers, sqlstates
from ..in_time import in_time
from ..server_options import ServerOptions
from ..talk import Answer, LostError, NotConnectedError, Query, ServerError

__all__ = ["Connection", "Worker", "connect", "sleep"]

_STOPPING = 5.0  # s
_HEARING = 0.2  # s


class Connection(Protocol):
    """One connection to a server."""

    own: Any
    """What it calls itself."""

    prepares: bool
    """Whether statements may be prepared: no pooler is between us and the server."""

    @property
    def is_usable(self) -> bool:
        """Whether the connection is still there, as far as one can see."""
        ...

    def ask(self, query: Query, timeout: float) -> Answer:
        """The answer, within ``timeout`` s. Raises: ServerError, LostError."""
        ...

    def listen(self, channel: str) -> None:
        """Begin to listen. Raises: LostError."""
        ...

    def hear(self) -> list[str]:
        """What is said on the channel next; nothing after a while. Raises: LostError."""
        ...

    def drop(self) -> None:
        """Close the connection at once, whatever is under way in it."""
        ...

    def close(self) -> None:
        """Close the connection, and say so to the server."""
        ...


def connect(options: ServerOptions) -> Connection:
    """A new connection. Raises: NotConnectedError, ServerError."""
    make = _connect_postgresql if options.kind == "postgresql" else _connect_mysql
    try:
        return in_time(partial(make, options), options.connecting, lambda late: late.drop())
    except TimeoutError as error:
        raise NotConnectedError(TimeoutError("time was up")) from error


def _made_by(options: ServerOptions) -> Any:
    """The driver's own connection, made as the engine makes all of its own, but for a pool of ours:
    its own one may be exhausted, and whoever waits for it waits for others."""
    pooled = options.engine.pool.recreate().connect()
    driver = pooled.driver_connection
    pooled.detach()
    return driver


def _has_word(fileno: int) -> bool:
    """Whether an idle connection has something to say: that it ends."""
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return bool(poll.poll(0))


# PostgreSQL -------------------------------------------------------------------


class _PostgreSQLConnection:
    """By psycopg."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._until = inf
        self._wait = driver.wait
        driver.wait = self._wait_in_time
        for packed, number in _OIDS.items():
            driver.adapters.register_dumper(packed, _dumper(number))
        self._cursor = driver.cursor(binary=True)
        self.own = driver.info.backend_pid
        self.prepares = False

    def _wait_in_time(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """psycopg has no deadline for an answer of its own."""
        if timeout is None and self._until < inf:
            timeout = max(0.001, self._until - monotonic())
        return self._wait(gen, interval, timeout)

    @property
    def is_usable(self) -> bool:
        return not self._driver.closed and not _has_word(self._driver.fileno())

    def ask(self, query: Query, timeout: float) -> Answer:
        import psycopg

        cursor = self._cursor
        self._until = monotonic() + timeout
        try:
            cursor.execute(query.text, _packed(query), prepare=self.prepares, binary=True)
            return Answer(cursor.fetchall() if cursor.description is not None else ())
        except (OverflowError, ValueError, TypeError, struct_error, psycopg.DataError) as error:
            raise ServerError(getattr(error, "sqlstate", None) or "22000", str(error)) from error
        except psycopg.Error as error:
            code = error.sqlstate
            if code is None or sqlstates.is_lost(code):
                self.drop()
                raise LostError(str(error) or repr(error)) from error
            raise ServerError(code, str(error)) from error
        except OSError as error:
            self.drop()
            raise LostError(str(error) or repr(error)) from error
        except BaseException:
            self.drop()
            raise

    def listen(self, channel: str) -> None:
        quoted = channel.replace('"', '""')
        self.ask(Query(f'LISTEN "{quoted}"'), _STOPPING)

    def hear(self) -> list[str]:
        import psycopg

        try:
            self._until = monotonic() + 2 * _HEARING
            heard = self._driver.notifies(timeout=_HEARING, stop_after=1)
            return [notify.payload for notify in heard]
        except (psycopg.Error, OSError) as error:
            self.drop()
            raise LostError(str(error) or repr(error)) from error

    def drop(self) -> None:
        self._driver.close()

    def close(self) -> None:
        self._driver.close()


def _connect_postgresql(options: ServerOptions) -> Connection:
    import psycopg

    connecting = {"connect_timeout": max(2, round(options.connecting)), **options.connect_args}
    try:
        if options.engine is not None:
            driver = _made_by(options)
            driver.rollback()  # what a pool leaves open that resets nothing
        else:
            driver = psycopg.connect(options.dsn, **connecting)
        driver.autocommit = True
    except psycopg.Error as error:
        if isinstance(error, psycopg.ProgrammingError) and options.connect_args:
            raise options.refused(error) from error
        raise sqlstates.not_connected(error.sqlstate, error) from error
    except (OSError, SQLAlchemyError) as error:
        raise NotConnectedError(error) from error
    driver.prepare_threshold = 0  # or nothing is, whatever it is told
    driver.cursor_factory = psycopg.RawCursor
    return _PostgreSQLConnection(driver)


# Arguments --------------------------------------------------------------------
#
# psycopg asks every element of a list for its type; here it is known. A NULL has none for it, so
# that a statement would be prepared once more wherever one stands.


class _Bytes(bytes):
    """An array of bytea, as the server reads it."""


class _Integers(bytes):
    """An array of bigint."""


class _Booleans(bytes):
    """An array of boolean."""


class _Integer(bytes):
    """A bigint."""


class _NoByte(bytes):
    """A bytea that is NULL."""


class _NoInteger(bytes):
    """A bigint that is NULL."""


_OIDS: dict[type, int] = {
    _Bytes: 1001, _Integers: 1016, _Booleans: 1000, _Integer: 20, _NoByte: 17, _NoInteger: 20,
}  # fmt: skip
_NULLS = {"bytea": _NoByte(), "bigint": _NoInteger()}
_PARAMETER = re.compile(r"\$(\d+)::(\w+(?:\[\])?)")
_HEAD = Struct("!iiIii")  # dimensions, has nulls, type of the elements, how many, from
_NULL = pack("!i", -1)
_LENGTH = Struct("!i").pack
_BIGINT = Struct("!iq").pack
_BOOLEANS = {False: pack("!i?", 1, False), True: pack("!i?", 1, True)}


@cache
def _dumper(number: int) -> Any:
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class AsIs(Dumper):
        format = Format.BINARY
        oid = number

        def dump(self, obj: Any) -> Any:
            return None if isinstance(obj, (_NoByte, _NoInteger)) else obj

    return AsIs


@cache
def _types(text: str) -> Sequence[str]:
    """The types of a statement's parameters, each of which it states."""
    stated = {int(number): type for number, type in _PARAMETER.findall(text)}
    return [stated[number] for number in sorted(stated)]


def _packed(query: Query) -> Sequence[Any]:
    arguments = query.arguments
    if not arguments:
        return ()
    return [
        _NULLS[type] if each is None else _PACKERS[type](each)
        for type, each in zip(_types(query.text), arguments, strict=True)
    ]


def _array(oid: int, elements: Sequence[bytes]) -> bytes:
    return _HEAD.pack(1, 1, oid, len(elements), 1) + b"".join(elements)


def _bytes(values: Sequence[bytes | None]) -> _Bytes:
    return _Bytes(
        _array(17, [_NULL if each is None else _LENGTH(len(each)) + each for each in values])
    )


def _integers(values: Sequence[int | None]) -> _Integers:
    return _Integers(_array(20, [_NULL if each is None else _BIGINT(8, each) for each in values]))


def _booleans(values: Sequence[bool]) -> _Booleans:
    return _Booleans(_array(16, [_BOOLEANS[each] for each in values]))


def _integer(value: int) -> _Integer:
    return _Integer(pack("!q", value))


def _as_it_is(value: Any) -> Any:
    return value


_PACKERS: dict[str, Callable[[Any], Any]] = {
    "bytea[]": _bytes,
    "bigint[]": _integers,
    "boolean[]": _booleans,
    "bigint": _integer,
    "bytea": _as_it_is,
    "boolean": _as_it_is,
    "text": _as_it_is,
}


# MariaDB and MySQL ------------------------------------------------------------


class _MySQLConnection:
    """By PyMySQL."""

    prepares = True

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._cursor = driver.cursor()
        self.own = driver.thread_id()

    @property
    def is_usable(self) -> bool:
        return self._driver.open and not _has_word(self._driver._sock.fileno())

    def ask(self, query: Query, timeout: float) -> Answer:
        counts: list[int] = []
        rows: Sequence[Sequence[Any]] = ()
        cursor = self._cursor
        try:
            cursor.execute(query.text)
            while True:
                counts.append(cursor.rowcount)
                if cursor.description is not None:
                    rows = cursor.fetchall()
                if not cursor.nextset():
                    return Answer(rows, counts)
        except OSError as error:
            self.drop()
            raise LostError(str(error) or repr(error)) from error
        except Exception as error:
            code, message = error_numbers.read(error)
            if error_numbers.is_lost(code):
                self.drop()
                raise LostError(message) from error
            raise ServerError(code, message, counts) from error
        except BaseException:
            self.drop()
            raise

    def listen(self, channel: str) -> None:
        raise NotImplementedError

    def hear(self) -> list[str]:
        raise NotImplementedError

    def drop(self) -> None:
        self._driver._force_close()

    def close(self) -> None:
        try:
            self._driver.close()
        except Exception:
            self.drop()


def _connect_mysql(options: ServerOptions) -> Connection:
    import pymysql
    from pymysql.constants import CLIENT

    if options.engine is not None:
        try:
            return _MySQLConnection(_made_ready(_made_by(options), options.timeout))
        except (pymysql.Error, OSError, SQLAlchemyError) as error:
            raise error_numbers.not_connected(error) from error
    connecting = {
        "connect_timeout": max(1, round(options.connecting)),
        "read_timeout": options.timeout,
        "write_timeout": options.timeout,
        "autocommit": True,
        "charset": "utf8mb4",
        "client_flag": CLIENT.MULTI_STATEMENTS,
        **options.where_to_connect,
        **options.connect_args,
    }
    try:
        return _MySQLConnection(pymysql.connect(**connecting))
    except TypeError as error:
        raise options.refused(error) from error
    except (pymysql.Error, OSError) as error:
        raise error_numbers.not_connected(error) from error


def _made_ready(driver: Any, timeout: float) -> Any:
    """An engine's connection, as ours are made."""
    from pymysql.constants import COMMAND

    driver._read_timeout = driver._write_timeout = timeout
    driver.rollback()
    driver.autocommit(True)
    # Several statements in one query, from now on.
    driver._execute_command(COMMAND.COM_SET_OPTION, b"\0\0")
    driver._read_packet()
    return driver


# Threads ----------------------------------------------------------------------


class Worker:
    """One daemon thread, which works until what it waits for is closed."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=work, name="sessiontracker sql", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_STOPPING)
