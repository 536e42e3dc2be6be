"""Configuration: no secret is shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sessiontracker.backend import BackendOptions
from sessiontracker.config import Config
from sessiontracker.errors import ConfigurationError
from sessiontracker.wording import mask, masked


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.upper().startswith("SESSIONTRACKER__"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("REDIS_URL", "redis://:swordfish@cache/0")


@pytest.mark.parametrize(
    "text,expected",
    [
        ("redis://user:swordfish@h:6379/0", "redis://user:***@h:6379/0"),
        ("redis://:swordfish@h", "redis://:***@h"),
        ("redis//u:swordfish@h", "redis//u:***@h"),
        ("redis:/u:swordfish@h", "redis:***@h"),
        ("u:swordfish@h", "u:***@h"),
        ("alice@example.org", "alice@example.org"),
        ("redis://:sword/fi@sh@h/0", "redis://:***@h/0"),
        ("redis://:swordfish@h1,redis://:swordfish@h2", "redis://:***@h2"),
        ("postgresql://h/d?password=swordfish&x=1", "postgresql://h/d?password=***&x=1"),
        ("postgresql://h/d?sslPassword=swordfish", "postgresql://h/d?sslPassword=***"),
        ("host=h password=swordfish user=u", "host=h password=*** user=u"),
        # Signs that ought to be quoted there
        ("postgresql://h/d?password=sword@fish&x=1", "postgresql://h/d?password=***&x=1"),
        ("postgresql://h:5432/d?password=sword@fish&x=1", "postgresql://h:***&x=1"),
        ("postgresql://h/d?password=sword fish&x=1", "postgresql://h/d?password=***&x=1"),
        ("postgresql://h/d?password=sword&fish;!&x=1", "postgresql://h/d?password=***&x=1"),
        ("unix:///run/r.sock?password=sword\nfish", "unix:///run/r.sock?password=***"),
        ("host=h password=sword fish user=u", "host=h password=*** user=u"),
        ("u:sword//fish@h", "u:***@h"),
        # … and in the user's name
        ("postgresql://app@srv:swordfish@h/d", "postgresql://app@srv:***@h/d"),
        ("postgresql://d/app:swordfish@h/d", "postgresql://d/app:***@h/d"),
        ("redis:// u:swordfish@h", "redis:// u:***@h"),
        ("app@srv:swordfish@h", "app@srv:***@h"),
        ("d/app:swordfish@h", "d/app:***@h"),
        ("ValueError: no stk_Ab-9_z here", "ValueError: no *** here"),
        ("postgresql://app@db:5432/app", "postgresql://app@db:5432/app"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("sqlite:///sessions.db", "sqlite:///sessions.db"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, expected: str) -> None:
    assert mask(text) == expected


@pytest.mark.parametrize(
    "piece",
    ["://:", "//u:", "//", "u:", "pass", "pass=", "a=", " = ", "@", "pass= ", "&a", "stk_"],
)
def test_masking_takes_no_longer_than_the_text_is_long(piece: str) -> None:
    for end in ("", "@", "="):
        assert mask(piece * 100_000 + end)


def test_options_that_are_named_like_secrets_are_masked() -> None:
    given = {
        "password": "swordfish",
        "auth_token": "swordfish",
        "tls": {"keyPassphrase": "swordfish", "verify": True},
        "nodes": ["redis://:swordfish@h"],
        "prefix": "shop",
        "pwd": 12345678,
        "connect_args": {"passphrase": [12345678]},
    }
    shown = repr(masked(given))
    assert "swordfish" not in shown
    assert "12345678" not in shown
    assert "'shop'" in shown
    assert "True" in shown


def test_no_secret_is_ever_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALT", "swordfish")
    config = Config(
        backends={
            "hot": {"use": "redis", "url": "env:REDIS_URL", "password": "swordfish"},
            "warm": {"use": "redis", "url": "redis://u:swordfish@h", "salt": "env:SALT"},
        },
        defaults={"storage": "hot"},
    )
    shown = [
        repr(config),
        repr(config.backends),
        str(config.explain_backends()),
        repr([BackendOptions(name, b.url, b.options) for name, b in config.backends.items()]),
    ]
    assert "swordfish" not in "".join(shown)
    with pytest.raises(ConfigurationError) as caught:
        Config.from_mapping(
            {
                "backends": {
                    "a": "redis://:swordfish@h",
                    "b": {"use": "redis", "url": ["redis://:swordfish@h"]},
                    "c": {"use": {"password": "swordfish"}},
                },
                "defaults": {"storage": "redis://:swordfish@h"},
                "plugins": "redis://:swordfish@h",
            }
        )
    assert "swordfish" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 5
