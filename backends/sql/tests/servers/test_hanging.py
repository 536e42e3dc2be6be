"""A server that hangs holds nobody longer than a call may take."""

from __future__ import annotations

from database_servers import PostgreSQL
from hanging_calls import calls_while_it_hangs, check

TIMEOUT = 1.0


async def test_a_call_on_a_server_that_hangs_ends_in_its_time(
    own_postgresql: PostgreSQL,
) -> None:
    config = {
        "backends": {"hot": {"use": "sql", "url": own_postgresql.url}},
        "operation_timeout": TIMEOUT,
    }
    pause, resume = own_postgresql.pause, own_postgresql.resume
    calls = await calls_while_it_hangs(config, pause, resume, again=TIMEOUT / 2)
    check(calls, TIMEOUT)
