"""Replies, out of the bytes that a server sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import hiredis
from redis.exceptions import InvalidResponse

__all__ = ["Replies"]

_MORE = object()
_PushNotification: Any = cast("Any", hiredis).PushNotification


class Replies:
    """Those that are whole. What the server pushes unasked is passed over.

    ``error`` makes an exception of what the server said; it is a reply like any other.
    """

    __slots__ = ("_reader", "_whole")

    def __init__(self, error: Callable[[str], Exception]) -> None:
        self._whole: list[Any] = []
        self._reader = cast("Any", hiredis).Reader(
            protocolError=InvalidResponse, replyError=error, notEnoughData=_MORE
        )

    def feed(self, *data: Any) -> int:
        """How many replies there are with ``data`` (or a buffer, an offset and a length).

        Raises: InvalidResponse, from no Redis.
        """
        reader, whole = self._reader, self._whole
        reader.feed(*data)
        while (reply := reader.gets()) is not _MORE:
            if type(reply) is not _PushNotification:
                whole.append(reply)
        return len(whole)

    def taken(self) -> list[Any]:
        """The replies, which are gone then."""
        whole, self._whole = self._whole, []
        return whole
