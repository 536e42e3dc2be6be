"""A session as it is stored, and as a script answers with it: a head, its owner, the payload.

``lua/record.lua`` knows the same head. Points in time take six bytes, those that may be FOREVER
seven. Python reads each as the end of eight, which overlap, so that it reads twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from sessiontracker.backend import operations

__all__ = ["NotASessionError", "found", "found_all", "meta", "metas"]

# The version of the format, life, version, updated, idle and expires; write, started, slid, ends
# and how long the owner is.
_ODD, _EVEN = Struct(">BQ6xQ4xQ5xQ6xQ2x"), Struct(">9xQ4xQ4xQ6xQ7xH")
_SIZE = _ODD.size
_SIX, _SEVEN = (1 << 48) - 1, (1 << 56) - 1  # bytes
# Which bytes of the eight are not the number's own, but of the one before.
_BEFORE_ODD, _BEFORE_EVEN = (15, 16, 27, 28, 40, 54), (21, 22, 33, 34, 47)
_VERSION = 1


class NotASessionError(Exception):
    """What is stored is no session of ours."""


def meta(text: bytes, *, finished: bool = False) -> operations.Meta:
    """The head of ``text``. A finished session was finished when it was updated last."""
    if len(text) < _SIZE or text[0] != _VERSION:
        raise NotASessionError("this is no session")
    _, life, version, updated, idle, expires = _ODD.unpack_from(text)
    write, started, slid, ends, size = _EVEN.unpack_from(text)
    owner = ""
    if size:
        said = text[_SIZE : _SIZE + size]
        if len(said) < size:
            raise NotASessionError("this is half a session")
        owner = str(said, "utf-8", "replace")  # no script looked whether it is text
    updated &= _SIX
    return operations.Meta(
        life,
        version & _SIX,
        write,
        owner,
        started & _SIX,
        updated,
        slid & _SIX,
        idle & _SEVEN,
        ends & _SEVEN,
        expires & _SEVEN,
        updated if finished else 0,
    )


def metas(heads: Sequence[bytes], *, finished: bool = False) -> list[operations.Meta | None]:
    """As `meta`, of many; None of what is no session. Those of one owner are read all at once."""
    tails = {head[_SIZE - 2 :] for head in heads}
    tail = tails.pop() if len(tails) == 1 else b""
    if len(tail) < 2 or len(tail) - 2 != tail[0] << 8 | tail[1]:
        return [_meta_or_none(head, finished) for head in heads]
    fixed = b"".join([head[:_SIZE] for head in heads])
    known = _metas(fixed, str(tail[2:], "utf-8", "replace"), finished)
    return [_meta_or_none(head, finished) for head in heads] if known is None else [*known]


def _metas(fixed: bytes, owner: str, finished: bool) -> list[operations.Meta] | None:
    """Of many sessions of one ``owner``, by what all heads have, side by side; None if one of them
    is none."""
    count = len(fixed) // _SIZE
    if len(fixed) % _SIZE or fixed[::_SIZE] != bytes([_VERSION]) * count:
        return None
    odd, even, zeros = bytearray(fixed), bytearray(fixed), bytes(count)
    for numbers, places in ((odd, _BEFORE_ODD), (even, _BEFORE_EVEN)):
        for place in places:
            numbers[place::_SIZE] = zeros
    new = operations.Meta
    return [
        new(life, version, write, owner, started, updated, slid, idle, ends, expires,
            updated if finished else 0)
        for (_, life, version, updated, idle, expires), (write, started, slid, ends, _)
        in zip(_ODD.iter_unpack(odd), _EVEN.iter_unpack(even), strict=True)
    ]  # fmt: skip


def _meta_or_none(head: bytes, finished: bool) -> operations.Meta | None:
    try:
        return meta(head, finished=finished)
    except NotASessionError:
        return None


def found(text: bytes, *, finished: bool = False) -> operations.Found:
    """The whole session ``text``."""
    head = meta(text, finished=finished)
    return operations.Found(head, text[_SIZE + (text[_SIZE - 2] << 8 | text[_SIZE - 1]) :])


def found_all(texts: Sequence[bytes]) -> list[operations.Found] | None:
    """As `found`, of many that are nobody's, which costs half as much; None: look at each."""
    fixed = b"".join([text[:_SIZE] for text in texts])
    count, sizes = len(texts), {*fixed[_SIZE - 2 :: _SIZE], *fixed[_SIZE - 1 :: _SIZE]}
    known = _metas(fixed, "", finished=False) if sizes == {0} else None
    if known is None or len(known) < count:
        return None
    new = operations.Found
    return [new(meta, text[_SIZE:]) for meta, text in zip(known, texts, strict=True)]
