"""What a Redis answers with: of any shape, to every operation; and bytes that are no RESP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError, InvalidResponse, ResponseError

from sessiontracker.backend import operations
from sessiontracker.testing.model import Walker
from sessiontracker_redis._async.sending import AsyncSendingBackend
from sessiontracker_redis._sync.backend import RedisBackend
from sessiontracker_redis._sync.stores import Stores
from sessiontracker_redis.failures import outcome_of, raised
from sessiontracker_redis.keys import Keys
from sessiontracker_redis.options import Options
from sessiontracker_redis.replies import Replies
from sessiontracker_redis.slots import ranges, redirection

from .harness import Target
from .mutations import any_bytes, any_number, any_text, any_value, spoilt, spoilt_value
from .stored import PLACES

__all__ = ["TARGETS", "any_reply", "resp"]

_HEAD = b"\x01" + bytes(15) + b"\x01" + bytes(5) + b"\x01" + bytes(41)
_SESSION = _HEAD + b"payload"
_TOKEN = b"0001800000000000000"
_OWNER = b"\x04" + bytes(18) + _TOKEN + bytes(15) + b"shared"
_VALID: list[Any] = [
    _SESSION, _TOKEN, _TOKEN + _SESSION, [_SESSION, _OWNER], [1, _HEAD],
    [1, _HEAD, _OWNER, b"kone"], [2, _SESSION], [2, _SESSION, None], [3, b"web-1", 0, 500], [4],
    [5], [6], [7], [8, b"web-1", 30], [9], [10, 3, 1], [10, _TOKEN, 1], [11], [12, 1], [13, 4],
    [14, 1_800_000_000_000, [b"kone", _HEAD], [b"kone", b"payload"], _OWNER], [15, 2], [16, 2],
    [17, _OWNER], [18, _TOKEN], [19, 1_800_000_000_000_000], None, b"OK",
]  # fmt: skip
_INFO = b"redis_version:7.2.0\r\nrun_id:abc\r\nrole:master\r\ncluster_enabled:0\r\n"
_STORES: list[Any] = [
    [b"1800000000", b"7"], [b"0", [b"st:work:{kone}:a", b"st:visit:{x}:ah"]], _INFO, _SESSION,
    [14, 1, [b"kone", _HEAD], [b"kone", b"payload"], _OWNER],
    [[0, 16383, [b"127.0.0.1", 7000, b"id"], [b"127.0.0.1", 7001, b"id2"]]],
]  # fmt: skip


def any_reply(random: Random, valid: Sequence[Any] = _VALID) -> Any:
    """One of ours, or what looks like one."""
    kind = random.randrange(8)
    if kind == 0:
        return _plain(random, any_value(random))
    if kind == 1:
        code = random.choice((*range(21), -1, 2**63, b"1", None, 1.5, True))
        return [code, *(_plain(random, any_value(random, 2)) for _ in range(random.randrange(5)))]
    if kind == 2:
        return _error(random)
    reply = random.choice(valid)
    for _ in range(random.choice((0, 1, 1, 2))):
        reply = spoilt(random, reply) if isinstance(reply, bytes) else spoilt_value(random, reply)
    return _plain(random, reply)


def _plain(random: Random, value: Any) -> Any:
    """As hiredis makes it: texts are bytes, and an error may stand among the rest."""
    if random.random() < 0.02:
        return _error(random)
    if isinstance(value, str):
        return value.encode(errors="replace")
    if isinstance(value, list | tuple):
        return [_plain(random, inner) for inner in value]
    if isinstance(value, dict):
        return {name.encode(errors="replace"): _plain(random, value[name]) for name in value}
    return value


def _error(random: Random) -> Exception:
    code = random.choice(
        ("ERR", "MOVED 7", "MOVED 99999", "ASK 1", "NOSCRIPT", "BUSY", "OOM", "WRONGTYPE", "BROKEN",
         "LOADING", "READONLY", "NOAUTH", "NOPERM", "TRYAGAIN", "CLUSTERDOWN", "\ufffd")
    )  # fmt: skip
    place = random.choice(("", "127.0.0.1:1 ", ":7 ", "[::1]:99999 ", any_text(random)))
    text = f"{code} {place}{any_text(random)}"
    try:
        return random.choice((BaseParser.parse_error, InvalidResponse, ConnectionError))(text)
    except ValueError:  # redis-py takes this MOVED apart, and that ends the connection
        return ResponseError(text)


def resp(random: Random, reply: Any) -> bytes:
    """``reply`` as a server of RESP3 sends it."""
    if isinstance(reply, Exception):
        return (
            b"-"
            + str(reply).encode(errors="replace").replace(b"\r", b"").replace(b"\n", b"")
            + b"\r\n"
        )
    if reply is None:
        return random.choice((b"_\r\n", b"$-1\r\n", b"*-1\r\n"))
    if isinstance(reply, bool):
        return b"#t\r\n" if reply else b"#f\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply if abs(reply) < 2**63 else b"(%d\r\n" % reply
    if isinstance(reply, float):
        return b",%s\r\n" % repr(reply).encode()
    if isinstance(reply, dict):
        items = [resp(random, each) for pair in reply.items() for each in pair]
        return b"%%%d\r\n%s" % (len(reply), b"".join(items))
    if isinstance(reply, list):
        head = random.choice((b"*", b"*", b"*", b"~", b">"))
        return b"%s%d\r\n%s" % (head, len(reply), b"".join(resp(random, each) for each in reply))
    return b"$%d\r\n%s\r\n" % (len(reply), reply)


class Answers(Target):
    """Replies as they come out of a connection, to operations of whatever kind."""

    name = "answers"
    share = 130_000
    may_grow = 4.0

    def open(self) -> None:
        options = Options(where="backends.place", url="redis://127.0.0.1:1", timeout=0.05)
        self._backend = RedisBackend(options)
        self._sending = asyncio.run(_made(options))
        hints: Any = SimpleNamespace(expect=lambda *_: None, note=lambda *_: None)
        self._backend._hints = self._sending._hints = hints
        self._stores = Stores(options, Keys("st:"))
        self._walker = Walker(Random(1), PLACES, True, True, True, True, False, True)

    def attempt(self, random: Random) -> str:
        kind = random.randrange(10)
        if kind == 0:
            return self._of_a_store(random)
        if kind == 1:
            return self._of_a_cluster(random)
        self._walker.random = random
        asked = [
            self._walker.draw(0, iter(())).operation for _ in range(random.choice((1, 1, 2, 4)))
        ]
        del self._walker.sent[:]
        if random.random() < 0.3:
            asked = asked[:1] * random.choice((2, 3))  # which are one command
        backend = random.choice((self._backend, self._sending))
        batch = backend._packed(asked)
        replies = [any_reply(random) for _ in batch.commands]
        self.made = asked, replies
        outcomes = backend._outcomes(batch, replies)
        for outcome in outcomes:
            if not isinstance(outcome, operations.Outcome):
                raise AssertionError(f"{outcome!r} is no outcome")
        return type(outcomes[0]).__name__

    def _of_a_store(self, random: Random) -> str:
        """Of one server after the other: a scan, what time it is."""
        asked: Any = random.choice(
            (operations.Scan("work"), operations.Scan("visit", True), operations.Ping(),
             operations.Scan("work", cursor=any_text(random)), operations.Reap(5))
        )  # fmt: skip
        self.made = asked, told = asked, list[Any]()

        def ask(_: float, *commands: Any) -> list[Any]:
            replies = [any_reply(random, _STORES) for _ in commands]
            told.append(replies)
            return replies

        node = SimpleNamespace(ask=ask)
        topology: Any = SimpleNamespace(primaries=lambda: {"": node}, doubt=lambda: None)
        return type(self._stores.execute(asked, topology)).__name__

    def _of_a_cluster(self, random: Random) -> str:
        reply = self.made = any_reply(random, _STORES[-1:])
        if isinstance(reply, Exception):
            there = redirection(reply, ("h", 1))
            outcome_of(reply, "here")
            raised(reply, "here")
            return "redirected" if there else "not redirected"
        try:
            known = ranges(reply, ("h", 1)) if isinstance(reply, list) and reply else []
        except InvalidResponse:
            return "no slots"
        for first, last, _ in known:
            if not 0 <= first <= last < 16_384:
                raise AssertionError(f"slots from {first} to {last}")
        return "slots"


async def _made(options: Options) -> AsyncSendingBackend:
    return AsyncSendingBackend(options)


class Bytes(Target):
    """What comes out of a socket, in pieces."""

    name = "bytes"
    share = 60_000
    may_grow = 4.0

    def attempt(self, random: Random) -> str:
        data = b"".join(resp(random, any_reply(random)) for _ in range(random.choice((1, 1, 3))))
        for _ in range(random.choice((0, 1, 1, 2))):
            data = _spoilt_resp(random, data)
        self.made = data
        replies = Replies()
        sizes = random.choice(((1,), (7, 30), (1 << 20,), (1, 100, 3)))
        if len(data) > 5_000:
            sizes = (1_000, 65_536)
        count = 0
        while data:
            size = min(random.choice(sizes), len(data))
            try:
                count = replies.feed(data[:size], size)
            except InvalidResponse:  # which ends the connection: see wire.py
                return "no RESP"
            data = data[size:]
        replies.taken()
        return "replies" if count else "no reply"


def _spoilt_resp(random: Random, data: bytes) -> bytes:
    kind = random.randrange(4)
    at = random.randint(0, len(data))
    if kind == 0:
        return spoilt(random, data)
    if kind == 1:  # an announcement
        head = random.choice(
            (b"*", b"$", b"~", b"%", b">", b"|", b"=", b"!", b"(", b",", b"#", b"+")
        )
        return data[:at] + head + str(any_number(random)).encode() + b"\r\n" + data[at:]
    if kind == 2:
        depth = random.choice((3, 900, 1_100, 20_000))
        return (
            data[:at] + random.choice((b"*1\r\n", b"%1\r\n:1\r\n", b">1\r\n")) * depth + data[at:]
        )
    return data[:at] + any_bytes(random) + data[at:]


TARGETS = [Answers, Bytes]
