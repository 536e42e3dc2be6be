"""A server that lies: it greets like a Redis, or not even that, and says what it likes."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from random import Random
from typing import Any

import hiredis

from listening import Listener
from sessiontracker import AsyncSessionTracker, SessionTracker

from .answers import any_reply, resp
from .harness import Target
from .mutations import any_bytes, any_number, spoilt
from .names import CALLS, OWNERS_CALLS, Visit, Work

__all__ = ["TARGETS"]

_HELLO: Any = {
    b"server": b"redis", b"version": b"7.2.0", b"proto": 3, b"id": 7, b"mode": b"standalone",
    b"role": b"master", b"modules": [],
}  # fmt: skip
_INFO = b"redis_version:7.2.0\r\nrun_id:abc\r\nrole:master\r\ncluster_enabled:0\r\n"
_GREETING: dict[bytes, Any] = {
    b"HELLO": _HELLO, b"CLIENT": b"OK", b"AUTH": b"OK", b"SELECT": b"OK", b"PING": b"PONG",
    b"INFO": _INFO, b"SCRIPT": b"0" * 40, b"SUBSCRIBE": [b"subscribe", b"x", 1],
    b"TIME": [b"1800000000", b"7"],
}  # fmt: skip
_ENDLESS = 32 << 20
_TIMEOUT = 0.25

Tell = Callable[[list[bytes]], bytes]


class Liar(Listener):
    """Answers each command with what ``tell`` makes of it, in the ``manner`` of an input."""

    def __init__(self) -> None:
        self.tell: Tell = lambda command: b"+OK\r\n"
        self.manner = "whole"
        super().__init__(self._lie)

    def _lie(self, connection: socket.socket) -> None:
        tell, manner = self.tell, self.manner
        reader: Any = hiredis.Reader(notEnoughData=None)
        connection.settimeout(5)
        while data := connection.recv(65_536):
            reader.feed(data)
            answer = b""
            while (command := reader.gets()) is not None:
                answer += tell(command)
            self._send(connection, answer, manner)
            if manner == "cut":
                return

    @staticmethod
    def _send(connection: socket.socket, answer: bytes, manner: str) -> None:
        if manner == "silent":
            return
        if manner == "cut":
            answer = answer[: len(answer) // 2]
        if manner == "endless" and answer:
            sent = 0
            while sent < _ENDLESS:
                sent += connection.send(answer * (65_536 // len(answer) + 1))
        if manner == "drip":
            for byte in answer[:400]:
                connection.send(bytes([byte]))
                time.sleep(0.002)
            return
        connection.sendall(answer)


class Lying(Target):
    """Trackers of both kinds in front of it."""

    name = "lying"
    share = 6_000
    few = 4
    patience = 15.0
    may_grow = 16.0

    def open(self) -> None:
        self._liar = Liar()
        self._left.callback(self._liar.close)

    def attempt(self, random: Random) -> str:
        manners = ("whole", "whole", "whole", "whole", "cut", "drip", "silent", "endless")
        weights = (10, 10, 10, 10, 4, 1, 1, 1)
        [self._liar.manner] = random.choices(manners, weights)
        lies = random.choice(("always", "later", "later", "later", "garbage"))
        told: list[bytes] = []
        seed = random.random()
        self._liar.tell = _teller(Random(seed), lies, told)
        kind = random.choice((Work, Visit))
        calls = {**CALLS, **OWNERS_CALLS} if kind is Visit else CALLS
        call = random.choice(list(calls))
        protocol = random.choice((2, 3, 3))
        self.made = self._liar.manner, lies, call, protocol, told
        config = {
            "backends": {
                "place": {
                    "use": "redis", "url": f"redis://127.0.0.1:{self._liar.port}",
                    "timeout": _TIMEOUT, "protocol": protocol,
                }
            },
            "operation_timeout": 2 * _TIMEOUT,
            "defaults": {"lock_wait": "10ms"},
        }  # fmt: skip
        named = {"key": "one"} | ({"owner": "alice"} if kind is Visit else {})
        if random.random() < 0.5:
            with SessionTracker(config) as tracker:
                calls[call](tracker, kind, named)
        else:
            asyncio.run(_call(config, call, kind, named))
        return call


async def _call(config: dict[str, Any], call: str, kind: Any, named: dict[str, Any]) -> None:
    """As `CALLS`, of an event loop."""
    async with AsyncSessionTracker(config) as tracker:
        key = named.pop("key")
        made = kind(key=key, **named)
        if call in ("start", "get_or_start"):
            await getattr(tracker, call)(made)
        elif call == "lock":
            async with tracker.lock(kind, key, **named) as lock:
                lock.check()
        elif call == "get_locked":
            async with tracker.get_locked(kind, key, **named) as locked:
                locked.text = "changed"
        elif call == "get_many":
            await tracker.get_many(kind, [key, "other"], **named)
        elif call == "scan":
            async for _ in tracker.scan(kind):
                pass
        elif call in ("update", "rotate", "finish_read"):
            session = await tracker.get(kind, key, **named)
            await getattr(tracker, call.partition("_")[0])(session)
        elif call == "edit_shared":
            async with tracker.edit_shared(kind, "alice") as shared:
                shared["n"] = 1
        elif call in OWNERS_CALLS:
            await getattr(tracker, call)(kind, "alice")
        else:
            await getattr(tracker, call)(kind, key, **named)


def _teller(random: Random, lies: str, told: list[bytes]) -> Tell:
    def tell(command: Any) -> bytes:
        name = bytes(command[0]).upper() if isinstance(command, list) and command else b""
        if lies == "later" and name in _GREETING:
            return resp(random, _GREETING[name])
        if lies == "garbage":
            answer = any_bytes(random) or b"\r\n"
        else:
            answer = resp(random, any_reply(random))
            if random.random() < 0.2:
                answer = spoilt(random, answer)
            if random.random() < 0.1:
                head = bytes([random.choice(b"*$~%>|=!")])
                answer = head + str(any_number(random)).encode() + b"\r\n" + answer
        told.append(answer[:2_000])
        return answer

    return tell


TARGETS = [Lying]
