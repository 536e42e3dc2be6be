"""Inputs that nobody meant: valid ones spoilt, and made-up ones of the right shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec

__all__ = [
    "any_bytes",
    "any_number",
    "any_text",
    "any_value",
    "spoilt",
    "spoilt_text",
    "spoilt_value",
]

_NUMBERS = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**53 - 1, 2**53, 2**63 - 1]
_DEPTHS = [2, 10, 100, 1_000, 1_500, 50_000]
_LONG = [100, 1_000, 70_000]
_PIECES = [
    "stk_", "sti_", "env:", "../", "{}", "{", "%s", "%7B", "\x00", "\r\n", "\n", "\x7f", "\ufeff",
    "\u202e", "é", "漢", "😀", "\ud800", "\udfff", "'", '"', "\\", ";", "--", "://", "@", "~",
    "[", "]", "=", "#", "*", "0", "-1", "1e9", "NaN", " ", "",
]  # fmt: skip
# msgpack: maps, arrays and texts that announce what does not come, extensions, timestamps, …
_MSGPACK = [
    bytes([head]) + tail
    for head, tail in [
        (0xDF, b"\xff" * 4), (0xDD, b"\xff" * 4), (0xDE, b"\xff\xff"), (0xDC, b"\xff\xff"),
        (0xDB, b"\xff" * 4), (0xC6, b"\xff" * 4), (0xC9, b"\xff" * 5), (0xD6, b"\xff" * 5),
        (0xD7, b"\xff" * 9), (0xC7, b"\x0c\xff" + b"\xff" * 12), (0xC1, b""), (0xC0, b""),
        (0xCF, b"\xff" * 8), (0xD3, b"\x80" + b"\0" * 7), (0xCB, b"\x7f\xf8" + b"\0" * 6),
    ]
]  # fmt: skip


def spoilt(random: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """``data`` after one or a few mutations; pieces of the ``others`` may get into it."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        data = random.choice(_MUTATIONS)(random, data, others)
    return data


def _place(random: Random, data: bytes) -> int:
    return random.randint(0, len(data))


def _flip(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return b"\xff"
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]


def _set(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(random, data)
    return (
        data[:at]
        + bytes([random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))])
        + data[at + 1 :]
    )


def _cut(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(random, data)
    return random.choice((data[:at], data[at:]))


def _take_out(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(random, data)
    return data[:at] + data[at + random.randint(1, 16) :]


def _insert(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(random, data)
    return data[:at] + any_bytes(random) + data[at:]


def _repeat(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at, size = _place(random, data), random.randint(1, 64)
    return data[:at] + data[at : at + size] * random.choice((2, 3, 100)) + data[at + size :]


def _splice(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = random.choice(others) if others else data
    return data[: _place(random, data)] + other[_place(random, other) :]


def _number(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A length, a time or an id: written over, in either order of bytes, or in digits."""
    at, size = _place(random, data), random.choice((1, 2, 4, 6, 7, 8))
    value = abs(any_number(random)) & ((1 << 8 * size) - 1)
    written = value.to_bytes(size, random.choice(("big", "little")))
    if random.random() < 0.2:
        written = str(any_number(random)).encode()
    return data[:at] + written + data[at + len(written) :]


def _nest(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at, depth = _place(random, data), random.choice(_DEPTHS)
    opening, inner, closing = random.choice(
        [
            (b"[", b"", b"]"),
            (b'{"a":', b"1", b"}"),
            (b"\x91", b"\xc0", b""),
            (b"\x81\xa1a", b"\xc0", b""),
        ]
    )
    return data[:at] + opening * depth + inner + closing * depth + data[at:]


def _confuse(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A value of another type in the place of whatever is there."""
    at = _place(random, data)
    value = any_value(random, 2)
    encode = random.choice((msgspec.msgpack.encode, msgspec.json.encode))
    try:
        piece = encode(value)
    except (TypeError, ValueError, OverflowError):
        piece = random.choice(_MSGPACK)
    if random.random() < 0.3:
        piece = random.choice(_MSGPACK)
    return data[:at] + piece + data[at + random.randint(0, 9) :]


_MUTATIONS: list[Callable[[Random, bytes, Sequence[bytes]], bytes]] = [
    _flip, _flip, _set, _cut, _take_out, _insert, _repeat, _splice, _number, _nest, _confuse,
    _confuse,
]  # fmt: skip


# Texts -----------------------------------------------------------------------


def spoilt_text(random: Random, text: str, others: Sequence[str] = ()) -> str:
    """As `spoilt`, of a text, which may be none that can be encoded then."""
    for _ in range(random.choice((1, 1, 2, 4))):
        at, size = random.randint(0, len(text)), random.choice((0, 0, 1, 1, 4, 20))
        kind = random.randrange(5)
        if kind == 0:
            text = text[:at] + any_text(random) + text[at + size :]
        elif kind == 1:
            text = text[:at] + text[at : at + size] * random.choice((2, 50)) + text[at + size :]
        elif kind == 2:
            text = text[:at] + text[at + size :]
        elif kind == 3 and others:
            other = random.choice(others)
            text = text[:at] + other[random.randint(0, len(other)) :]
        else:
            pair = random.choice(("[]", "{}", "()", '""', "''"))
            depth = random.choice(_DEPTHS[:4] if random.random() < 0.9 else _DEPTHS)
            text = text[:at] + pair[0] * depth + pair[1] * random.choice((0, depth)) + text[at:]
    return text


def any_text(random: Random) -> str:
    kind = random.randrange(6)
    if kind == 0:
        return chr(random.randrange(0x110000))
    if kind == 1:
        return random.choice(_PIECES) * random.choice((1, 1, 2, random.choice(_LONG)))
    if kind == 2:
        return str(any_number(random))
    return "".join(random.choice(_PIECES) for _ in range(random.randint(0, 6)))


def any_bytes(random: Random) -> bytes:
    kind = random.randrange(4)
    if kind == 0:
        return any_text(random).encode(errors="surrogatepass")
    if kind == 1:
        return random.choice(_MSGPACK)
    return random.randbytes(random.choice((0, 1, 2, 8, 40)))


# Values ----------------------------------------------------------------------


def any_number(random: Random) -> int:
    number = random.choice(_NUMBERS) + random.choice((0, 0, 1, -1))
    if random.random() < 0.1:
        number = random.getrandbits(random.choice((8, 32, 64, 70, 2_000)))
    return -number if random.random() < 0.2 else number


def any_value(random: Random, depth: int = 3) -> Any:
    """Plain data, of whatever type."""
    kind = random.randrange(9 if depth else 7)
    if kind == 0:
        return random.choice((None, True, False))
    if kind == 1:
        return any_number(random)
    if kind == 2:
        return random.choice((0.0, -0.0, 1e308, float("nan"), float("inf"), random.random()))
    if kind in (3, 4):
        return any_text(random)
    if kind == 5:
        return any_bytes(random)
    if kind == 6:
        return random.choice(([], {}, "", b""))
    if kind == 7:
        return [any_value(random, depth - 1) for _ in range(random.randint(0, 4))]
    keys = [any_text(random) for _ in range(random.randint(0, 4))]
    return {key: any_value(random, depth - 1) for key in keys}


def spoilt_value(random: Random, value: Any) -> Any:
    """Nested plain data with something in it replaced, dropped, doubled or added."""
    if random.random() < 0.15:
        return any_value(random)
    if isinstance(value, dict) and value:
        key = random.choice(list(value))
        kind = random.randrange(4)
        rest = {name: inner for name, inner in value.items() if name != key}
        if kind == 0:
            return rest
        if kind == 1:
            return {**rest, any_text(random): value[key]}
        if kind == 2:
            return {**value, any_text(random): any_value(random)}
        return {**value, key: spoilt_value(random, value[key])}
    if isinstance(value, list | tuple) and value:
        items, at = list(value), random.randrange(len(value))
        kind = random.randrange(4)
        if kind == 0:
            del items[at]
        elif kind == 1:
            items.insert(at, any_value(random))
        else:
            items[at] = spoilt_value(random, items[at])
        return items
    if isinstance(value, str) and random.random() < 0.5:
        return spoilt_text(random, value)
    if isinstance(value, bytes) and random.random() < 0.7:
        return spoilt(random, value)
    return any_value(random)
