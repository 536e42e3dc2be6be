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
    ("whole", "timeout", "waits"),
    [
        (None, None, 5.0),
        (None, "7s", 7.0),
        (5.0, None, 2.0),
        (5.0, "7s", 5.0),
        (0.5, None, 0.2),
        (0.5, "100ms", 0.1),
    ],
)
def test_an_answer_is_waited_for_no_longer_than_a_call_has(
    whole: float | None, timeout: str | None, waits: float
) -> None:
    options = {} if timeout is None else {"timeout": timeout}
    found = Options.of(BackendOptions("hot", "redis://localhost", options, whole))
    assert found.timeout == pytest.approx(waits)
    assert found.connecting == max(found.timeout, 1.0)


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
        ("redis://h", {"prefix": "\ud800"}, "backends.hot.prefix"),
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


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:port",
        "redis://h:99999999",
        "redis://[::1",
        "redis://h?socket_timeout=soon",
        "rediss+sentinel://h/mymaster?ssl_colour=1",
    ],
)
def test_what_redis_py_cannot_read_is_named(url: str) -> None:
    for backend in (AsyncRedisBackend, RedisBackend):
        with pytest.raises(ConfigurationError, match=r"^backends\.hot\.url: "):
            backend(of(url))


@pytest.mark.parametrize("sign", [*"/?#@:[] %\\", "@/", "/@", ":/"])
@pytest.mark.parametrize(
    "url",
    [
        "redis://u:{}@h:1/0",
        "rediss://:{}@h",
        "unix://u:{}@/run/redis.sock",
        "redis+cluster://u:{}@h1:1,h2:2",
        "redis+sentinel://:{}@h1:1,h2:2/mymaster/0",
    ],
)
def test_no_piece_of_a_password_is_shown(url: str, sign: str) -> None:
    """Whatever sign there is in it that ought to be quoted."""
    for backend in (AsyncRedisBackend, RedisBackend):
        try:
            options = of(url.format(f"blade{sign}trout"))
            shown = repr(options)
            backend(options)
        except ConfigurationError as error:
            shown = str(error)
            assert "backends.hot.url: " in shown
        assert "blade" not in shown
        assert "trout" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://12#swordfish@h/0",
        "redis://:12#swordfish@h/0",
        "redis://:12?swordfish@h/0",
        "redis://:12/swordfish@h/0",
        "redis://h/0?password=sword#fish",
        "unix:///run/redis.sock?password=sword#fish",
    ],
)
def test_no_piece_of_a_password_is_taken_for_a_server(url: str) -> None:
    """Or for nothing, so that another password would be sent."""
    with pytest.raises(
        ConfigurationError, match=r"^backends\.hot\.url: .* in a password"
    ) as raised:
        of(url)
    assert "fish" not in str(raised.value)


def test_a_socket_may_be_called_anything() -> None:
    assert of("unix:///run/redis@1.sock").url == "unix:///run/redis@1.sock"


@pytest.mark.parametrize("client", [object(), redis.Redis()])
def test_a_client_of_another_kind_is_refused(client: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^backends.hot.client: give a redis.asyncio"):
        AsyncRedisBackend(of(None, client=client))


def test_the_other_kind_is_refused_too() -> None:
    with pytest.raises(ConfigurationError, match=r"^backends.hot.client: give a redis.Redis"):
        RedisBackend(of(None, client=redis.asyncio.Redis()))
