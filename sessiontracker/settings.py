"""Every setting there is: its name, what it may be, and what it is unless set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from .durations import parse_duration, show_duration
from .errors import ConfigurationError
from .wording import did_you_mean, listed, mask, shown

__all__ = ["SESSION", "TRACKER", "BackendSettings", "Reader", "SessionSettings", "show", "text"]

_SECOND = 1_000
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


class SessionSettings(Struct, frozen=True, kw_only=True):
    """How the sessions of one type are kept. Durations are in ms; None: no end, no limit.

    ``storage`` and ``locking`` are names of backends. ``touch_every`` None: a twentieth of the
    session's own idle timeout. ``finished_retention`` None: finished sessions stay for ever.
    """

    storage: str
    locking: str
    idle_timeout: int | None = 30 * _MINUTE
    absolute_timeout: int | None = 24 * _HOUR
    finished_retention: int | None = 24 * _HOUR
    touch_every: int | None = None
    lock_lease: int = 30 * _SECOND
    lock_wait: int | None = 10 * _SECOND
    token_retention: int = 1 * _HOUR
    codec: str = "msgpack"
    max_bytes: int | None = 1_048_576
    max_per_owner: int | None = None
    on_limit: str = "reject"
    shared_retention: int | None = 30 * _DAY


class BackendSettings(Struct, frozen=True):
    """One backend: the plugin that it uses, and what the plugin is told."""

    use: str
    url: str | None = None
    options: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        url = None if self.url is None else mask(self.url)
        options = listed(self.options)
        return f"BackendSettings(use={mask(self.use)!r}, url={url!r}, options: {options})"


# What a setting may be -------------------------------------------------------

Reader: TypeAlias = Callable[[object, str], Any]
"""Makes a setting's value of what a configuration says. Raises: ConfigurationError."""


def text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f'{where}: {shown(value)} is no name: write text, as in "hot"')
    return value


def _duration(*, zero: bool = False, off: bool = True, instead: str = "") -> Reader:
    def read(value: object, where: str) -> int | None:
        ms = parse_duration(value, path=where)
        if ms is None and not off:
            raise ConfigurationError(f"{where}: this cannot be off: {instead}")
        if ms == 0 and not zero:
            hint = f'{instead}, or "off" for none' if off else instead
            raise ConfigurationError(f"{where}: this cannot be zero: {hint}")
        return ms

    return read


def _count(what: str, example: int) -> Reader:
    def read(value: object, where: str) -> int | None:
        if value is None or (isinstance(value, str) and value.strip().lower() == "off"):
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigurationError(
                f"{where}: {shown(value)} is no number of {what}: write a whole number from 1 "
                f'on, such as {example}, or "off" for no limit'
            )
        return value

    return read


def _choice(*choices: str) -> Reader:
    def read(value: object, where: str) -> str:
        if not isinstance(value, str) or value not in choices:
            near = did_you_mean(value, choices) if isinstance(value, str) else ""
            raise ConfigurationError(
                f"{where}: {shown(value)} is neither {' nor '.join(map(shown, choices))}{near}"
            )
        return value

    return read


_LIMIT = _duration(off=False, instead='write how long, such as "30s"')
_TIMEOUT = _duration(instead='write how long, such as "30m"')

SESSION: Mapping[str, Reader] = {
    "storage": text,
    "locking": text,
    "idle_timeout": _TIMEOUT,
    "absolute_timeout": _TIMEOUT,
    "finished_retention": _duration(zero=True),
    "touch_every": _duration(
        zero=True,
        off=False,
        instead='write "0s" to slide on every read, or leave it out for a twentieth of the idle '
        "timeout",
    ),
    "lock_lease": _LIMIT,
    "lock_wait": _duration(zero=True),
    "token_retention": _LIMIT,
    "codec": text,
    "max_bytes": _count("bytes", 1_048_576),
    "max_per_owner": _count("sessions", 5),
    "on_limit": _choice("reject", "finish_oldest"),
    "shared_retention": _duration(zero=True),
}
"""What ``[defaults]`` and each ``[sessions.…]`` may hold."""

_DURATIONS = frozenset(
    {
        "idle_timeout",
        "absolute_timeout",
        "finished_retention",
        "touch_every",
        "lock_lease",
        "lock_wait",
        "token_retention",
        "shared_retention",
        "operation_timeout",
        "reap_every",
    }
)


def show(key: str, value: Any) -> str:
    """A setting's value as a configuration would have it, or in words if it cannot have it."""
    if key == "touch_every" and value is None:
        return "a twentieth of the idle timeout"
    if key in _DURATIONS:
        return show_duration(value)
    if value is None:
        return "nowhere" if key in ("storage", "locking") else "off"
    return str(value)


TRACKER: Mapping[str, tuple[Reader, Any]] = {
    "operation_timeout": (_LIMIT, 5 * _SECOND),
    "max_in_flight": (_count("operations", 10_000), None),
    "reap_every": (_duration(instead='write how often, such as "5m"'), None),
}
"""What stands at the top level, for the tracker as a whole, and what it is unless set."""
