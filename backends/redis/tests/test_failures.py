"""What goes wrong between us and a server: the right answer, and nothing half done."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from redis_servers import Server, until
from sessiontracker.backend import BackendError, BackendUnavailableError
from sessiontracker.operations import (
    Acquire,
    Address,
    Delete,
    Failed,
    Found,
    Granted,
    Missing,
    NoAnswer,
    Outcome,
    Ping,
    Pong,
    Read,
    Release,
    Released,
    Saved,
    Start,
    Touch,
    Unavailable,
)
from sessiontracker_redis._async.backend import AsyncRedisBackend
from sessiontracker_redis._sync.backend import RedisBackend
from sessiontracker_redis.options import Options
from sessiontracker_redis.scripts import SCRIPTS

KINDS = ["valkey", *["redis"] * (shutil.which("redis-server") is not None)]
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


def test_a_script_that_alone_is_not_known_changes_no_order(
    backend: RedisBackend, admin: Redis, address: Address
) -> None:
    for known in ("release", "read"):
        admin.script_flush()
        admin.script_load(SCRIPTS[known].text)
        acquired, _ = backend.execute([Acquire(address, 7, 60_000), Release(address, 7)])
        # Whoever was cancelled while he asked lets go at once: no lock may come after that.
        assert type(acquired) in (Granted, Unavailable)
        assert isinstance(one(backend.execute([Acquire(address, 8, 60_000)])), Granted)
        assert isinstance(one(backend.execute([Release(address, 8)])), Released)
        started, found = backend.execute([Start(address, 1, b"x"), Read(address)])
        if isinstance(started, Saved):
            assert isinstance(found, Found)
        else:
            assert (type(started), type(found)) == (Unavailable, Missing)
        backend.execute([Delete(address, 2)])
    admin.config_resetstat()
    backend.execute([Start(address, 3, b"x"), Touch(address)])  # all are known again
    assert "cmdstat_eval" not in admin.info("commandstats")


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
    told = r"^backends.*: start it, or correct the url$"
    with pytest.raises(BackendUnavailableError, match=told):
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
    again = Start(address, 1, b"x", since=1)
    until(lambda: isinstance(one(slow.execute([again])), Saved), "an answer in time")
    assert isinstance(one(backend.execute([Read(address)])), Found)


def test_a_connection_lost_before_the_answer(
    open_backend: OpenBackend, silent: Silent, address: Address
) -> None:
    cut = open_backend(f"redis://127.0.0.1:{silent.port}")
    silent.cuts = True
    assert isinstance(one(cut.execute([Start(address, 1, b"x")])), NoAnswer)
    silent.cuts = False
    assert isinstance(one(cut.execute([Start(address, 1, b"x", since=1)])), Saved)


async def test_no_answer_within_the_deadline_async(
    silent: Silent, prefix: str, address: Address
) -> None:
    url = f"redis://127.0.0.1:{silent.port}"
    backend = AsyncRedisBackend(Options(where="b", url=url, prefix=prefix, timeout=0.2))
    await backend.open()
    silent.muted = True
    assert isinstance(one(await backend.execute([Start(address, 1, b"x")])), NoAnswer)
    silent.muted = False
    outcome: Any = None
    async with asyncio.timeout(60):
        while not isinstance(outcome, Saved):  # what comes late is no answer
            outcome = one(await backend.execute([Start(address, 1, b"x", since=1)]))
    await backend.close()


async def test_a_server_that_hangs_holds_up_no_connecting(
    open_async: Any, server_of: Callable[..., Server], address: Address
) -> None:
    server = server_of()
    backend = await open_async(server.url, timeout="300ms")
    server.pause()
    async with asyncio.timeout(30):
        assert isinstance(one(await backend.execute([Start(address, 1, b"x")])), NoAnswer)
        # The connection is made anew: the server accepts it, and says nothing.
        assert isinstance(one(await backend.execute([Start(address, 1, b"x")])), Unavailable)
    server.resume()
    outcome: Any = None
    while not isinstance(outcome, Saved):
        outcome = one(await backend.execute([Start(address, 1, b"x")]))


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
        # It is left alone for a moment.
        until(lambda: type(one(backend.execute([Touch(address)]))) is Saved, "a primary")


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_is_full(
    second: Callable[..., tuple[Server, RedisBackend]], address: Address, kind: str
) -> None:
    server, backend = second(kind)
    backend.execute([Start(address, 1, b"x")])
    before = contents(server)
    (server.folder / "dump.rdb").mkdir()  # so that nothing can be saved there
    server.ask("CONFIG", "SET", "save", "3600 1")
    server.ask("BGSAVE")
    status = "rdb_last_bgsave_status"
    until(lambda: server.client().info("persistence")[status] == "err", "a failure to save")
    other = Address("checkout", "", "kother")
    for operation in (Start(other, 1, b"x"), Touch(address), Acquire(address, 7, 60_000)):
        outcome = one(backend.execute([operation]))
        assert isinstance(outcome, Unavailable), outcome
        assert "disk" in outcome.reason
    assert isinstance(one(backend.execute([Read(address)])), Found)
    assert contents(server) == before
    server.ask("CONFIG", "SET", "save", "")
    assert isinstance(one(backend.execute([Touch(address)])), Saved)


def contents(server: Server) -> dict[bytes, bytes]:
    """What is stored, as it is stored."""
    with server.client() as client:
        return {name: client.dump(name) for name in client.scan_iter("*", count=1000)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_that_blocks_the_server(
    second: Callable[..., tuple[Server, RedisBackend]], address: Address, kind: str
) -> None:
    server, backend = second(kind)
    server.ask("CONFIG", "SET", "lua-time-limit", 20)
    blocking = threading.Thread(target=block, args=[server])
    blocking.start()
    until(lambda: is_busy(server), "a server that is blocked")
    outcome = one(backend.execute([Start(address, 1, b"x")]))
    assert isinstance(outcome, Unavailable)
    assert "SCRIPT KILL" in outcome.reason
    server.ask("SCRIPT KILL")
    blocking.join()
    assert isinstance(one(backend.execute([Start(address, 1, b"x")])), Saved)


def block(server: Server) -> None:
    with pytest.raises(RedisError, match="killed"):
        server.ask("EVAL", "while true do end", 0)


def is_busy(server: Server) -> bool:
    try:
        server.ask("GET", "something")
    except RedisError as error:
        return "BUSY" in str(error)
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_loading(
    second: Callable[..., tuple[Server, RedisBackend]], address: Address, kind: str
) -> None:
    server, backend = second(kind, loading_process_events_interval_bytes=1024)
    backend.execute([Start(address, 1, b"x")])
    server.ask("CONFIG", "SET", "rdbcompression", "no")
    with server.client() as client:
        for number in range(100):
            client.set(f"filler:{number}", "x" * 2048)
        client.config_set("key-load-delay", 20_000)  # µs each
        client.config_rewrite()
        client.save()
    server.kill()
    server.start(wait=False)
    seen: set[str] = set()
    outcome: Any = None
    while not isinstance(outcome, Saved):
        outcome = one(backend.execute([Touch(address)]))
        assert isinstance(outcome, (Saved, Unavailable, NoAnswer)), outcome
        seen.add(getattr(outcome, "reason", ""))
    assert any("loading" in reason for reason in seen)
    assert server.connections() < 20  # nobody connects again and again meanwhile


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_policy_that_evicts_is_a_warning(
    open_backend: OpenBackend,
    admin: Redis,
    url: str,
    caplog: pytest.LogCaptureFixture,
    policy: str,
) -> None:
    admin.config_set("maxmemory-policy", policy)
    try:
        open_backend(url)
    finally:
        admin.config_set("maxmemory-policy", "noeviction")
    assert "noeviction" in caplog.text
