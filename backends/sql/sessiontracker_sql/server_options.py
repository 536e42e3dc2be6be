"""What a configuration says of a database server: checked, with messages that name the setting."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from ssl import SSLContext
from typing import Any
from urllib.parse import unquote

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from sessiontracker.backend import BackendError, BackendOptions, ConfigurationError, shown

from .mysql_tls import TLS, tls_context
from .options import check_clock, check_create_tables, check_table_prefix, check_timeout
from .talk import NotConnectedError

__all__ = ["SERVERS", "ServerOptions", "kind_of", "need_driver"]

SERVERS = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
"""The kind of server, by what its URL begins with."""

_TIMEOUT, _LEAST_TO_CONNECT = 5.0, 1.0  # s
_QUERY = re.compile(r"\?\w+=")
_DRIVERS = {"postgresql": ("asyncpg", "psycopg"), "mysql": ("aiomysql", "pymysql")}
_OPTIONS = (
    "timeout", "table_prefix", "schema", "create_tables", "clock", "connect_args", "listen_url",
    "engine",
)  # fmt: skip
_OF_POSTGRESQL = {
    "listen_url": "only PostgreSQL can be listened to",
    "schema": "only PostgreSQL has schemas within a database: name the database in the url",
}


class ServerOptions(Struct, frozen=True, kw_only=True):
    """A server, and how to use it.

    ``connect_args``: what the driver is given beside the ``url`` when it connects. ``tls``: what
    the ``url`` of MariaDB or MySQL said of it, which is PostgreSQL's driver's to read. ``timeout``:
    for how many seconds an answer is waited for. ``listen_url``: where to listen for hints,
    if a pooler is in between. ``schema``: where the tables are, if not where the search path
    has them. ``engine``: SQLAlchemy's, which makes the connections. ``clock``: µs since 1970,
    for tests.
    """

    where: str
    url: URL
    connect_args: Mapping[str, Any] = {}
    tls: SSLContext | None = None
    listen_url: URL | None = None
    engine: Any = None
    timeout: float = _TIMEOUT
    table_prefix: str = "sessiontracker_"
    schema: str | None = None
    create_tables: bool = True
    clock: Callable[[], int] | None = None

    @property
    def kind(self) -> str:
        """Of the server, as in `SERVERS`."""
        return SERVERS[self.url.get_backend_name()]

    def __repr__(self) -> str:
        return f"ServerOptions({self.where!r})"  # the rest may be secret

    @property
    def dsn(self) -> str:
        """The URL as libpq reads it: with no space in it, and no plus that means one."""
        text = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        place, mark, query = text.partition("?")
        return place.replace(" ", "%20") + mark + query.replace("+", "%20")

    @property
    def where_to_connect(self) -> dict[str, Any]:
        """The URL as PyMySQL's ``connect`` takes it."""
        url = self.url
        named = {
            "host": url.host,
            "port": url.port,
            "user": url.username,
            "password": url.password,
            "database": url.database,
            "ssl": self.tls,
            **url.query,
        }
        return {name: value for name, value in named.items() if value is not None}

    @property
    def connecting(self) -> float:
        """For how many seconds a connection is waited for, whatever a call has."""
        return max(self.timeout, _LEAST_TO_CONNECT)

    def refused(self, error: Exception) -> NotConnectedError:
        """What it is called that the driver takes no such ``connect_args``."""
        words = " ".join(str(error).split())
        return NotConnectedError(
            BackendError(f"connect_args: the driver takes no such thing, correct them ({words})")
        )

    @property
    def opening(self) -> float:
        """For how many seconds each answer is waited for while the tables are made."""
        return max(self.timeout, _TIMEOUT)

    @property
    def to_listen(self) -> ServerOptions:
        """The same, for a connection that listens."""
        if self.listen_url is None:
            return self
        return replace(self, url=self.listen_url, engine=None)

    @classmethod
    def of(cls, given: BackendOptions) -> ServerOptions:
        """Raises: ConfigurationError."""
        where = f"backends.{given.name}"
        url = _url(f"{where}.url", url_of(given))
        kind = SERVERS[url.get_backend_name()]
        settings = dict(given.options)
        for name in settings:
            if name not in _OPTIONS:
                raise ConfigurationError(
                    f"{where}.{name}: there is no such option for a database server; there are "
                    f"{', '.join(_OPTIONS)} (what the driver takes goes into connect_args)"
                )
        # What may stand in the url as well; the rest of its query is the driver's.
        for name in ("timeout", "table_prefix", "schema", "create_tables"):
            if name in url.query:
                settings.setdefault(name, url.query[name])
                url = url.difference_update_query([name])
        if kind == "mysql":
            settings["tls"] = tls_context(f"{where}.url", url.query)
            url = url.difference_update_query(TLS)
        for name, check in _CHECKS.items():
            if name in settings:
                settings[name] = check(f"{where}.{name}", settings[name])
        settings["timeout"] = given.patience(settings.get("timeout"), _TIMEOUT)
        for name, why in _OF_POSTGRESQL.items():
            if name in settings and kind != "postgresql":
                raise ConfigurationError(f"{where}.{name}: {why}")
        if "engine" in settings and "connect_args" in settings:
            raise ConfigurationError(
                f"{where}.connect_args: an engine has its own: give them to create_engine"
            )
        return cls(where=where, url=url, **settings)


def url_of(given: BackendOptions) -> str | None:
    """The URL of a database, or of the engine that stands in its place.

    Raises: ConfigurationError.
    """
    engine = given.options.get("engine")
    if engine is None:
        return given.url
    where = f"backends.{given.name}.engine"
    if given.url:
        raise ConfigurationError(f"{where}: give a url or an engine, not both")
    url = getattr(engine, "url", None)
    if not isinstance(url, URL):
        raise ConfigurationError(
            f"{where}: {shown(engine)} is no Engine or AsyncEngine of SQLAlchemy"
        )
    if url.get_backend_name() not in SERVERS:
        raise ConfigurationError(
            f"{where}: an engine of {url.get_backend_name()!r} cannot be used, but those of "
            "PostgreSQL, MariaDB and MySQL can: give a url, as in sqlite:///sessions.db"
        )
    return url.render_as_string(hide_password=False)


def kind_of(given: BackendOptions) -> str | None:
    """The kind of server that is named; None for anything else. Raises: ConfigurationError."""
    text = url_of(given)
    if not text:
        return None
    try:
        return SERVERS.get(make_url(text).get_backend_name())
    except (ArgumentError, ValueError):  # of its port
        return None


def need_driver(options: ServerOptions, *, asynchronous: bool) -> None:
    """Whether the package is there that connects, or else is the engine's own.

    Raises: ConfigurationError.
    """
    kind = options.kind
    driver = _DRIVERS[kind][0 if asynchronous else 1]
    engine = options.engine
    if engine is not None:
        if hasattr(engine, "sync_engine") is asynchronous and engine.dialect.driver == driver:
            return
        wanted = (
            "AsyncSessionTracker wants an AsyncEngine"
            if asynchronous
            else ("SessionTracker wants an Engine")
        )
        raise ConfigurationError(
            f"{options.where}.engine: {wanted} of {kind}+{driver}, not an "
            f"{type(engine).__name__} of {engine.url.drivername}"
        )
    if find_spec(driver) is None:
        raise ConfigurationError(
            f"{options.where}.url: the package {driver} is not installed, which connects to "
            f'{options.url.get_backend_name()}: pip install "sessiontracker[{kind}]"'
        )


def _url(where: str, text: object) -> URL:
    try:
        url = make_url(text) if isinstance(text, str) else None
    except (ArgumentError, ValueError):  # of its port
        url = None
    if url is None or url.get_backend_name() not in SERVERS:
        raise ConfigurationError(
            f"{where}: {shown(text)} is no URL of a database server: write one like "
            '"postgresql://user@host/database" or "mysql://user@host/database"'
        )
    if "\0" in unquote(str(text)):  # which ends it, and what stands behind, for the drivers
        raise ConfigurationError(f"{where}: it holds a NUL: leave it out")
    if _is_cut_wrongly(url, str(text)):
        raise ConfigurationError(f"{where}: there is one @ too many: in a password write %40 for @")
    return url


def _is_cut_wrongly(url: URL, text: str) -> bool:
    """Whether a password's @ was taken for another, so that its pieces stand in other places."""
    return (
        "@" in (url.host or "")
        or ("@" in (url.database or "") and "%40" not in text)
        or ("%3f" not in text.lower() and _QUERY.search(str(url.password or "")) is not None)
    )


def _connect_args(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where}: {shown(value)} is no table of what the driver takes")
    for name, argument in value.items():
        if isinstance(argument, str) and "\0" in argument:
            raise ConfigurationError(f"{where}.{name}: it holds a NUL: leave it out")
    return value


def _schema(where: str, value: object) -> str:
    try:
        if isinstance(value, str) and value and b"\0" not in value.encode():
            return value
    except UnicodeEncodeError:
        pass
    raise ConfigurationError(f'{where}: {shown(value)} is no name of a schema, such as "app"')


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "timeout": check_timeout,
    "table_prefix": check_table_prefix,
    "schema": _schema,
    "create_tables": check_create_tables,
    "clock": check_clock,
    "connect_args": _connect_args,
    "listen_url": _url,
}
