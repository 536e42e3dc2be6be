"""What a Redis holds under our keys: strings, hashes, queues, tokens and names that are spoilt."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from redis import Redis

from redis_servers import Server

from .mutations import any_bytes, any_number, spoilt
from .stored import Contents, Stored

__all__ = ["TARGETS"]

_PREFIX = "fuzz:"
_LOCK = 92  # bytes of a lock's head: see lua/base.lua
_FILL = 64  # of a session's
_NAME = b"\0\x05web-1\0\x0bfuzz:wake:x"  # see lua/lock.lua
_OVERLAPPING = b"\xff" * 131_200  # a name begins wherever one looks


class RedisStore(Stored):
    """A server of the tests' own."""

    name = "redis"
    share = 40_000
    few = 25

    def open(self) -> None:
        self._server = Server("valkey").start()
        self._left.callback(self._server.stop)
        self._client = self.using(Redis(port=self._server.port))
        super().open()

    def config(self) -> dict[str, Any]:
        return {"use": "redis", "url": self._server.url, "prefix": _PREFIX}

    def contents(self) -> Contents:
        names = sorted(self._client.keys(f"{_PREFIX}*"))
        with self._client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.type(name)
            kinds = pipe.execute() if names else []
            for name, kind in zip(names, kinds, strict=True):
                if kind == b"hash":
                    pipe.hgetall(name)
                elif kind == b"string":
                    pipe.get(name)
                else:
                    pipe.dump(name)
            values = pipe.execute() if names else []
        return dict(zip(names, values, strict=True))

    def put(self, contents: Contents) -> None:
        with self._client.pipeline(transaction=False) as pipe:
            pipe.flushall()
            for name, value in contents.items():
                if isinstance(value, dict):
                    pipe.hset(name, mapping=value)
                elif isinstance(value, list):
                    pipe.rpush(name, *value)
                elif isinstance(value, set):
                    pipe.sadd(name, *value)
                else:
                    pipe.set(name, value)
            pipe.execute()

    def spoil(self, random: Random, contents: Mapping[Any, Any]) -> Contents:
        values = dict(contents)
        for _ in range(random.choice((1, 1, 1, 2))):
            name = random.choice(list(values))
            kind = random.randrange(14)
            if kind == 0:  # of another type altogether
                values[name] = random.choice(([b"x"], {b"a"}, b"x", {b"a": b"b"}))
            elif kind == 1:  # what no name of ours is
                mark = random.choice((b"{\xff\xfe}", b"{%zz}", b"}{", b"{", b"{a}{b}", b"{}"))
                place = random.choice((b"work:", b"visit:"))
                ending = random.choice((b":a", b":f", b":ah", b":fh", b":x"))
                values[_PREFIX.encode() + place + mark + ending] = values[name]
            elif kind == 2:  # what belongs elsewhere
                values[name] = values[random.choice(list(values))]
            elif kind == 3:
                del values[name]
                if not values:
                    return dict(contents)
            elif isinstance(values[name], dict):
                values[name] = _spoil_hash(random, values[name])
            elif isinstance(values[name], bytes):
                values[name] = _spoil_text(random, values[name])
        return values


def _spoil_hash(random: Random, fields: dict[bytes, bytes]) -> dict[bytes, bytes]:
    fields = dict(fields)
    field = random.choice(list(fields))
    kind = random.randrange(6)
    if kind == 0:
        fields[any_bytes(random)] = fields[field]
    elif kind == 1 and len(fields) > 1:
        del fields[field]
    elif kind == 2:
        fields[field] = fields[random.choice(list(fields))]
    else:
        fields[field] = _spoil_text(random, fields[field])
    return fields


def _spoil_text(random: Random, text: bytes) -> bytes:
    kind = random.randrange(5)
    if kind == 0 or len(text) < _FILL:
        return spoilt(random, text)
    if text[0] == 3 and len(text) >= _LOCK:
        return _spoil_lock(random, text, kind)
    if text[0] == 1 and kind < 3:  # a number in a session's head
        at, size = random.choice(
            ((1, 8), (9, 8), (17, 6), (23, 6), (35, 6), (41, 7), (48, 7), (62, 2))
        )
        return text[:at] + _number(random, size) + text[at + size :]
    if text[0] == 4 and kind < 3:
        return _spoil_digits(random, text, 19)
    return spoilt(random, text)


def _number(random: Random, size: int) -> bytes:
    return (abs(any_number(random)) % 256**size).to_bytes(size, "big")


def _spoil_digits(random: Random, text: bytes, at: int) -> bytes:
    """A token, or a version of what is shared, that is none."""
    digits = random.choice(
        (b"9" * 19, b"0" * 19, b"-" + b"1" * 18, b"1e+15" + b" " * 14, b"\xff" * 19, b" " * 19,
         b"9223372036854775808", b"nan" + b" " * 16, b"0x" + b"f" * 17, random.randbytes(19))
    )  # fmt: skip
    return text[:at] + digits + text[at + 19 :]


def _spoil_lock(random: Random, text: bytes, kind: int) -> bytes:
    size = int.from_bytes(text[_LOCK - 2 : _LOCK], "big")
    queue = text[_LOCK + size :]
    if kind == 1:
        return _spoil_digits(random, text, random.choice((1, 64)))
    if kind == 2:
        at, width = random.choice(((20, 7), (27, 7), (34, 8), (50, 6), (56, 8), (83, 7), (90, 2)))
        return text[:at] + _number(random, width) + text[at + width :]
    if random.random() < 0.2:
        queue = spoilt(random, queue)
    else:
        queue = _any_queue(random)
    return text[: _LOCK + size] + queue


def _any_queue(random: Random) -> bytes:
    """One that is well-formed as far as nobody counts, with numbers that may be none of its."""
    waiters = bytearray()
    for _ in range(random.choice((0, 1, 2, 50))):
        ticket = random.choice((b"ticket!!", bytes(8), random.randbytes(8)))
        place = random.choice((0, 0, len(_NAME), random.randrange(100), 2**32 - 1))
        times = random.choice((1_000, 1_800_000_000_000)), random.choice((1_800_000_000_000, 0))
        numbers = [_number(random, 7) if random.random() < 0.2 else at.to_bytes(7) for at in times]
        waiters += ticket + b"".join(numbers) + place.to_bytes(4)
    names = _NAME * random.choice((0, 1, 1, 2)) if random.random() < 0.95 else _OVERLAPPING
    size = random.choice((len(names), len(names), random.randrange(100), 2**32 - 1))
    return _number(random, 7) + _number(random, 7) + size.to_bytes(4) + names + waiters


TARGETS = [RedisStore]
