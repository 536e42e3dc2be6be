"""What is exchanged over a connection. By hand; ``_async`` has its twin of an event loop.

redis-py makes the connection, authenticates and closes it. In between, bytes go past redis-py,
which would spend more on one command than all else costs.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from ..replies import Replies
from .runtime import Connection, drop, is_outdated, is_silent, socket_of

__all__ = ["Wire"]

_BUFFER = 65_536


class Wire:
    """A connection of redis-py's, for one exchange at a time; ended by whatever breaks one."""

    __slots__ = ("_buffer", "_replies", "_socket", "_timeout", "connection", "lost")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._replies = Replies()
        self._socket = socket_of(connection)
        self._buffer = bytearray(_BUFFER)
        self._timeout = 0.0
        self.lost = False
        """Whether it has ended."""

    def is_usable(self) -> bool:
        """Whether it is idle, and still there as far as one can see."""
        return not (self.lost or is_outdated(self.connection)) and is_silent(self.connection)

    def exchange(self, data: bytes, count: int, timeout: float) -> list[Any]:
        """Send ``data``, and return its ``count`` replies; errors are replies, too.

        They are fewer where the connection is lost, or after ``timeout`` seconds; it must be
        dropped then. So it must if an exception strikes.
        """
        until = monotonic() + timeout
        self.lost = True
        received = 0
        try:
            self._limit(timeout)
            self._socket.sendall(data)
            while received < count:
                size = self._socket.recv_into(self._buffer)
                if size == 0:
                    break
                received = self._replies.feed(self._buffer, size)
                if received < count:
                    left = until - monotonic()
                    if left <= 0:
                        break
                    self._limit(left)
        except Exception:  # lost, or time is up, or this is no Redis
            pass
        replies = self._replies.taken()
        if received > count:  # there is no telling whose replies are whose
            return []
        self.lost = received < count
        return replies

    def _limit(self, timeout: float) -> None:
        """How long the socket may wait, which costs a call of the system to say."""
        if timeout != self._timeout:
            self._timeout = timeout
            self._socket.settimeout(timeout)

    def drop(self) -> None:
        """Close it, whatever is under way."""
        self.lost = True
        drop(self.connection)
