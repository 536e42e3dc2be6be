"""What a configuration says of a Redis server: checked, with messages that name the setting."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from sessiontracker.backend import BackendOptions, ConfigurationError, parse_duration

__all__ = ["Options"]

_KNOWN = (
    "client",
    "clock",
    "credential_provider",
    "password",
    "prefix",
    "protocol",
    "timeout",
    "username",
)
_CONNECTING = ("credential_provider", "password", "protocol", "username")
_SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "unix": "unix",
    "valkey": "redis",
    "valkeys": "rediss",
    "valkey+unix": "unix",
}


class Options(Struct, frozen=True, kw_only=True):
    """A server, and how to use it.

    ``url``, with what to ``connect`` with, or an existing ``client`` of redis-py. ``prefix``:
    what all keys begin with. ``timeout``: for how many seconds an answer is waited for.
    ``clock``: µs since 1970, for tests.
    """

    where: str
    url: str = ""
    connect: dict[str, Any] = {}
    client: Any = None
    prefix: str = "st:"
    timeout: float = 5.0
    clock: Callable[[], int] | None = None

    @classmethod
    def of(cls, given: BackendOptions) -> Options:
        """Raises: ConfigurationError."""
        where = f"backends.{given.name}"
        settings = dict(given.options)
        for name in settings:
            if name not in _KNOWN:
                raise ConfigurationError(
                    f"{where}.{name}: Redis has no such option; it knows {', '.join(_KNOWN)} (and "
                    "what redis-py takes in the url's query)"
                )
        connect = {name: settings.pop(name) for name in _CONNECTING if name in settings}
        client = settings.get("client")
        if client is not None and (given.url or connect):
            raise ConfigurationError(
                f"{where}.client: it says where the server is: leave out the url, "
                f"{', '.join(_CONNECTING)}"
            )
        for name, check in _CHECKS.items():
            if name in settings:
                settings[name] = check(f"{where}.{name}", settings[name])
        if "protocol" in connect:
            connect["protocol"] = _protocol(f"{where}.protocol", connect["protocol"])
        url = "" if client is not None else _url(f"{where}.url", given.url)
        return cls(where=where, url=url, connect=connect, **settings)


def _url(where: str, text: str | None) -> str:
    if not text:
        raise ConfigurationError(
            f'{where}: say which server, for instance url = "redis://localhost:6379"'
        )
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ConfigurationError(
            f"{where}: a URL of Redis begins with redis://, rediss:// or unix:// (or with "
            "valkey://, valkeys:// or valkey+unix://)"
        )
    if separator and re.search(r"[?&](decode_responses|max_connections)=", rest):
        raise ConfigurationError(f"{where}: leave out decode_responses and max_connections")
    return f"{_SCHEMES[scheme]}://{rest}"


# Each option -----------------------------------------------------------------


def _prefix(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f'{where}: {value!r} is no text: write one like "st:"')
    return value


def _timeout(where: str, value: object) -> float:
    ms = parse_duration(value, path=where)
    if not ms:
        raise ConfigurationError(f'{where}: {value!r} leaves no time: write one like "5s"')
    return ms / 1000


def _protocol(where: str, value: object) -> int:
    if value not in (2, 3, "2", "3"):
        raise ConfigurationError(f"{where}: {value!r} is neither 2 nor 3")
    return int(str(value))


def _clock(where: str, value: object) -> object:
    if not callable(value):
        raise ConfigurationError(f"{where}: give a callable that returns µs since 1970")
    return value


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "prefix": _prefix,
    "timeout": _timeout,
    "clock": _clock,
}
