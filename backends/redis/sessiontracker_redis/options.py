"""What a configuration says of a Redis server: checked, with messages that name the setting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, structs

from sessiontracker.backend import BackendOptions, ConfigurationError, parse_duration, shown

from .slots import Endpoint
from .urls import Target, target_of

__all__ = ["Options"]

_KNOWN = (
    "client",
    "clock",
    "credential_provider",
    "password",
    "prefix",
    "protocol",
    "sentinel_password",
    "sentinel_username",
    "timeout",
    "username",
    "wait_replicas",
)
_CONNECTING = ("credential_provider", "password", "protocol", "username")
_TIMEOUT, _LEAST_TO_CONNECT = 5.0, 1.0  # s
_SENTINEL = ("sentinel_password", "sentinel_username")


class Options(Struct, frozen=True, kw_only=True):
    """Servers, and how to use them.

    ``url`` (with ``hosts``, ``service`` and ``cluster``, see `Target`), with what to ``connect``
    with there and to the ``sentinel``s, or an existing ``client`` of redis-py. ``prefix``: what
    all keys begin with. ``timeout``: for how many seconds an answer is waited for.
    ``wait_replicas``: how many replicas must have a change before it is said to be done.
    ``clock``: µs since 1970, for tests.
    """

    where: str
    url: str = ""
    hosts: tuple[Endpoint, ...] = ()
    service: str = ""
    cluster: bool = False
    connect: dict[str, Any] = {}
    sentinel: dict[str, Any] = {}
    client: Any = None
    prefix: str = "st:"
    timeout: float = _TIMEOUT
    wait_replicas: int = 0
    clock: Callable[[], int] | None = None

    def __repr__(self) -> str:
        return f"Options({self.where!r})"  # the rest may be secret

    @property
    def connecting(self) -> float:
        """For how many seconds each step of connecting is waited for, whatever a call has."""
        return max(self.timeout, _LEAST_TO_CONNECT)

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
        sentinel = {
            name.removeprefix("sentinel_"): settings.pop(name)
            for name in _SENTINEL
            if name in settings
        }
        client = settings.get("client")
        if client is not None and (given.url or connect or sentinel):
            raise ConfigurationError(
                f"{where}.client: it says where the server is: leave out the url, "
                f"{', '.join((*_CONNECTING, *_SENTINEL))}"
            )
        for name, check in _CHECKS.items():
            if name in settings:
                settings[name] = check(f"{where}.{name}", settings[name])
        settings["timeout"] = given.patience(settings.get("timeout"), _TIMEOUT)
        if "protocol" in connect:
            connect["protocol"] = _protocol(f"{where}.protocol", connect["protocol"])
        target = Target("") if client is not None else target_of(f"{where}.url", given.url)
        if sentinel and not target.service:
            raise ConfigurationError(
                f"{where}.sentinel_password: it is for a url that begins with redis+sentinel://"
            )
        return cls(
            where=where, **structs.asdict(target), connect=connect, sentinel=sentinel, **settings
        )


# Each option -----------------------------------------------------------------


def _prefix(where: str, value: object) -> str:
    try:
        if not isinstance(value, str):
            raise TypeError
        value.encode()
    except (TypeError, UnicodeEncodeError):
        raise ConfigurationError(
            f'{where}: {shown(value)} is no text: write one like "st:"'
        ) from None
    return value


def _timeout(where: str, value: object) -> float:
    ms = parse_duration(value, path=where)
    if not ms:
        raise ConfigurationError(f'{where}: {shown(value)} leaves no time: write one like "5s"')
    return ms / 1000


def _protocol(where: str, value: object) -> int:
    if value not in (2, 3, "2", "3"):
        raise ConfigurationError(f"{where}: {shown(value)} is neither 2 nor 3")
    return int(str(value))


def _clock(where: str, value: object) -> object:
    if not callable(value):
        raise ConfigurationError(f"{where}: give a callable that returns µs since 1970")
    return value


def _wait_replicas(where: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigurationError(f"{where}: {shown(value)} is no number of replicas: write 1, or 0")
    return value


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "prefix": _prefix,
    "timeout": _timeout,
    "wait_replicas": _wait_replicas,
    "clock": _clock,
}
