"""A server that hangs holds nobody longer than a call may take."""

from __future__ import annotations

import asyncio

from database_servers import PostgreSQL
from hanging_calls import calls_while_it_hangs, longest
from tests.paced import in_time

TIMEOUT = 1.0


def test_a_call_on_a_server_that_hangs_ends_in_its_time(own_postgresql: PostgreSQL) -> None:
    server = own_postgresql
    config = {
        "backends": {"hot": {"use": "sql", "url": server.url}},
        "operation_timeout": TIMEOUT,
    }

    def took() -> float:
        calls = calls_while_it_hangs(config, server.pause, server.resume, again=TIMEOUT / 2)
        return longest(asyncio.run(calls))

    in_time(took, 1.5 * TIMEOUT)
