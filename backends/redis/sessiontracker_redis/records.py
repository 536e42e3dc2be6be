"""A session as it is stored, and as a script answers with it: a head, its owner, the payload.

``lua/record.lua`` knows the same head. Points in time take six bytes, those that may be FOREVER
seven. Python reads each as the end of eight, which overlap, so that it reads twice.
"""

from __future__ import annotations

from struct import Struct

from sessiontracker.backend import operations

__all__ = ["NotASessionError", "found", "meta"]

# The version of the format, life, version, updated, idle and expires; write, started, slid, ends
# and how long the owner is.
_ODD, _EVEN = Struct(">BQ6xQ4xQ5xQ6xQ2x"), Struct(">9xQ4xQ4xQ6xQ7xH")
_SIZE = _ODD.size
_SIX, _SEVEN = (1 << 48) - 1, (1 << 56) - 1  # bytes
_VERSION = 1


class NotASessionError(Exception):
    """What is stored is no session of ours."""


def meta(text: bytes, *, finished: bool = False) -> operations.Meta:
    """The head of ``text``. A finished session was finished when it was updated last."""
    return _parsed(text, finished)[0]


def found(text: bytes, *, finished: bool = False) -> operations.Found:
    """The whole session ``text``."""
    head, end = _parsed(text, finished)
    return operations.Found(head, text[end:])


def _parsed(text: bytes, finished: bool) -> tuple[operations.Meta, int]:
    if len(text) < _SIZE or text[0] != _VERSION:
        raise NotASessionError("this is no session")
    _, life, version, updated, idle, expires = _ODD.unpack_from(text)
    write, started, slid, ends, size = _EVEN.unpack_from(text)
    updated &= _SIX
    end = _SIZE + size
    if len(text) < end:
        raise NotASessionError("this is half a session")
    return operations.Meta(
        life,
        version & _SIX,
        write,
        # Scripts do not look whether it is text: what they did is done.
        text[_SIZE:end].decode(errors="replace") if size else "",
        started & _SIX,
        updated,
        slid & _SIX,
        idle & _SEVEN,
        ends & _SEVEN,
        expires & _SEVEN,
        updated if finished else 0,
    ), end
