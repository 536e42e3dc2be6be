"""How much a server may announce, and send, before a reader makes room for it.

A reader takes an array's word for how long it is, and 11 bytes for gigabytes. Most of what comes
announces nothing that is long: to see that takes one search. The rest is gone through, from one
announcement to the next; where one ends within a read is not known, it is gone through from the
last read before which that was.
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
_MOST_KEPT = 1 << 22  # bytes
_LONG = re.compile(rb"\n[*~%>|]\d{5}").search  # as in a text it may be
_REACH = 6  # bytes of it that may be on either side of a cut
_TEXTS = frozenset(b"$=!")
_ARRAYS = frozenset(b"*~%>|")


class Bounds:
    """Of what comes after a question, read by read."""

    __slots__ = (
        "_before", "_bytes", "_elements", "_is_cut", "_is_known", "_kept", "_kept_bytes", "_line",
        "_line_bytes", "_skip",
    )  # fmt: skip

    def __init__(self) -> None:
        self.begin_anew()
        self._forget()

    def begin_anew(self) -> None:
        """What comes now answers another question."""
        self._bytes = self._elements = 0
        self._line = b""  # the beginning of an announcement that was cut
        self._skip = 0  # bytes of a text that are still to come
        self._is_cut = False

    def _forget(self) -> None:
        """What was cut is whole."""
        self._is_known = False
        self._kept: list[bytes] = []  # reads that were not gone through, the last of them cut
        self._kept_bytes = self._line_bytes = 0
        self._before = b"\n"

    def check(self, data: bytes | bytearray, size: int) -> None:
        """The first ``size`` bytes of ``data`` come next. Raises: InvalidResponse."""
        self._bytes += size
        if self._bytes > MOST_BYTES:
            raise _too_much()
        if self._is_cut:
            self._is_cut = False
        elif self._is_known or self._kept:  # an announcement comes next
            self._forget()
        if self._is_known:
            self._walk(data, size)
        elif _LONG(data, 0, size) or (
            (self._kept or (size and data[0] in _ARRAYS))
            and _LONG(self._before + data[: min(size, _REACH)])
        ):
            self._go_through(data, size)

    def note_cut(self, data: bytes | bytearray, size: int) -> None:
        """What was checked last ends within a text or an announcement. Raises: InvalidResponse."""
        self._is_cut = True
        if self._is_known:
            return
        newline = data.rfind(b"\n", 0, size)
        self._line_bytes = size - newline - 1 + (self._line_bytes if newline < 0 else 0)
        self._kept_bytes += size
        if self._line_bytes > _LONGEST_LINE or self._kept_bytes > _MOST_KEPT:
            self._go_through(data, size)
            return
        self._kept.append(bytes(data[:size]))
        self._before = (self._before + self._kept[-1][-_REACH:])[-_REACH:]

    def note_whole(self) -> None:
        """One that is whole has been read; something of the next one may have come."""
        self._bytes = self._elements = 0

    def _go_through(self, data: bytes | bytearray, size: int) -> None:
        """``data`` and what was kept before it."""
        self._is_known = True
        for read in self._kept:
            self._walk(read, len(read))
        self._kept.clear()
        self._walk(data, size)

    def walk(self, data: bytes | bytearray, size: int) -> None:
        """As `check`, from one announcement to the next. Raises: InvalidResponse."""
        self._bytes += size
        if self._bytes > MOST_BYTES:
            raise _too_much()
        self._walk(data, size)

    def _walk(self, data: bytes | bytearray, size: int) -> None:
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


def _too_much() -> InvalidResponse:
    return InvalidResponse(f"the server sends more than {MOST_BYTES:,} bytes at once")


def _number(text: bytes | bytearray) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidResponse("the server announces no number") from None
