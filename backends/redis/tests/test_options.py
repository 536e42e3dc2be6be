"""What a configuration may say of a server, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import redis.asyncio

from sessiontracker.backend import BackendOptions, ConfigurationError
from sessiontracker_redis._async.backend import AsyncRedisBackend
from sessiontracker_redis._sync.backend import RedisBackend
from sessiontracker_redis.options import Options


def of(url: str | None = "redis://localhost", **options: Any) -> Options:
    return Options.of(BackendOptions("hot", url, options))


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("rediss://h", "rediss://h"),
        ("valkey://h", "redis://h"),
        ("valkeys://h", "rediss://h"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("valkey+unix:///run/valkey.sock", "unix:///run/valkey.sock"),
    ],
)
def test_urls(given: str, used: str) -> None:
    assert of(given).url == used


@pytest.mark.parametrize(
    ("url", "options", "named"),
    [
        (None, {}, "backends.hot.url"),
        ("http://h", {}, "backends.hot.url"),
        ("localhost:6379", {}, "backends.hot.url"),
        ("redis://h?decode_responses=1", {}, "backends.hot.url"),
        ("redis://h", {"prefx": "a"}, "backends.hot.prefx"),
        ("redis://h", {"prefix": 1}, "backends.hot.prefix"),
        ("redis://h", {"timeout": "soon"}, "backends.hot.timeout"),
        ("redis://h", {"timeout": 0}, "backends.hot.timeout"),
        ("redis://h", {"protocol": 4}, "backends.hot.protocol"),
        ("redis://h", {"clock": 1}, "backends.hot.clock"),
        ("redis://h", {"client": object()}, "backends.hot.client"),
    ],
)
def test_what_is_wrong_is_named(url: str | None, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named}: "):
        of(url, **options)


@pytest.mark.parametrize("client", [object(), redis.Redis()])
def test_a_client_of_another_kind_is_refused(client: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^backends.hot.client: give a redis.asyncio"):
        AsyncRedisBackend(of(None, client=client))


def test_the_other_kind_is_refused_too() -> None:
    with pytest.raises(ConfigurationError, match=r"^backends.hot.client: give a redis.Redis"):
        RedisBackend(of(None, client=redis.asyncio.Redis()))
