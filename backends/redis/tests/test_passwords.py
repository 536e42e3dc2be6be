"""A server that repeats what it was told is not repeated."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from redis_servers import Server, until
from sessiontracker import AsyncSessionTracker, SessionTracker
from sessiontracker.backend import BackendError


@pytest.mark.parametrize("user", ["", "app"])
@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("redis://{}:swordfish@127.0.0.1:{}", {}),
        ("redis+cluster://{}:swordfish@127.0.0.1:{}", {}),
        ("redis+sentinel://{}:@127.0.0.1:{}/mymaster", {"sentinel_password": "swordfish"}),
    ],
    ids=["single", "cluster", "sentinel"],
)
async def test_a_command_that_is_not_known_is_told_without_its_arguments(
    place: str,
    options: dict[str, Any],
    user: str,
    server_of: Callable[..., Server],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """To HELLO a Redis before 6, or a proxy, says what came with it, which is the password."""
    caplog.set_level(logging.DEBUG)
    server = server_of(rename_command='HELLO ""', wait=False)
    until(lambda: server.client(protocol=2).ping(), "an answer")
    hot = {"use": "redis", "url": place.format(user, server.port), "protocol": 3, **options}
    config = {"backends": {"hot": hot}, "operation_timeout": "300ms"}
    with pytest.raises(BackendError, match="unknown command 'HELLO'") as raised:
        SessionTracker(config).open()
    seen = _all(raised.value)
    with pytest.raises(BackendError, match="unknown command 'HELLO'") as raised:
        await AsyncSessionTracker(config).open()
    seen += _all(raised.value)
    assert "swordfish" not in caplog.text + "".join(seen)


def _all(error: BaseException | None) -> list[str]:
    seen = traceback.format_exception(error)
    while error is not None:
        seen.append(f"{error!r} {error.args!r}")
        error = error.__cause__ or error.__context__
    return seen
