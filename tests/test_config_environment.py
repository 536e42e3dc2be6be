"""Configuration: what the environment says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sessiontracker.config import Config
from sessiontracker.errors import ConfigurationError
from tests.configs import HOUR, MINUTE, TOML, problem, problems, write


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.upper().startswith("SESSIONTRACKER__"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("REDIS_URL", "redis://:swordfish@cache/0")


def test_the_environment_overrides_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONTRACKER__SESSIONS__CHECKOUT__STORAGE", "hot")
    monkeypatch.setenv("SESSIONTRACKER__SESSIONS__CHECKOUT__MAX_PER_OWNER", "7")
    monkeypatch.setenv("SESSIONTRACKER__DEFAULTS__IDLE_TIMEOUT", "5m")
    monkeypatch.setenv("SESSIONTRACKER__DEFAULTS__LOCK_WAIT", "90")
    monkeypatch.setenv("SESSIONTRACKER__OPERATION_TIMEOUT", "1.5")
    monkeypatch.setenv("SESSIONTRACKER__MAX_IN_FLIGHT", "off")
    monkeypatch.setenv("SESSIONTRACKER__PLUGINS", "otel, audit")
    monkeypatch.setenv("sessiontracker__Backends__Hot__prefix", "other")
    monkeypatch.setenv("SESSIONTRACKER__BACKENDS__HOT__POOL", "5")
    monkeypatch.setenv("SESSIONTRACKER__BACKENDS__HOT__TLS__VERIFY", "false")
    monkeypatch.setenv("SESSIONTRACKER__BACKENDS__HOT__NODES", '["a", "b"]')
    monkeypatch.setenv("SESSIONTRACKER__DEFAULTS__CODEC", "")
    config = Config.from_toml(write(tmp_path, TOML))
    checkout = config.settings_for("checkout")
    assert checkout.storage == "hot"
    assert checkout.max_per_owner == 7
    assert checkout.idle_timeout == 2 * HOUR
    assert checkout.lock_wait == 90_000
    assert checkout.codec == "json"
    assert config.settings_for("other").idle_timeout == 5 * MINUTE
    assert config.settings_for("other").codec == "msgpack"
    assert config.operation_timeout == 1_500
    assert config.max_in_flight is None
    assert config.plugins == ("otel", "audit")
    assert config.backends["hot"].options == {
        "prefix": "other",
        "pool": 5,
        "tls": {"verify": False},
        "nodes": ["a", "b"],
    }


def test_a_list_may_be_a_toml_literal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONTRACKER__PLUGINS", '["otel", "a,b"]')
    assert Config().plugins == ("otel", "a,b")


def test_the_environment_alone_configures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONTRACKER__BACKENDS__HOT__USE", "redis")
    monkeypatch.setenv("SESSIONTRACKER__BACKENDS__HOT__URL", "env:REDIS_URL")
    config = Config.of()
    assert config.backends["hot"].url == "redis://:swordfish@cache/0"
    assert config.settings_for("x").storage == "hot"


def test_text_stays_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONTRACKER__BACKENDS__1__USE", "123")
    assert Config().backends["1"].use == "123"


def test_names_that_variables_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONTRACKER__SESSIONS__SHOP_BASKET__IDLE_TIMEOUT", "5m")
    named = Config(sessions={"shop.basket": {"codec": "json"}, "other": {}})
    assert named.settings_for("shop.basket").idle_timeout == 5 * MINUTE
    assert named.settings_for("shop.basket").codec == "json"
    assert named.settings_for("other").idle_timeout == 30 * MINUTE
    assert named.sessions == ("shop.basket", "other")
    alone = Config()
    for name in ("shop.basket", "shop-basket", "shop_basket"):
        assert alone.settings_for(name).idle_timeout == 5 * MINUTE
        assert alone.unclaimed([name]) == []
    assert alone.unclaimed(["shop"]) == ["shop_basket"]
    with pytest.raises(ConfigurationError, match=r'may mean any of sessions."shop.basket" and'):
        Config(sessions={"shop.basket": {}, "shop-basket": {}})


@pytest.mark.parametrize(
    "variable,value,message",
    [
        (
            "SESSIONTRACKER__SESSIONS__CHECKOUT__IDLE_TIMEOUT",
            "30 minits",
            (
                "sessions.checkout.idle_timeout in the environment variable "
                'SESSIONTRACKER__SESSIONS__CHECKOUT__IDLE_TIMEOUT: "30 minits" is not a duration: '
                'write "30m", "1h30m" or "off"'
            ),
        ),
        (
            "SESSIONTRACKER__OPERATION_TIMEOT",
            "5s",
            (
                "operation_timeot in the environment variable SESSIONTRACKER__OPERATION_TIMEOT: "
                'unknown key, did you mean "operation_timeout"?'
            ),
        ),
        (
            "SESSIONTRACKER__SESSIONS",
            "checkout",
            (
                'sessions in the environment variable SESSIONTRACKER__SESSIONS: "checkout" is no '
                "table: write [sessions], and keys under it"
            ),
        ),
        (
            "SESSIONTRACKER__DEFAULTS____CODEC",
            "json",
            (
                "the environment variable SESSIONTRACKER__DEFAULTS____CODEC names no setting: "
                "write it like SESSIONTRACKER__DEFAULTS__IDLE_TIMEOUT"
            ),
        ),
    ],
)
def test_an_error_of_the_environment_names_the_variable(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        Config()
    assert str(caught.value) == message


def test_a_variable_cannot_repair_what_is_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONTRACKER__SESSIONS__CHECKOUT__CODEC", "json")
    assert problem({"sessions": 5}).startswith("sessions in s.toml: 5 is no table")


def test_a_variable_that_is_named_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"use": "redis", "url": "env:REDIS_URL", "password": "env:REDIS_PASSWORD"}
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("REDIS_PASSWORD", "")
    assert problems({"backends": {"hot": table}}) == [
        (
            "backends.hot.url in s.toml: the environment variable REDIS_URL is not set: set it, or "
            "write the value here"
        ),
        (
            "backends.hot.password in s.toml: the environment variable REDIS_PASSWORD is empty: "
            "set it, or write the value here"
        ),
    ]


def test_an_option_may_name_a_variable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "swordfish")
    config = Config(backends={"hot": {"use": "redis", "password": "env:REDIS_PASSWORD"}})
    assert config.backends["hot"].options == {"password": "swordfish"}
