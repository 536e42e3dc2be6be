"""What goes wrong between us and a server: the right answer, and nothing half done."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from redis_servers import Server
from sessiontracker.backend import BackendError, BackendUnavailableError
from sessiontracker.operations import (
    Acquire,
    Address,
    Failed,
    Found,
    NoAnswer,
    Outcome,
    Ping,
    Pong,
    Read,
    Release,
    Saved,
    Start,
    Touch,
    Unavailable,
)
from sessiontracker_redis._async.backend import AsyncRedisBackend
from sessiontracker_redis._sync.backend import RedisBackend
from sessiontracker_redis.options import Options

OpenBackend = Callable[..., RedisBackend]


def one(outcomes: list[Outcome]) -> Any:
    [outcome] = outcomes
    return outcome


@pytest.fixture
def second(
    open_backend: OpenBackend, server_of: Callable[..., Server]
) -> Callable[..., tuple[Server, RedisBackend]]:
    """Starts a server of its own, and opens a backend on it."""

    def start(kind: str = "valkey", **config: Any) -> tuple[Server, RedisBackend]:
        server = server_of(kind, **config)
        return server, open_backend(server.url)

    return start


# Scripts ---------------------------------------------------------------------


def test_scripts_that_the_server_forgot_are_sent_once_more(
    backend: RedisBackend, admin: Redis, address: Address
) -> None:
    admin.script_flush()
    others = [Address("checkout", "", f"k{number}") for number in range(20)]
    batch = [operation for each in others for operation in (Start(each, 1, b"x"), Read(each))]
    kinds = [type(outcome) for outcome in backend.execute(batch)]
    assert kinds == [Saved, Found] * 20
    admin.config_resetstat()
    assert isinstance(one(backend.execute([Read(others[0])])), Found)
    stats = admin.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 1
    assert "cmdstat_eval" not in stats


def test_one_command_an_operation(backend: RedisBackend, admin: Redis, address: Address) -> None:
    backend.execute([Start(address, 1, b"x")])
    admin.config_resetstat()
    backend.execute(
        [Read(address), Touch(address), Acquire(address, 7, 1_000), Release(address, 7)]
    )
    assert admin.info("commandstats")["cmdstat_evalsha"]["calls"] == 4


# Connections -----------------------------------------------------------------


def test_a_connection_that_was_killed_meanwhile_is_made_anew(
    backend: RedisBackend, admin: Redis, address: Address
) -> None:
    for _ in range(5):
        assert isinstance(one(backend.execute([Ping()])), Pong)
        admin.client_kill_filter(_type="normal", skipme=True)
    assert isinstance(one(backend.execute([Start(address, 1, b"x")])), Saved)


def test_one_connection_is_enough_for_batch_after_batch(
    backend: RedisBackend, admin: Redis
) -> None:
    before = admin.info("stats")["total_connections_received"]
    for _ in range(50):
        backend.execute([Ping()])
    assert admin.info("stats")["total_connections_received"] == before


def test_a_server_that_is_not_there(open_backend: OpenBackend) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(BackendUnavailableError, match=r"^backends"):
        open_backend(f"redis://127.0.0.1:{port}")


def test_a_server_that_goes_and_comes_back(
    second: Callable[..., tuple[Server, RedisBackend]], address: Address
) -> None:
    server, backend = second()
    server.kill()
    for _ in range(200):
        outcome = one(backend.execute([Start(address, 1, b"x")]))
        assert type(outcome) in (Unavailable, NoAnswer)
    assert type(outcome) is Unavailable
    server.start()
    while type(outcome) is Unavailable:
        outcome = one(backend.execute([Start(address, 1, b"x")]))
    assert type(outcome) is Saved


class Silent:
    """Between client and server: after `mute`, requests arrive and answers do not."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.muted = False
        self.cuts = False
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            self._sockets += [client, server]
            for pair, answers in (((client, server), False), ((server, client), True)):
                threading.Thread(target=self._pump, args=(*pair, answers), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(65536):
                if answers and self.cuts:
                    target.shutdown(socket.SHUT_RDWR)
                    return
                if not (answers and self.muted):
                    target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        for each in [self._listener, *self._sockets]:
            each.close()


@pytest.fixture
def silent(valkey: Server) -> Iterator[Silent]:
    proxy = Silent(valkey.port)
    yield proxy
    proxy.close()


def test_no_answer_within_the_deadline(
    open_backend: OpenBackend, silent: Silent, backend: RedisBackend, address: Address
) -> None:
    slow = open_backend(f"redis://127.0.0.1:{silent.port}", timeout="200ms")
    silent.muted = True
    outcomes = slow.execute([Start(address, 1, b"x"), Read(address)])
    assert [type(outcome) for outcome in outcomes] == [NoAnswer] * 2
    silent.muted = False
    # It was done, and its repeat says so.
    assert isinstance(one(slow.execute([Start(address, 1, b"x", age=300)])), Saved)
    assert isinstance(one(backend.execute([Read(address)])), Found)


def test_a_connection_lost_before_the_answer(
    open_backend: OpenBackend, silent: Silent, address: Address
) -> None:
    cut = open_backend(f"redis://127.0.0.1:{silent.port}")
    silent.cuts = True
    assert isinstance(one(cut.execute([Start(address, 1, b"x")])), NoAnswer)
    silent.cuts = False
    assert isinstance(one(cut.execute([Start(address, 1, b"x", age=10)])), Saved)


async def test_no_answer_within_the_deadline_async(
    silent: Silent, prefix: str, address: Address
) -> None:
    url = f"redis://127.0.0.1:{silent.port}"
    backend = AsyncRedisBackend(Options(where="b", url=url, prefix=prefix, timeout=0.2))
    await backend.open()
    silent.muted = True
    assert isinstance(one(await backend.execute([Start(address, 1, b"x")])), NoAnswer)
    silent.muted = False
    assert isinstance(one(await backend.execute([Start(address, 1, b"x", age=300)])), Saved)
    await backend.close()


async def test_a_batch_that_is_cancelled_leaves_no_answer_to_the_next(
    silent: Silent, prefix: str, address: Address
) -> None:
    url = f"redis://127.0.0.1:{silent.port}"
    backend = AsyncRedisBackend(Options(where="b", url=url, prefix=prefix))
    await backend.open()
    silent.muted = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await backend.execute([Start(address, 1, b"x")])
    silent.muted = False
    assert isinstance(one(await backend.execute([Ping()])), Pong)
    await backend.close()


# What a server refuses -------------------------------------------------------


def test_a_password(
    second: Callable[..., tuple[Server, RedisBackend]], open_backend: OpenBackend
) -> None:
    server, _ = second()
    url = server.url
    with Redis.from_url(url) as admin:
        admin.config_set("requirepass", "secret")
    with pytest.raises(BackendError, match="wants a password"):
        open_backend(url)
    with pytest.raises(BackendError, match="password is wrong"):
        open_backend(url, password="guess")
    backend = open_backend(url, password="secret")
    assert isinstance(one(backend.execute([Ping()])), Pong)


def test_a_user_that_may_not(
    backend: RedisBackend, open_backend: OpenBackend, admin: Redis, url: str, address: Address
) -> None:
    admin.acl_setuser(
        "reader",
        enabled=True,
        passwords=["+pw"],
        keys=["*"],
        channels=["*"],
        commands=["+@all", "-set"],
    )
    own = open_backend(url, username="reader", password="pw")
    outcome = one(own.execute([Start(address, 1, b"x")]))
    assert isinstance(outcome, Failed)
    assert "extend its ACL" in str(outcome.error)
    admin.acl_deluser("reader")


def test_memory_that_is_full(
    backend: RedisBackend, admin: Redis, address: Address, prefix: str
) -> None:
    backend.execute([Start(address, 1, b"x"), Acquire(address, 7, 60_000)])
    names = sorted(admin.scan_iter(f"{prefix}*"))
    before = [admin.dump(name) for name in names]
    admin.config_set("maxmemory", 1)
    try:
        other = Address("checkout", "", "kother")
        for operation in (Start(other, 1, b"x"), Touch(address), Release(address, 7)):
            outcome = one(backend.execute([operation]))
            assert isinstance(outcome, Unavailable), outcome
            assert "maxmemory" in outcome.reason
        assert isinstance(one(backend.execute([Read(address)])), Found)
    finally:
        admin.config_set("maxmemory", 0)
    assert sorted(admin.scan_iter(f"{prefix}*")) == names
    assert [admin.dump(name) for name in names] == before


def test_a_replica(
    second: Callable[..., tuple[Server, RedisBackend]], address: Address, valkey: Server
) -> None:
    server, backend = second()
    with Redis.from_url(server.url) as admin:
        backend.execute([Start(address, 1, b"x")])
        with socket.create_server(("127.0.0.1", 0)) as listener:
            nobody = listener.getsockname()[1]
        admin.replicaof("127.0.0.1", nobody)
        outcome = one(backend.execute([Touch(address)]))
        assert isinstance(outcome, Unavailable)
        assert "replica" in outcome.reason
        admin.replicaof("no", "one")
        assert isinstance(one(backend.execute([Touch(address)])), Saved)


def test_a_policy_that_evicts_is_a_warning(
    open_backend: OpenBackend, admin: Redis, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    admin.config_set("maxmemory-policy", "allkeys-lru")
    try:
        open_backend(url)
    finally:
        admin.config_set("maxmemory-policy", "noeviction")
    assert "noeviction" in caplog.text
