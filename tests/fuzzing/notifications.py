"""What strangers say where hints are heard: who waits is still woken by the hint behind it."""

from __future__ import annotations

import os
from abc import abstractmethod
from random import Random
from time import monotonic, sleep
from typing import Any

import psycopg
from redis import Redis

from redis_servers import Server
from sessiontracker.backend import new_id
from sessiontracker.operations import Acquire, Address, Queued

from .harness import Target
from .mutations import any_bytes, any_number, any_text
from .opened import open_sync

__all__ = ["TARGETS"]

_HOUR = 3_600_000
_SOON = 8.0  # s: whoever is told nothing waits for longer
_LISTENING = 60.0


class _Heard(Target):
    """One who waits for a lock that another has."""

    patience = _SOON

    @abstractmethod
    def table(self) -> dict[str, Any]:
        """The backend's, and a connection to say things through."""

    @abstractmethod
    def is_listening(self) -> bool:
        """Whether the backend hears what is said."""

    @abstractmethod
    def say(self, random: Random) -> Any:
        """Something that is no hint, which is returned."""

    @abstractmethod
    def hint(self) -> None:
        """Say that it is the ticket's turn."""

    def open(self) -> None:
        self.backend: Any = open_sync(self.table(), self._left)
        self.ticket = new_id()
        address = Address("work", "", f"k{self.ticket}")
        asked = [Acquire(address, each, _HOUR) for each in (new_id(), self.ticket)]
        queued = self.backend.execute(asked)[1]
        assert isinstance(queued, Queued), queued
        until = monotonic() + _LISTENING
        while not self.is_listening():
            assert monotonic() < until, "nobody listens"
            sleep(0.01)

    def attempt(self, random: Random) -> str:
        self.made = [self.say(random) for _ in range(random.choice((1, 1, 3)))]
        self.hint()
        began = monotonic()
        self.backend.wait(self.ticket, _SOON)
        if monotonic() - began >= _SOON:
            raise AssertionError("the hint was not heard")
        return "heard"


class RedisHints(_Heard):
    """Through pub/sub."""

    name = "redis-hints"
    share = 6_000
    few = 5

    def table(self) -> dict[str, Any]:
        server = Server("valkey").start()
        self._left.callback(server.stop)
        self._client = self.using(Redis(port=server.port))
        return {"use": "redis", "url": server.url}

    def is_listening(self) -> bool:
        return bool(self._client.publish(self.backend._hints._channel, b"anybody?"))

    def say(self, random: Random) -> bytes:
        said = any_bytes(random)[:100_000]
        if random.random() < 0.3:
            said = (abs(any_number(random)) % 2**64).to_bytes(8, "big")
        self._client.publish(self.backend._hints._channel, said)
        return said

    def hint(self) -> None:
        self._client.publish(self.backend._hints._channel, self.ticket.to_bytes(8, "big"))


class PostgreSQLHints(_Heard):
    """Through NOTIFY, on the server that the environment names."""

    name = "postgresql-hints"
    share = 2_000
    few = 3
    variable = "SESSIONTRACKER_TEST_POSTGRESQL_URL"

    def table(self) -> dict[str, Any]:
        url = os.environ[self.variable]
        prefix = f"fuzz{new_id() % 10**6}_"
        self._stranger = self.using(psycopg.connect(url, autocommit=True))
        for table in ("keys", "owners", "schema"):
            drop: Any = f"DROP TABLE IF EXISTS {prefix}{table}"
            self._left.callback(self._stranger.execute, drop)
        return {"use": "sql", "url": url, "table_prefix": prefix}

    def is_listening(self) -> bool:
        return self.backend._hints._listener is not None

    def say(self, random: Random) -> str:
        said = random.choice((any_text(random), str(any_number(random)), str(random.random())))
        said = said.encode(errors="replace").replace(b"\0", b"").decode()[:1_900]
        self._notify(said)
        return said

    def hint(self) -> None:
        self._notify(str(self.ticket))

    def _notify(self, said: str) -> None:
        channel = self.backend._hints._server.channel
        self._stranger.execute("SELECT pg_notify(%s, %s)", (channel, said))


TARGETS: list[type[_Heard]] = [RedisHints]
if PostgreSQLHints.variable in os.environ:
    TARGETS.append(PostgreSQLHints)
