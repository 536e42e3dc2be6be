"""Configuration: what every error says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sessiontracker.config import Config
from sessiontracker.errors import ConfigurationError
from tests.configs import TOML, problem, problems, write


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.upper().startswith("SESSIONTRACKER__"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("REDIS_URL", "redis://:swordfish@cache/0")


def nested(value: Any, depth: int) -> Any:
    """``value`` in so many tables, or arrays."""
    for _ in range(depth):
        value = {"a": value} if isinstance(value, dict) else [value]
    return value


@pytest.mark.parametrize(
    "config,message",
    [
        (
            {"sessions": {"checkout": {"idle_timeout": "30 minits"}}},
            (
                'sessions.checkout.idle_timeout in s.toml: "30 minits" is not a duration: write '
                '"30m", "1h30m" or "off"'
            ),
        ),
        (
            {"defaults": {"idle_timout": "30m"}},
            'defaults.idle_timout in s.toml: unknown key, did you mean "idle_timeout"?',
        ),
        (
            {"backend": {}},
            'backend in s.toml: unknown key, did you mean "backends"?',
        ),
        (
            {"zzz": 1},
            (
                "zzz in s.toml: unknown key: it may be backends, defaults, sessions, plugins, "
                "operation_timeout, max_in_flight and reap_every"
            ),
        ),
        (
            {"idle_timeout": "5m"},
            (
                "idle_timeout in s.toml: unknown key: it goes into [defaults], or into a type's "
                "[sessions.…]"
            ),
        ),
        (
            {"defaults": {"operation_timeout": "5s"}},
            (
                "defaults.operation_timeout in s.toml: unknown key: it goes to the top of the "
                "file, before the first [table]"
            ),
        ),
        (
            {"sessions": {"shop": {"basket": {"codec": "json"}}}},
            (
                "sessions.shop.basket in s.toml: unknown key: a name with a dot in it wants "
                'quotes, [sessions."shop.basket"]'
            ),
        ),
        (
            {"defaults": {"storage": "memry"}},
            'defaults.storage in s.toml: no backend is named "memry", did you mean "memory"?',
        ),
        (
            {"sessions": {"login": {"locking": "hot"}}},
            'sessions.login.locking in s.toml: no backend is named "hot": there is "memory"',
        ),
        (
            {"backends": {"hot": {"url": "redis://x"}}},
            (
                'backends.hot in s.toml: say which plugin it uses, as in use = "redis", "sql", '
                '"file" or "memory"'
            ),
        ),
        ({"backends": {"hot": "redis"}}, 'backends.hot in s.toml: "redis" is no table'),
        ({"backends": {"hot": {"use": 5}}}, "backends.hot.use in s.toml: 5 is no name"),
        ({"backends": {"hot": {"use": "redis", "url": 5}}}, "backends.hot.url in s.toml: 5 is no"),
        ({"backends": {}}, "backends in s.toml: names no backend"),
        ({"defaults": []}, "defaults in s.toml: [] is no table"),
        ({"sessions": {"a": 1}}, "sessions.a in s.toml: 1 is no table"),
        ({"plugins": "otel"}, 'plugins in s.toml: "otel" is no list of names'),
        ({"plugins": [1]}, "plugins in s.toml: [1] is no list of names"),
        ({"plugins": "\ud800"}, "is no list of names"),
        ({"backends": {"hot": {"use": "memory", "url": "env:\ud800"}}}, "is not set"),
        (nested({}, 33), ".a in s.toml is nested too deeply"),
        (nested({}, 50_000), ".a in s.toml is nested too deeply"),
        ({"defaults": {"codec": nested([], 40)}}, "defaults.codec in s.toml is nested too deeply"),
        ({"operation_timeout": "off"}, "operation_timeout in s.toml: this cannot be off"),
        ({"operation_timeout": 0}, "operation_timeout in s.toml: this cannot be zero"),
        ({"reap_every": 0}, "reap_every in s.toml: this cannot be zero"),
        ({"max_in_flight": 0}, "max_in_flight in s.toml: 0 is no number of operations"),
        ({"max_in_flight": True}, "max_in_flight in s.toml: True is no number"),
        (
            {"defaults": {"idle_timeout": 0}},
            (
                "idle_timeout in s.toml: this cannot be zero: write "
                'how long, such as "30m", or "off" for none'
            ),
        ),
        ({"defaults": {"absolute_timeout": -1}}, "absolute_timeout in s.toml: -1 is negative"),
        ({"defaults": {"touch_every": "off"}}, "touch_every in s.toml: this cannot be off"),
        ({"defaults": {"lock_lease": "off"}}, "lock_lease in s.toml: this cannot be off"),
        ({"defaults": {"lock_lease": "0s"}}, "lock_lease in s.toml: this cannot be zero"),
        ({"defaults": {"token_retention": "off"}}, "token_retention in s.toml: this cannot be"),
        ({"defaults": {"max_bytes": "1MB"}}, 'max_bytes in s.toml: "1MB" is no number of bytes'),
        ({"defaults": {"max_bytes": 1.5}}, "max_bytes in s.toml: 1.5 is no number of bytes"),
        ({"defaults": {"codec": 1}}, "defaults.codec in s.toml: 1 is no name"),
        (
            {"defaults": {"on_limit": "rejct"}},
            (
                'on_limit in s.toml: "rejct" is neither "reject" nor "finish_oldest", did you mean '
                '"reject"?'
            ),
        ),
    ],
)
def test_an_error_names_key_path_source_and_what_to_write(
    config: dict[str, Any], message: str
) -> None:
    assert message in problem(config)


def test_all_errors_come_at_once_one_a_line() -> None:
    lines = problems(
        {
            "operation_timeot": 1,
            "backends": {"hot": {"use": "redis"}, "ledger": {"url": "x"}},
            "defaults": {"storage": "hto", "lock_lease": "soon"},
            "sessions": {"checkout": {"codec": 1, "idle_timeout": "x"}},
        }
    )
    assert [line.split(" in s.toml")[0] for line in lines] == [
        "operation_timeot",
        "backends.ledger",
        "defaults.storage",
        "defaults.lock_lease",
        "sessions.checkout.codec",
        "sessions.checkout.idle_timeout",
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no file .*missing\.toml"):
        Config.from_toml(tmp_path / "missing.toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Config.from_toml(tmp_path)
    with pytest.raises(ConfigurationError, match=r"bad\.toml is not TOML: .*line 1"):
        Config.from_toml(write(tmp_path, "x = \ny = 1", "bad.toml"))
    with pytest.raises(ConfigurationError, match=r"has no \[tool\.sessiontracker\]"):
        Config.from_toml(write(tmp_path, "[project]\n", "pyproject.toml"))
    path = tmp_path / "latin.toml"
    path.write_bytes(b'plugins = ["\xe9"]')
    with pytest.raises(ConfigurationError, match=r"latin\.toml is not UTF-8"):
        Config.from_toml(path)


def test_what_is_no_url_is_explained_all_the_same(tmp_path: Path) -> None:
    text = '[backends.hot]\nuse = "memory"\nurl = nan\n'
    config = Config.from_toml(write(tmp_path, text), strict=False)
    assert "nan is no URL" in config.problems[0]
    assert "url" in config.explain_backends()["hot"]


@pytest.mark.parametrize("value", ["[" * 5_000 + "]" * 5_000, "9" * 5_000])
def test_a_file_that_python_cannot_read(
    tmp_path: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match=r"bad\.toml cannot be read: "):
        Config.from_toml(write(tmp_path, f"plugins = {value}", "bad.toml"))
    monkeypatch.setenv("SESSIONTRACKER__DEFAULTS__IDLE_TIMEOUT", value)
    monkeypatch.setenv("SESSIONTRACKER__PLUGINS", value)
    with pytest.raises(ConfigurationError):
        Config(plugins=["x"])


def test_an_error_names_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[sessions.checkout]\nidle_timeout = "30 minits"\n')
    with pytest.raises(ConfigurationError) as caught:
        Config.from_toml(path)
    assert str(caught.value).startswith(f'sessions.checkout.idle_timeout in {path}: "30 minits"')


def test_not_strictly_read_it_tells_what_is_wrong_and_explains_the_rest(tmp_path: Path) -> None:
    text = '[sessions.checkout]\nidle_timeout = "x"\ncodec = "json"\nstorage = "nowhere"\n'
    config = Config.from_toml(write(tmp_path, text), strict=False)
    assert len(config.problems) == 2
    assert config.explain("checkout")["storage"].wrong
    explained = config.explain("checkout")
    assert explained["idle_timeout"].wrong
    assert explained["idle_timeout"].value == "x"
    assert explained["codec"].value == "json"
    with pytest.raises(ConfigurationError, match="is not a duration"):
        config.settings_for("checkout")


def test_each_setting_says_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONTRACKER__SESSIONS__CHECKOUT__LOCK_LEASE", "1m")
    path = write(tmp_path, TOML)
    explained = Config.from_toml(path).explain("checkout")
    assert explained["storage"].where == f"sessions.checkout.storage in {path}"
    assert explained["max_bytes"].where == "default"
    assert explained["lock_lease"].where == (
        "sessions.checkout.lock_lease in the environment variable "
        "SESSIONTRACKER__SESSIONS__CHECKOUT__LOCK_LEASE"
    )
    explained = Config.from_toml(path).explain("other")
    assert explained["idle_timeout"].where == f"defaults.idle_timeout in {path}"
    assert explained["locking"].where == f"as storage: defaults.storage in {path}"
