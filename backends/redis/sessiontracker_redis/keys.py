"""The names of Redis keys: one hash tag a slot, which braces in a user's key cannot split."""

from __future__ import annotations

import re
from urllib.parse import unquote

from sessiontracker.backend import operations

__all__ = ["Keys", "tag_of"]

_ACTIVE, _FINISHED, _LOCK = ":a", ":f", ":l"
_OWNED = ":ah", ":fh", ":lh", ":ap", ":fp", ":o"
_ODD = re.compile("[%{}]")
_GLOB = re.compile(r"([*?\[\]\\])")


def _quoted(text: str) -> str:
    """``text`` without braces; most texts are as they were."""
    if "{" not in text and "}" not in text and "%" not in text:
        return text
    return _ODD.sub(lambda found: f"%{ord(found[0]):02X}", text)


def tag_of(address: operations.Address) -> str:
    """What a cluster hashes of the names of ``address``'s keys."""
    return _quoted(address.scope or address.key)


class Keys:
    """Under ``prefix``: ``type:{key}:a`` is the active session, ``:f`` the finished one, ``:l`` the
    lock.

    Of an owner, ``type:{scope}:ah`` has the heads of the active sessions, ``:fh`` those of the
    finished ones, ``:lh`` the locks, ``:ap`` and ``:fp`` the payloads; ``:o`` is what they share.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = _quoted(prefix)
        self._types: dict[str, str] = {}  # what names of a type begin with

    def of(self, address: operations.Address) -> tuple[str, str, str]:
        """The active session's, the finished one's and the lock's."""
        key = address.key
        if "{" in key or "}" in key or "%" in key:
            key = _quoted(key)
        name = f"{self._types.get(address.type) or self._beginning(address.type)}{{{key}}}"
        return name + _ACTIVE, name + _FINISHED, name + _LOCK

    def of_owner(self, address: operations.Address) -> tuple[str, ...]:
        """All of the owner's at ``address``."""
        name = f"{self._beginning(address.type)}{{{_quoted(address.scope)}}}"
        return tuple(name + ending for ending in _OWNED)

    def _beginning(self, type: str) -> str:
        known = self._types.get(type)
        if known is None:
            known = self._types[type] = f"{self._prefix}{_quoted(type)}:"
        return known

    def pattern(self, type: str, *, finished: bool) -> str:
        """What SCAN is to match for all sessions of a type, and some more: see `address`."""
        begin = _GLOB.sub(r"\\\1", f"{self._prefix}{_quoted(type)}:")
        return f"{begin}{{*}}{_FINISHED if finished else _ACTIVE}*"

    def address(self, type: str, name: str) -> operations.Address | None:
        """Whose the key ``name`` of a scan of ``type`` is: a plain session's, or of an owner, the
        heads of all; None: it is none of these."""
        place, _, ending = name[len(self._prefix) + len(_quoted(type)) + 2 :].rpartition("}")
        text = unquote(place)
        if _quoted(text) != place:  # we would have written it in another way
            return None
        if ending in (_ACTIVE, _FINISHED, _LOCK):
            return operations.Address(type, "", text)
        if ending in _OWNED[:2]:
            return operations.Address(type, text, "")
        return None
