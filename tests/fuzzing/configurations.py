"""What configures a tracker: TOML files, mappings, environment variables, and backends' URLs.

Each is read as a tracker reads it, down to its backends, which are made and not connected.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from sessiontracker import Config
from sessiontracker.backend import BackendOptions
from sessiontracker.durations import parse_duration
from sessiontracker.errors import ConfigurationError
from sessiontracker.plugins import Plugins

from .harness import Target
from .mutations import any_bytes, any_text, any_value, spoilt, spoilt_text, spoilt_value

__all__ = ["TARGETS"]

_TOML = """
plugins = []
operation_timeout = "5s"
max_in_flight = 100
reap_every = "5m"

[backends.hot]
use = "redis"
url = "env:FUZZING_URL"
prefix = "st:"
timeout = "2s"

[backends.ledger]
use = "sql"
url = "sqlite:///sessions.db"
synchronous = "full"

[backends.disk]
use = "file"
url = "~/sessions"
fsync = true

[defaults]
storage = "hot"
idle_timeout = "30m"
absolute_timeout = "1h30m"
finished_retention = "off"
touch_every = "90s"
lock_lease = "30s"
max_bytes = 1_000

[sessions.checkout]
storage = "ledger"
locking = "hot"
codec = "json"

[sessions."shop.cart"]
on_limit = "finish_oldest"
max_per_owner = 5
"""
_PYPROJECT = f"[project]\nname = 'x'\n[tool.sessiontracker]\n{_TOML}".replace(
    "\n[", "\n[tool.sessiontracker."
).replace("[tool.sessiontracker.project]", "[project]").replace(
    "[tool.sessiontracker.tool.sessiontracker]", "[tool.sessiontracker]"
)  # fmt: skip
_URLS = {
    "redis": [
        "redis://user:secret@localhost:6379/0?socket_timeout=1",
        "rediss://[::1]:6379/3?ssl_cert_reqs=none&protocol=3",
        "unix:///run/redis.sock?db=1",
        "redis+sentinel://u:p@one:26379,two:26379/mymaster/0",
        "valkeys+cluster://one:7000,[::2]:7001?client_name=x",
    ],
    "sql": [
        "sqlite:////tmp/sessions.db?timeout=2&synchronous=off",
        "postgresql://app:secret@db.example:5432/app?host=/run&sslmode=require&timeout=3",
        "postgresql://one,two:5433/app?target_session_attrs=primary",
        "mysql://root:p%40ss@127.0.0.1:3306/app?charset=utf8mb4&ssl_ca=/x",
        "mariadb://root@[::1]/app?table_prefix=x_",
    ],
    "file": ["/var/lib/sessions", "~/sessions", "relative/place", "~nobody-of-this-name/x"],
    "memory": [""],
    "": ["http://example.org", "sqlite://", "redis:/x", "postgresql:/"],
}
_OPTIONS: dict[str, Any] = {
    "url": "x", "prefix": "st:", "timeout": "5s", "protocol": 3, "username": "u", "password": "p",
    "wait_replicas": 1, "sentinel_password": "p", "synchronous": "full", "table_prefix": "t_",
    "create_tables": False, "schema": "app", "connect_args": {"a": 1}, "fsync": True,
    "listen_url": "postgresql://x/y", "clock": None, "engine": None, "client": None,
}  # fmt: skip


def _read(config: Config) -> None:
    """All that a tracker and the command ``check`` make of a configuration."""
    plugins = Plugins.load(config)
    for name in plugins.backends:
        settings = config.backends[name]
        plugin = plugins.backend(name)
        for opener in (plugin.open_sync, plugin.open_async):
            opener(BackendOptions(name, settings.url, settings.options))
    config.explain_backends()
    config.explain_tracker()
    for section in config.sessions:
        config.explain(section)
        config.settings_for(section)
    repr(config)


class _Variables(dict[str, str]):
    """As `os.environ`, which asks the system, whose library gives no room back."""

    def get(self, name: str, default: Any = None) -> Any:
        os.fsencode(name)
        return super().get(name, default)


def _environment(given: dict[str, str]) -> AbstractContextManager[Any]:
    return patch.object(os, "environ", _Variables({**os.environ, **given}))


class Toml(Target):
    """A file that says what nobody can mean."""

    name = "toml"
    share = 60_000
    few = 15

    def open(self) -> None:
        self._folder = Path(self.using(tempfile.TemporaryDirectory()))

    def attempt(self, random: Random) -> str:
        name = random.choice(("sessions.toml", "sessions.toml", "pyproject.toml"))
        text = _TOML if name == "sessions.toml" else _PYPROJECT
        if random.random() < 0.6:
            data = _spoilt_line(random, text).encode(errors="surrogatepass")
        else:
            data = spoilt(random, text.encode(), [any_bytes(random)])
        path = self._folder / name
        path.write_bytes(data)
        self.made = name, data
        with _environment({"FUZZING_URL": "redis://localhost"}):
            try:
                _read(Config.from_toml(path))
            finally:
                _read_leniently(path)
        return "read"


def _spoilt_line(random: Random, text: str) -> str:
    lines = text.split("\n")
    for _ in range(random.choice((1, 1, 2, 3))):
        at = random.randrange(len(lines))
        kind = random.randrange(3)
        if kind == 0:
            lines[at] = spoilt_text(random, lines[at], lines)
        elif kind == 1:
            name, _, _ = lines[at].partition("=")
            deeper = ".a" * random.choice((0, 0, 0, 1, 40, 400))
            lines[at] = f"{name.strip()}{deeper} = {_toml(random)}"
        else:
            lines.insert(at, f"{random.choice(lines).partition('=')[0]} = {_toml(random)}")
    return "\n".join(lines)


def _toml(random: Random) -> str:
    number = random.choice(
        ("0", "-1", "1e400", "nan", "inf", "0x" + "f" * 9_000, "9" * 5_000, "1_0")
    )
    text = any_text(random).replace('"', "").replace("\\", "")
    depth = random.choice((1, 10, 400, 3_000))
    return random.choice(
        (
            number, f'"{text}"', "true", "1979-05-27T07:32:00Z", "07:32:00",
            "[" * depth + "]" * depth,
            "{a=" * depth + "1" + "}" * depth, '"\\ud800"', '"\\u0000"', "[1, 'a']", "''", '"' * 3,
        )
    )  # fmt: skip


def _read_leniently(path: Path) -> None:
    """As ``sessiontracker check`` does, which has to show what is wrong."""
    try:
        config = Config.from_toml(path, strict=False)
    except ConfigurationError:
        return
    Plugins.load(config, strict=False)
    config.explain()
    config.explain_backends()


class Mappings(Target):
    """A mapping that a program made of something else, and durations."""

    name = "mappings"
    share = 60_000

    def attempt(self, random: Random) -> str:
        given: Any = {
            "backends": {"hot": {"use": "memory"}, "cold": {"use": "file", "url": "/tmp/x"}},
            "defaults": {"storage": "hot", "idle_timeout": "30m", "touch_every": 5},
            "sessions": {"checkout": {"codec": "json", "max_bytes": 10, "locking": "cold"}},
            "plugins": [],
            "operation_timeout": 5.0,
        }
        for _ in range(random.choice((1, 1, 2, 3))):
            given = spoilt_value(random, given)
        self.made = given
        try:
            parse_duration(any_value(random), path="x")
        except ConfigurationError:
            pass
        _read(Config.from_mapping(given))
        return "read"


class Environment(Target):
    """Variables, as far as a system lets them be set."""

    name = "environment"
    share = 40_000

    def attempt(self, random: Random) -> str:
        given: dict[str, str] = {}
        for _ in range(random.choice((1, 1, 2, 5))):
            path = random.choice(
                (
                    "BACKENDS__HOT__URL", "BACKENDS__HOT__USE", "DEFAULTS__IDLE_TIMEOUT", "PLUGINS",
                    "SESSIONS__CHECKOUT__STORAGE", "OPERATION_TIMEOUT", "DEFAULTS", "BACKENDS__HOT",
                )
            )  # fmt: skip
            if random.random() < 0.4:
                path = spoilt_text(random, path)
            value = random.choice(
                (any_text(random), _toml(random), "env:FUZZING_URL", "[]", "redis")
            )
            given[_settable(f"SESSIONTRACKER__{path}").replace("=", "_")] = _settable(value)
        given["FUZZING_URL"] = _settable(any_text(random))
        self.made = given
        with _environment(given):
            _read(Config(backends={"hot": {"use": "memory", "url": "env:FUZZING_URL"}}))
        return "read"


def _settable(text: str) -> str:
    """What is left of ``text`` in an environment: bytes that are no UTF-8 are surrogates in it."""
    data = text.replace("\0", "").encode(errors="surrogatepass")
    return os.fsdecode(data[:50_000]) or "x"


class Urls(Target):
    """The URL of a backend and its options."""

    name = "urls"
    share = 80_000
    few = 30

    def attempt(self, random: Random) -> str:
        kind = random.choice(list(_URLS))
        use = kind or random.choice(("redis", "sql", "file"))
        url: Any = random.choice(_URLS[kind])
        every = [each for urls in _URLS.values() for each in urls]
        if random.random() < 0.9:
            url = spoilt_text(random, url, every)
        if random.random() < 0.02:
            url = any_value(random)
        options: dict[str, Any] = {}
        for _ in range(random.choice((0, 0, 0, 1, 2))):
            name = random.choice(list(_OPTIONS))
            options[name] = spoilt_value(random, _OPTIONS[name])
        table = {"use": use, "url": url, **options}
        self.made = table
        _read(Config(backends={"hot": table}))
        return f"read {use}"


TARGETS = [Toml, Mappings, Environment, Urls]
