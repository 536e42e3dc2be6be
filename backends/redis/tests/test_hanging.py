"""A server that hangs holds nobody longer than a call may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hanging_calls import calls_while_it_hangs, longest
from redis_servers import Server
from tests.paced import in_time

TIMEOUT = 1.0


def test_a_call_on_a_server_that_hangs_ends_in_its_time(server_of: Callable[..., Server]) -> None:
    server = server_of()
    config = {
        "backends": {"hot": {"use": "redis", "url": server.url, "timeout": "5s"}},
        "operation_timeout": TIMEOUT,
    }

    def took() -> float:
        calls = calls_while_it_hangs(config, server.pause, server.resume, again=TIMEOUT / 2)
        return longest(asyncio.run(calls))

    in_time(took, 1.5 * TIMEOUT)
