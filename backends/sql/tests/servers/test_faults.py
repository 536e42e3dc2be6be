"""Servers that restart, die or end connections under load: each call ends in an answer or in an
error that says what happened, nothing is lost, nothing is done twice, and all go on by themselves.

The full size is ``nox -s soak``.
"""

from __future__ import annotations

import os
import signal
from time import monotonic, sleep

import pytest

from database_servers import Server

from .conftest import Admin
from .counting import count_among

SECONDS = 60.0 if "SESSIONTRACKER_SOAK" in os.environ else 1.0


@pytest.fixture
def url(own: Server) -> str:
    """Of the tests' own servers: others are not ours to disturb."""
    return own.url


def test_connections_are_ended_again_and_again(url: str, prefix: str, admin: Admin) -> None:
    def trouble() -> None:
        until = monotonic() + SECONDS
        while monotonic() < until:
            admin.end_others()
            sleep(0.1)

    count_among(url, prefix, trouble)


@pytest.mark.parametrize(
    ("own", "how"),
    [
        pytest.param("postgresql", signal.SIGINT, id="postgresql-fast"),
        pytest.param("postgresql", signal.SIGQUIT, id="postgresql-immediate"),
        pytest.param("postgresql", signal.SIGKILL, id="postgresql-killed"),
        pytest.param("mariadb", signal.SIGTERM, id="mariadb-fast"),
        pytest.param("mariadb", signal.SIGKILL, id="mariadb-killed"),
    ],
    indirect=["own"],
)
def test_the_server_is_restarted(own: Server, url: str, prefix: str, how: signal.Signals) -> None:
    def trouble() -> None:
        own.end(how)
        sleep(0.5)
        own.start()

    count_among(url, prefix, trouble)
