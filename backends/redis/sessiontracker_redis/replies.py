"""Replies, out of the bytes that a server sends."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any, cast

import hiredis
from redis._parsers.base import BaseParser
from redis.exceptions import InvalidResponse, ResponseError, TimeoutError

from .bounds import Bounds

__all__ = ["Bounded", "Replies", "error_of"]

_MORE = object()
_NEW_LINE = 10  # what every reply ends with
_PushNotification: Any = cast("Any", hiredis).PushNotification
_parse_error: Callable[[str], Exception] = cast("Any", BaseParser).parse_error


def error_of(text: str) -> Exception:
    """redis-py's exception of what a server said. It takes some apart, and raises where it cannot:
    if that happens twice in a reply, hiredis ends the process."""
    try:
        return _parse_error(text)
    except Exception:
        return ResponseError(text)


class Replies:
    """Those that are whole. What the server pushes unasked is passed over; an error is a reply
    like any other."""

    __slots__ = ("_bounds", "_reader", "_whole")

    def __init__(self) -> None:
        self._whole: list[Any] = []
        self._bounds = Bounds()
        self._reader = cast("Any", hiredis).Reader(
            protocolError=InvalidResponse, replyError=error_of, notEnoughData=_MORE
        )

    def feed(self, data: bytes | bytearray, size: int) -> int:
        """How many replies there are with the first ``size`` bytes of ``data``.

        Raises: InvalidResponse, from no Redis.
        """
        reader, whole = self._reader, self._whole
        self._bounds.check(data, size)
        try:
            reader.feed(data, 0, size)
            while (reply := reader.gets()) is not _MORE:
                if type(reply) is not _PushNotification:
                    whole.append(reply)
        except MemoryError:  # for an announcement where no line begins, which a reader takes
            raise InvalidResponse("the server announces more than there is memory for") from None
        except TypeError:  # a key that has no hash
            raise InvalidResponse("the server sends a map whose keys cannot be keys") from None
        if reader.has_data() or data[size - 1] != _NEW_LINE:  # it knows the first byte
            self._bounds.note_cut(data, size)
        return len(whole)

    def taken(self) -> list[Any]:
        """The replies, which are gone then."""
        whole, self._whole = self._whole, []
        self._bounds.begin_anew()
        return whole


class Bounded:
    """The ``reader`` of redis-py's, for what is exchanged when a connection is made: each read is
    bounded, and there are so many seconds for all of it. ``more`` is what it says of a reply that
    is not whole.
    """

    def __init__(self, reader: Any, more: object, seconds: float | None) -> None:
        self._reader = reader
        self._more = more
        self._bounds = Bounds()
        self._until = inf if seconds is None else monotonic() + seconds

    def take_your_time(self) -> None:
        """From now on somebody listens, whom nobody has to answer."""
        self._until = inf

    def feed(self, data: bytes | bytearray, offset: int = 0, size: int | None = None) -> None:
        """Raises: InvalidResponse, TimeoutError."""
        size = len(data) if size is None else size
        if monotonic() > self._until:
            raise TimeoutError("the server took too long to greet")
        self._bounds.walk(data, size)
        self._reader.feed(data, offset, size)

    def gets(self, *decode: bool) -> Any:
        reply = self._reader.gets(*decode)
        if reply is not self._more:
            self._bounds.note_whole()
        return reply

    def has_data(self) -> Any:
        return self._reader.has_data()
