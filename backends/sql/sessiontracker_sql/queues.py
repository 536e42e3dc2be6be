"""The queue for a lock, as a column: one record after the other, so that a server can take the
first from it by itself."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from sessiontracker.backend import operations, state

__all__ = ["HOLDER_AT", "NUMBERS", "decode_queue", "encode_queue"]

_RECORD = Struct(">QqqI")
NUMBERS = {"ticket": (0, 8), "seen": (8, 8), "every": (16, 8), "size": (24, 4)}
"""Where in a record they are, and of how many bytes: who waits, when it last looked, how often it
looks, and the size of its holder's name, which follows."""
HOLDER_AT = _RECORD.size


def encode_queue(queue: Sequence[state.Waiter]) -> bytes | None:
    """None if nobody waits."""
    parts: list[bytes] = []
    for waiter in queue:
        holder = waiter.holder.encode()
        every = min(waiter.every, operations.FOREVER)
        parts.append(_RECORD.pack(waiter.ticket, waiter.seen, every, len(holder)))
        parts.append(holder)
    return b"".join(parts) or None


def decode_queue(text: bytes | None) -> tuple[state.Waiter, ...]:
    """Raises: ValueError for what is no queue."""
    if text is None:
        return ()
    if not text:
        raise ValueError("a column holds an empty queue")
    waiters: list[state.Waiter] = []
    at, end = 0, len(text)
    while at < end:
        begin = at + HOLDER_AT
        if begin > end:
            raise ValueError("a column holds a queue that was cut off")
        ticket, seen, every, size = _RECORD.unpack_from(text, at)
        at = begin + size
        if at > end:
            raise ValueError("a column holds a queue that was cut off")
        waiters.append(state.Waiter(ticket, text[begin:at].decode(), every, seen))
    return tuple(waiters)
