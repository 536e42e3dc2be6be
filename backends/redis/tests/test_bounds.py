"""What a server may announce, however it is cut into reads."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from random import Random

import pytest
from redis.exceptions import InvalidResponse, ResponseError

from listening import Listener
from sessiontracker.backend import BackendUnavailableError
from sessiontracker_redis import bounds
from sessiontracker_redis._async.backend import AsyncRedisBackend
from sessiontracker_redis._sync.backend import RedisBackend
from sessiontracker_redis.options import Options
from sessiontracker_redis.replies import Replies


def feed(replies: Replies, data: bytes, size: int) -> int:
    count = 0
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        count = replies.feed(piece, len(piece))
    return count


BOMBS = {
    "array": b"*500000000\r\n",
    "set": b"~500000000\r\n",
    "map": b"%500000000\r\n",
    "push": b">500000000\r\n",
    "attributes": b"|500000000\r\n",
    "behind a reply": b"$5\r\nhello\r\n*500000000\r\n",
    "in an array": b"*2\r\n$5\r\nhello\r\n*500000000\r\n",
    "many in one another": b"*99999\r\n" * 100,
    "behind what is missing": b"*-1\r\n" * 1000 + b"*4000999\r\n",
    "a text": b"$99999999999\r\n" + b"x" * 20_000,
    "no number": b"$x\r\n",
    "no end": b"+" + b"x" * 20_000,
    "an array without a number": b"*\r\n",
}


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize("bomb", BOMBS)
def test_what_is_announced_is_bounded(bomb: str, size: int) -> None:
    replies = Replies()
    with pytest.raises(InvalidResponse):
        feed(replies, BOMBS[bomb], size)


def test_what_is_sent_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_BYTES", 1000)
    replies = Replies()
    assert feed(replies, b"+" + b"x" * 500 + b"\r\n", 100) == 1
    replies.taken()
    assert feed(replies, b"+" + b"x" * 500 + b"\r\n", 100) == 1
    with pytest.raises(InvalidResponse, match="1,000 bytes"):
        feed(replies, b"+" + b"x" * 500 + b"\r\n", 100)


def test_a_payload_may_look_like_an_announcement() -> None:
    text = b"\r\n*500000000\r\n$99999999999\r\n" * 50
    reply = b"$%d\r\n%s\r\n" % (len(text), text)
    array = b"*3\r\n:1\r\n" + reply + b"*-1\r\n"
    wanted = [text, [1, text, None], text]
    for seed in range(200):
        random, replies, data = Random(seed), Replies(), reply + array + reply
        while data:
            size = random.choice((1, 5, 100, 5000))
            replies.feed(data[:size], min(size, len(data)))
            data = data[size:]
        assert replies.taken() == wanted


def test_what_is_cut_is_not_gone_through_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner's thousand sessions come in many reads, and to look at each text takes its time."""
    gone_through: list[int] = []
    monkeypatch.setattr(bounds.Bounds, "_walk", lambda _, __, size: gone_through.append(size))
    replies = Replies()
    texts = [bytes(range(200)) * 2 for _ in range(2_000)]
    data = b"*2000\r\n" + b"".join(b"$400\r\n%s\r\n" % text for text in texts)
    assert feed(replies, data, 10_000) == 1
    assert replies.taken() == [texts]
    assert not gone_through


def test_an_owner_may_have_many_sessions() -> None:
    replies = Replies()
    data = b"*20000\r\n" + b"$2\r\nab\r\n" * 20_000
    assert feed(replies, data, 65_536) == 1
    assert replies.taken() == [[b"ab"] * 20_000]


# While a connection is made ---------------------------------------------------


class Greeter(Listener):
    """A server that greets with ``answer``; or, every so many ``seconds``, with a little more of
    what has no end."""

    def __init__(self, answer: bytes, seconds: float = 0.0) -> None:
        self._greeting, self._seconds = answer, seconds
        super().__init__(self._greet)
        self.url = f"redis://127.0.0.1:{self.port}"

    def _greet(self, connection: socket.socket) -> None:
        connection.recv(1000)
        if not self._seconds:
            connection.sendall(self._greeting)
            connection.recv(1000)
        while self._seconds:  # it never ends
            connection.sendall(b"*1\r\n")
            time.sleep(self._seconds)


@pytest.fixture
def greeter() -> Iterator[Callable[..., Greeter]]:
    greeters: list[Greeter] = []

    def start(answer: bytes, seconds: float = 0.0) -> Greeter:
        greeters.append(Greeter(answer, seconds))
        return greeters[-1]

    yield start
    for each in greeters:
        each.close()


def test_a_greeting_is_bounded(greeter: Callable[..., Greeter]) -> None:
    bomb = greeter(b"*500000000\r\n")
    with pytest.raises(BackendUnavailableError, match="500,000,000 elements"):
        RedisBackend(Options(where="b", url=bomb.url, timeout=10)).open()


async def test_a_greeting_is_bounded_async(greeter: Callable[..., Greeter]) -> None:
    bomb = greeter(b"*500000000\r\n")
    with pytest.raises(BackendUnavailableError, match="500,000,000 elements"):
        await AsyncRedisBackend(Options(where="b", url=bomb.url, timeout=10)).open()


def test_a_greeting_that_does_not_end(greeter: Callable[..., Greeter]) -> None:
    drip = greeter(b"", 0.05)  # each piece comes in time
    with pytest.raises(BackendUnavailableError, match="too long to greet"):
        RedisBackend(Options(where="b", url=drip.url, timeout=0.5)).open()


async def test_a_greeting_that_does_not_end_async(greeter: Callable[..., Greeter]) -> None:
    drip = greeter(b"", 0.05)
    with pytest.raises(BackendUnavailableError, match=r"too long to greet|Timeout reading"):
        await AsyncRedisBackend(Options(where="b", url=drip.url, timeout=0.5)).open()


def test_a_greeting_that_makes_no_sense_is_not_taken_for_one(
    greeter: Callable[..., Greeter],
) -> None:
    """redis-py keeps such a connection open, and would not greet again."""
    senseless = greeter(b"*1\r\n:7\r\n")
    backend = RedisBackend(Options(where="b", url=f"{senseless.url}?protocol=3", timeout=1))
    for _ in range(2):
        with pytest.raises(BackendUnavailableError):
            backend.open()


UNSEEN = """
import resource

from redis.exceptions import InvalidResponse
from sessiontracker_redis.replies import Replies

resource.setrlimit(resource.RLIMIT_AS, (2**31, resource.RLIM_INFINITY))
data = b"$4\\r\\ntext\\r\\xff|2147483649\\r\\n"
try:
    Replies().feed(data, len(data))
except InvalidResponse as error:
    print(error)
"""


def test_what_is_announced_where_no_line_begins_is_no_reply() -> None:
    """A reader takes any two bytes for a text's end."""
    done = subprocess.run(
        [sys.executable, "-c", UNSEEN], capture_output=True, text=True, check=True
    )
    assert "announces more than there is memory for" in done.stdout


SENSELESS = b"*3\r\n-MOVED away\r\n-ASK somebody else\r\n%1\r\n+a\r\n+b\r\n"
"""Errors that redis-py takes apart, and cannot; and a map, in which hiredis looks for what it
raised before."""


def test_errors_that_redis_py_cannot_take_apart_are_errors() -> None:
    replies = Replies()
    assert replies.feed(SENSELESS, len(SENSELESS)) == 1
    [[moved, ask, mapping]] = replies.taken()
    assert (str(moved), str(ask), mapping) == ("MOVED away", "ASK somebody else", {b"a": b"b"})
    assert isinstance(moved, ResponseError)


def test_a_map_whose_keys_are_none_is_no_reply() -> None:
    data = b"%1\r\n*0\r\n+a\r\n"
    with pytest.raises(InvalidResponse, match="a map"):
        Replies().feed(data, len(data))


def test_a_greeting_of_errors_that_redis_py_cannot_take_apart(
    greeter: Callable[..., Greeter],
) -> None:
    senseless = greeter(SENSELESS)
    with pytest.raises(BackendUnavailableError):
        RedisBackend(Options(where="b", url=f"{senseless.url}?protocol=3", timeout=1)).open()


async def test_a_greeting_of_errors_that_redis_py_cannot_take_apart_async(
    greeter: Callable[..., Greeter],
) -> None:
    senseless = greeter(SENSELESS)
    url = f"{senseless.url}?protocol=3"
    with pytest.raises(BackendUnavailableError):
        await AsyncRedisBackend(Options(where="b", url=url, timeout=1)).open()
