"""How much a server may announce, and send, before a reader makes room for it.

A reader takes an array's word for how long it is, and 11 bytes for gigabytes. Most of what comes
is whole, and has no array that is long: to see that takes one search. The rest is gone through,
from one announcement to the next.
"""

from __future__ import annotations

import re

from redis.exceptions import InvalidResponse

__all__ = ["MOST_BYTES", "MOST_ELEMENTS", "Bounds"]

MOST_ELEMENTS = 4_000_000
"""Of all arrays in what was asked at once, and all that are in them."""

MOST_BYTES = 1 << 30
"""Of all that was asked at once."""

_LONGEST_LINE = 16_384
_LONG = re.compile(rb"\n[*~%>|]\d{5}").search  # as in a text it may be, which only costs time
_LONG_AT_FIRST = re.compile(rb"[*~%>|]\d{5}").match
_TEXTS = frozenset(b"$=!")
_ARRAYS = frozenset(b"*~%>|")


class Bounds:
    """Of what comes after a question, read by read."""

    __slots__ = ("_bytes", "_elements", "_is_known", "_line", "_skip", "_walks")

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """What comes now answers another question."""
        self._bytes = self._elements = 0
        self._line = b""  # the beginning of an announcement that was cut
        self._skip = 0  # bytes of a text that are still to come
        self._walks = self._is_known = False

    def check(self, data: bytes | bytearray, size: int) -> None:
        """The first ``size`` bytes of ``data`` come next. Raises: InvalidResponse."""
        is_long = _LONG(data, 0, size) or _LONG_AT_FIRST(data, 0, size)
        self._is_known = self._walks or is_long is not None
        if self._is_known:
            self.walk(data, size)
        else:
            self._count(size)

    def note_cut(self, data: bytes | bytearray, size: int) -> None:
        """What was checked last ends within a text or an announcement. Raises: InvalidResponse."""
        if not self._is_known:
            self.walk(data, size)
        self._walks = True

    def note_whole(self) -> None:
        """One that is whole has been read; something of the next one may have come."""
        self._bytes = self._elements = 0

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > MOST_BYTES:
            raise InvalidResponse(f"the server sends more than {MOST_BYTES:,} bytes at once")

    def walk(self, data: bytes | bytearray, size: int) -> None:
        """As `check`, from one announcement to the next. Raises: InvalidResponse."""
        self._count(size)
        if self._line:
            data = self._line + data[:size]
            size = len(data)
            self._line = b""
        at = self._skip
        while at < size:
            end = data.find(b"\r\n", at, size)
            if end < 0:
                if size - at > _LONGEST_LINE:
                    raise InvalidResponse("the server sends a line without an end")
                self._line = bytes(data[at:size])
                break
            kind = data[at]
            at, begin = end + 2, at + 1
            if kind in _TEXTS:
                length = _number(data[begin:end])
                if length > MOST_BYTES:
                    raise InvalidResponse(f"the server announces a text of {length:,} bytes")
                if length >= 0:
                    at += length + 2
            elif kind in _ARRAYS:
                self._elements += max(0, _number(data[begin:end]))
                if self._elements > MOST_ELEMENTS:
                    raise InvalidResponse(f"the server announces {self._elements:,} elements")
        self._skip = max(0, at - size)


def _number(text: bytes | bytearray) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidResponse("the server announces no number") from None
