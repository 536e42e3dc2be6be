"""A session as it is stored, and as a script answers with it: a head, its owner, the payload.

``lua/record.lua`` knows the same head. Points in time take six bytes, those that may be
FOREVER seven, which Python reads in pieces.
"""

from __future__ import annotations

from struct import Struct

from sessiontracker.backend import operations

__all__ = ["NotASessionError", "found", "meta"]

_HEAD = Struct(">BQQHIHIHIHIBHIBHIBHIH")
_SIZE = _HEAD.size
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
    (
        _, life, write, v1, v0, b1, b0, u1, u0, s1, s0, i2, i1, i0, n2, n1, n0, e2, e1, e0, size
    ) = _HEAD.unpack_from(text)  # fmt: skip
    updated = u1 << 32 | u0
    end = _SIZE + size
    if len(text) < end:
        raise NotASessionError("this is half a session")
    return operations.Meta(
        life,
        v1 << 32 | v0,
        write,
        # Scripts do not look whether it is text: what they did is done.
        text[_SIZE:end].decode(errors="replace") if size else "",
        b1 << 32 | b0,
        updated,
        s1 << 32 | s0,
        i2 << 48 | i1 << 32 | i0,
        n2 << 48 | n1 << 32 | n0,
        e2 << 48 | e1 << 32 | e0,
        updated if finished else 0,
    ), end
