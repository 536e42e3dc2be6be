"""PostgreSQL: what is asked again is neither parsed nor planned anew."""

from __future__ import annotations

import asyncio

import pytest

from sessiontracker.backend import operations as kinds
from sessiontracker_sql._async.backend import AsyncServerBackend
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.servers import server_of
from sessiontracker_sql.talk import Query, Talk

from .conftest import POSTGRESQL, options_of

TIMES = 5

pytestmark = pytest.mark.parametrize("url", POSTGRESQL, indirect=True)


def kept(prefix: str) -> Talk[dict[str, int]]:
    """The statements about our keys that the server keeps for this connection, and how often each
    was executed by the plan that is kept with it."""
    answer = yield Query(
        "SELECT statement, generic_plans::bigint FROM pg_prepared_statements "
        "WHERE strpos(statement, $1::text) > 0",
        (f"{prefix}keys k",),
    )
    return dict(map(tuple, answer.rows))  # type: ignore[arg-type]


def test_of_threads(backend: ServerBackend, prefix: str, address: kinds.Address) -> None:
    for _ in range(TIMES):
        assert backend.execute([kinds.Read(address)]) == [kinds.Missing()]
    [times] = backend._connections.hold(kept(prefix)).values()
    assert times == TIMES


def test_of_an_event_loop(url: str, prefix: str, address: kinds.Address) -> None:
    async def read() -> dict[str, int]:
        options = options_of(url, table_prefix=prefix)
        backend = AsyncServerBackend(server_of(options), options)
        await backend.open()
        for _ in range(TIMES):
            assert await backend.execute([kinds.Read(address)]) == [kinds.Missing()]
        found = await backend._connections.hold(kept(prefix))
        await backend.close()
        return found

    [times] = asyncio.run(read()).values()
    assert times == TIMES
