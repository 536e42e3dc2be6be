"""Configurations that tests read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sessiontracker.config import Config
from sessiontracker.errors import ConfigurationError

__all__ = ["HOUR", "MINUTE", "TOML", "problem", "problems", "write"]

MINUTE = 60_000
HOUR = 60 * MINUTE


TOML = """
operation_timeout = "2s"
max_in_flight = 100
reap_every = "5m"
plugins = ["otel"]

[backends.hot]
use = "redis"
url = "env:REDIS_URL"
prefix = "shop:"

[backends.ledger]
use = "sql"
url = "postgresql://app:hunter2@db/app"

[defaults]
storage = "hot"
idle_timeout = "20m"

[sessions.checkout]
storage = "ledger"
locking = "hot"
idle_timeout = "2h"
codec = "json"

[sessions."shop.basket"]
absolute_timeout = "14d"
"""


def write(tmp_path: Path, text: str, name: str = "sessions.toml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(config: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        Config.from_mapping(config, source="s.toml")
    return str(caught.value).splitlines()


def problem(config: dict[str, Any]) -> str:
    (line,) = problems(config)
    return line
