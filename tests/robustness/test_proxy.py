"""The proxy does to bytes what it says, and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import pytest

from listening import Listener
from tests.conditions import eventually

from .proxy import Proxy, Weather

LONG = bytes(range(256)) * 400  # more than one read
PATIENCE = 60.0  # s


class Echo(Listener):
    """A server that answers what it is told, and knows in which pieces it came."""

    def __init__(self) -> None:
        self.came: list[bytes] = []
        super().__init__(self._echo)

    def _echo(self, connection: socket.socket) -> None:
        while data := connection.recv(1 << 20):
            self.came.append(data)
            connection.sendall(data)


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    proxy = Proxy(("127.0.0.1", echo.port)).start()
    yield proxy
    proxy.stop()


@contextmanager
def client_of(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        yield client


def received(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := client.recv(size - len(data))):
        data += more
    return data


@pytest.mark.parametrize(
    "weather", [Weather(), Weather(delay=0.01), Weather(gather=0.01), Weather(most=7)]
)
def test_all_bytes_arrive_in_their_order(proxy: Proxy, weather: Weather) -> None:
    data = LONG if not weather.most else LONG[:2_000]
    with proxy.bad(weather), client_of(proxy) as client:
        client.sendall(data)
        assert received(client, len(data)) == data


def test_they_arrive_in_pieces(proxy: Proxy, echo: Echo) -> None:
    with client_of(proxy) as client, proxy.bad(Weather(most=2)):
        client.sendall(b"0123456789" * 10)
        assert received(client, 100) == b"0123456789" * 10
    assert len(echo.came) > 3
    assert max(map(len, echo.came)) < 100


def test_they_arrive_at_once(proxy: Proxy, echo: Echo) -> None:
    with client_of(proxy) as client, proxy.bad(Weather(gather=0.3)):
        until = monotonic() + 0.1
        sent = 0
        while monotonic() < until:
            client.sendall(b"x")
            sent += 1
        assert received(client, sent) == b"x" * sent
    assert len(echo.came) < sent


def test_they_are_held_up_until_the_weather_changes(proxy: Proxy, echo: Echo) -> None:
    with client_of(proxy) as client:
        client.settimeout(0.1)
        with proxy.bad(Weather(no_requests=True)):
            client.sendall(b"request")
            with pytest.raises(TimeoutError):
                client.recv(7)
            assert not echo.came
        client.settimeout(PATIENCE)
        assert received(client, 7) == b"request"
        with proxy.bad(Weather(no_replies=True)):
            client.sendall(b"again")
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(5)
        client.settimeout(PATIENCE)
        assert received(client, 5) == b"again"
        assert b"".join(echo.came) == b"requestagain"


def test_replies_are_swallowed_for_good(proxy: Proxy, echo: Echo) -> None:
    """What was asked was done, and the connection is cut: no later reply comes in its place."""
    with client_of(proxy) as client:
        with proxy.bad(Weather(swallows=True)):
            client.sendall(b"done")
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(4)
            eventually(lambda: echo.came)
        client.settimeout(PATIENCE)
        assert _is_cut(client)
        assert echo.came == [b"done"]
    with client_of(proxy) as client:
        client.sendall(b"next")
        assert received(client, 4) == b"next"


def test_connections_are_cut(proxy: Proxy) -> None:
    with client_of(proxy) as one, client_of(proxy) as other:
        for client in (one, other):
            client.sendall(b"there")
            assert received(client, 5) == b"there"
        assert proxy.cut() == 2
        assert _is_cut(one)
        assert _is_cut(other)


def test_a_server_that_is_away_is_a_connection_that_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    proxy = Proxy(address).start()
    with client_of(proxy) as client:
        assert _is_cut(client)
    proxy.stop()


def _is_cut(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True
