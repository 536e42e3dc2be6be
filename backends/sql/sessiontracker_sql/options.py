"""What a configuration says of a database: checked, with messages that name the setting."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeGuard, cast

from msgspec import Struct
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from sessiontracker.backend import (
    BackendOptions,
    ConfigurationError,
    parse_duration,
    parse_path,
    shown,
)

__all__ = [
    "Options",
    "check_clock",
    "check_create_tables",
    "check_table_prefix",
    "check_timeout",
]

_TIMEOUT = 2.0  # s
_SYNCHRONOUS = ("off", "normal", "full", "extra")
_KNOWN = ("timeout", "synchronous", "table_prefix", "create_tables", "clock")


def _now() -> int:
    return time.time_ns() // 1000


class Options(Struct, frozen=True, kw_only=True):
    """A SQLite file and how to use it.

    ``timeout``: for how many seconds others may keep it locked. ``synchronous``: how sure a
    commit is to outlive a power cut, as SQLite names it. ``clock``: µs since 1970.
    """

    path: Path
    timeout: float = _TIMEOUT
    synchronous: str = "normal"
    table_prefix: str = "sessiontracker_"
    create_tables: bool = True
    clock: Callable[[], int] = _now

    @property
    def opening(self) -> float:
        """For how many seconds others may keep it locked while the tables are made."""
        return max(self.timeout, _TIMEOUT)

    @classmethod
    def of(cls, given: BackendOptions) -> Options:
        """Raises: ConfigurationError."""
        where = f"backends.{given.name}"
        url = _url(where, given.url)
        path = _path(where, url)
        settings: dict[str, Any] = {**url.query, **given.options}
        for name in settings:
            if name not in _KNOWN:
                raise ConfigurationError(
                    f"{where}.{name}: SQLite has no such option; it knows {', '.join(_KNOWN)}"
                )
        for name, check in _CHECKS.items():
            if name in settings:
                settings[name] = check(f"{where}.{name}", settings[name])
        settings["timeout"] = given.patience(settings.get("timeout"), _TIMEOUT)
        return cls(path=path, **settings)


def _url(where: str, text: str | None) -> URL:
    if not text:
        raise ConfigurationError(
            f'{where}.url: say which database, for instance url = "sqlite:///sessions.db"'
        )
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # of its port
        raise ConfigurationError(
            f'{where}.url: {shown(text)} is no URL of a database: write one like "sqlite:///sessions.db"'
        ) from None
    if url.get_backend_name() != "sqlite":
        raise ConfigurationError(
            f"{where}.url: {url.get_backend_name()!r} is no database that this version of "
            "sessiontracker-sql supports: it knows SQLite, PostgreSQL, MariaDB and MySQL, as "
            '"sqlite:///sessions.db", "postgresql://user@host/database" and '
            '"mysql://user@host/database"'
        )
    return url


def _path(where: str, url: URL) -> Path:
    if url.host or url.username is not None:
        raise ConfigurationError(
            f"{where}.url: a file's URL has three slashes, or four before an absolute path, and "
            'no user: "sqlite:///sessions.db"'
        )
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigurationError(
            f'{where}.url: name a file, as in "sqlite:///sessions.db"; for sessions in memory '
            'write use = "memory" and no url'
        )
    return parse_path(url.database, path=f"{where}.url").absolute()


# Each option -----------------------------------------------------------------


def check_timeout(where: str, value: object) -> float:
    ms = parse_duration(float(value) if _is_number(value) else value, path=where)
    if not ms:
        raise ConfigurationError(f'{where}: {shown(value)} leaves no time: write one like "5s"')
    return ms / 1000


def _is_number(value: object) -> TypeGuard[str]:
    """Whether ``value`` is a number of seconds as a URL has it: as text."""
    return isinstance(value, str) and value.replace(".", "", 1).isdecimal()


def _synchronous(where: str, value: object) -> str:
    if not isinstance(value, str) or value.lower() not in _SYNCHRONOUS:
        raise ConfigurationError(f"{where}: {shown(value)} is none of {', '.join(_SYNCHRONOUS)}")
    return value.lower()


def check_table_prefix(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.isidentifier() or not value.isascii():
        raise ConfigurationError(
            f"{where}: {shown(value)} cannot begin a table's name: write one like "
            '"sessiontracker_"'
        )
    return value


def check_create_tables(where: str, value: object) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ConfigurationError(f"{where}: {shown(value)} is neither true nor false")
    return value


def check_clock(where: str, value: object) -> Callable[[], int]:
    if not callable(value):
        raise ConfigurationError(f"{where}: give a callable that returns µs since 1970")
    return cast("Callable[[], int]", value)


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "timeout": check_timeout,
    "synchronous": _synchronous,
    "table_prefix": check_table_prefix,
    "create_tables": check_create_tables,
    "clock": check_clock,
}
