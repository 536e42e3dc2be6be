"""Configuration: what each key means."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessiontracker.config import Config
from sessiontracker.errors import ConfigurationError
from tests.configs import HOUR, MINUTE, TOML, problem, write

DAY = 24 * HOUR


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.upper().startswith("SESSIONTRACKER__"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("REDIS_URL", "redis://:swordfish@cache/0")


def test_with_no_configuration_a_tracker_is_in_memory() -> None:
    for config in (Config(), Config.of(), Config.of({}), Config.from_mapping({})):
        assert {name: backend.use for name, backend in config.backends.items()} == {
            "memory": "memory"
        }
        settings = config.settings_for("anything")
        assert (settings.storage, settings.locking) == ("memory", "memory")
        assert config.operation_timeout == 5_000
        assert config.max_in_flight is None
        assert config.reap_every is None
        assert config.plugins == ()


def test_what_is_not_set_has_its_documented_value() -> None:
    settings = Config().settings_for("checkout")
    assert settings.idle_timeout == 30 * MINUTE
    assert settings.absolute_timeout == 24 * HOUR
    assert settings.finished_retention == 24 * HOUR
    assert settings.touch_every is None
    assert settings.lock_lease == 30_000
    assert settings.lock_wait == 10_000
    assert settings.token_retention == HOUR
    assert settings.codec == "msgpack"
    assert settings.max_bytes == 1_048_576
    assert settings.max_per_owner is None
    assert settings.on_limit == "reject"
    assert settings.shared_retention == 30 * DAY


def test_a_file_says_what_it_says(tmp_path: Path) -> None:
    config = Config.from_toml(write(tmp_path, TOML))
    assert config.operation_timeout == 2_000
    assert config.max_in_flight == 100
    assert config.reap_every == 300_000
    assert config.plugins == ("otel",)
    hot = config.backends["hot"]
    assert (hot.use, hot.url, hot.options) == (
        "redis",
        "redis://:swordfish@cache/0",
        {"prefix": "shop:"},
    )
    checkout = config.settings_for("checkout")
    assert (checkout.storage, checkout.locking, checkout.codec) == ("ledger", "hot", "json")
    assert checkout.idle_timeout == 2 * HOUR
    assert checkout.absolute_timeout == 24 * HOUR
    basket = config.settings_for("shop.basket")
    assert (basket.storage, basket.locking) == ("hot", "hot")
    assert basket.idle_timeout == 20 * MINUTE
    assert basket.absolute_timeout == 14 * DAY
    assert config.settings_for("other").idle_timeout == 20 * MINUTE


def test_the_same_shape_in_code_means_the_same(tmp_path: Path) -> None:
    in_code = Config(
        operation_timeout=timedelta(seconds=2),
        max_in_flight=100,
        reap_every="5m",
        plugins=["otel"],
        backends={
            "hot": {"use": "redis", "url": "env:REDIS_URL", "prefix": "shop:"},
            "ledger": {"use": "sql", "url": "postgresql://app:hunter2@db/app"},
        },
        defaults={"storage": "hot", "idle_timeout": 1200},
        sessions={
            "checkout": {
                "storage": "ledger",
                "locking": "hot",
                "idle_timeout": timedelta(hours=2),
                "codec": "json",
            },
            "shop.basket": {"absolute_timeout": timedelta(days=14)},
        },
    )
    from_file = Config.from_toml(write(tmp_path, TOML))
    for name in ("checkout", "shop.basket", "other"):
        assert in_code.settings_for(name) == from_file.settings_for(name)
    assert in_code.backends == from_file.backends
    assert in_code.operation_timeout == from_file.operation_timeout
    assert in_code.reap_every == from_file.reap_every
    assert in_code.plugins == from_file.plugins


def test_a_pyproject_holds_it_under_tool(tmp_path: Path) -> None:
    inner = TOML.replace("[backends", "[tool.sessiontracker.backends")
    inner = inner.replace("[defaults", "[tool.sessiontracker.defaults")
    inner = inner.replace("[sessions", "[tool.sessiontracker.sessions")
    text = f'[project]\nname = "shop"\n\n[tool.sessiontracker]\n{inner}'
    path = write(tmp_path, text, "pyproject.toml")
    config = Config.from_toml(path)
    assert config.settings_for("checkout").storage == "ledger"
    assert config.source == f"{path} [tool.sessiontracker]"


def test_off_is_none_and_zero_is_zero() -> None:
    settings = Config(
        defaults={
            "idle_timeout": "off",
            "absolute_timeout": None,
            "finished_retention": "0s",
            "touch_every": 0,
            "lock_wait": "0s",
            "max_bytes": "off",
            "max_per_owner": "off",
            "shared_retention": 0,
        }
    ).settings_for("x")
    assert settings.idle_timeout is None
    assert settings.absolute_timeout is None
    assert settings.finished_retention == 0
    assert settings.touch_every == 0
    assert settings.lock_wait == 0
    assert settings.max_bytes is None
    assert settings.max_per_owner is None
    assert settings.shared_retention == 0
    kept = Config(defaults={"finished_retention": "off", "lock_wait": "off"}).settings_for("x")
    assert kept.finished_retention is None
    assert kept.lock_wait is None


def test_the_only_backend_is_the_storage_of_all() -> None:
    config = Config(backends={"ledger": {"use": "sql", "url": "sqlite:///s.db"}})
    settings = config.settings_for("checkout")
    assert (settings.storage, settings.locking) == ("ledger", "ledger")


def test_of_several_backends_one_must_be_chosen() -> None:
    backends = {"hot": {"use": "redis"}, "ledger": {"use": "sql"}}
    config = Config(backends=backends, sessions={"checkout": {"storage": "hot"}})
    assert config.settings_for("checkout").locking == "hot"
    with pytest.raises(ConfigurationError, match=r'sessions.login.storage .*"hot" and "ledger"'):
        config.settings_for("login")
    assert problem({"backends": backends, "sessions": {"login": {}}}) == (
        "sessions.login.storage in s.toml: say which backend keeps these sessions, here or as "
        'defaults.storage: "hot" and "ledger"'
    )


def test_locks_are_where_the_sessions_are_unless_said() -> None:
    backends = {"hot": {"use": "redis"}, "ledger": {"use": "sql"}}
    config = Config(
        backends=backends,
        defaults={"storage": "hot"},
        sessions={"checkout": {"storage": "ledger"}},
    )
    assert config.settings_for("checkout").locking == "ledger"
    config = Config(backends=backends, defaults={"storage": "ledger", "locking": "hot"})
    assert config.settings_for("checkout").locking == "hot"


def test_one_backend_for_everything() -> None:
    config = Config.of(backend="redis", url="redis://cache", options={"prefix": "a"})
    (backend,) = config.backends.values()
    assert (backend.use, backend.url, backend.options) == (
        "redis",
        "redis://cache",
        {"prefix": "a"},
    )
    assert config.settings_for("x").storage == "redis"


def test_a_config_is_itself_and_a_mapping_is_not_changed() -> None:
    config = Config()
    assert Config.of(config) is config
    mapping = {"defaults": {"idle_timeout": "5m"}}
    Config.of(mapping)
    assert mapping == {"defaults": {"idle_timeout": "5m"}}


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"config": {}, "backend": "redis"}, "a configuration, or backend="),
        ({"config": {}, "options": {"prefix": "a"}}, "a configuration, or backend="),
        ({"config": "sessions.toml"}, "read a file with from_toml"),
        ({"config": Path("sessions.toml")}, "read a file with from_toml"),
        ({"config": 5}, "a Config or a mapping of its shape, not 5"),
        ({"url": "redis://x"}, "url= wants backend="),
        ({"options": {"typs": []}}, "no argument 'typs', did you mean \"types\"?"),
        ({"options": {"prefix": "a"}}, "options of a backend want backend="),
    ],
)
def test_arguments_that_make_no_configuration(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Config.of(**arguments)
    assert message in str(caught.value)


def test_sections_that_no_type_claimed() -> None:
    config = Config(sessions={"checkout": {}, "login": {}})
    assert config.unclaimed(["login"]) == ["checkout"]
    assert config.unclaimed(["login", "checkout", "other"]) == []
