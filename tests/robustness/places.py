"""Every store, for clients that are killed or frozen: on servers of the tests' own, and on those
that the environment names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from clocks import Clock
from database_servers import MARIADB, MariaDB, PostgreSQL
from redis_servers import Cluster, Server

from ..stores import SERVERS, place_of

__all__ = ["FULL", "OWN", "SHARED", "config_of"]

FULL = "SESSIONTRACKER_KILLS" in os.environ
"""Whether all is tried, on every store, and times are judged: ``nox -s kills``."""

NAMED = {f"named {name}": name for name, variable in SERVERS.items() if variable in os.environ}
OWN = {"postgresql": PostgreSQL, "mariadb": MariaDB, "valkey": Server, "cluster": Cluster}
if MARIADB is None:
    del OWN["mariadb"]

SHARED = ["file", "sqlite", *OWN, *NAMED]
"""The stores that processes share."""


@contextmanager
def config_of(
    storage: str,
    folder: Path,
    *,
    locking: str | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> Iterator[dict[str, Any]]:
    """A tracker's configuration for sessions in ``storage`` and locks in ``locking`` (the same
    unless given), with ``settings`` for all session types. Servers of our own go by ``clock``."""
    places = list(dict.fromkeys([storage, locking or storage]))
    with ExitStack() as stack:
        yield {
            "backends": {
                _name(place): stack.enter_context(_options_of(place, folder / _name(place), clock))
                for place in places
            },
            "defaults": {
                "storage": _name(storage),
                "locking": _name(locking or storage),
                "idle_timeout": "off",
                "absolute_timeout": "off",
                **settings,
            },
        }


def _name(place: str) -> str:
    return place.replace(" ", "_")


@contextmanager
def _options_of(place: str, folder: Path, clock: Clock | None) -> Iterator[dict[str, Any]]:
    if place == "memory":
        yield {"use": "memory"}
    elif place in OWN:
        server: Any = OWN[place]("valkey") if place in ("valkey", "cluster") else OWN[place]()
        for each in server.servers if place == "cluster" else [server]:
            each.environment = {} if clock is None else clock.environment
        server.start()
        try:
            yield {"use": "redis" if place in ("valkey", "cluster") else "sql", "url": server.url}
        finally:
            server.stop()
    else:
        folder.mkdir()
        with place_of(NAMED.get(place, place), folder) as named:
            yield {"use": named.use, **named.options}
