"""The names of Redis keys: one hash tag a slot, which braces in a user's key cannot split."""

from __future__ import annotations

import re
from urllib.parse import unquote

from sessiontracker.backend import operations

__all__ = ["Keys", "tag_of"]

_ACTIVE, _FINISHED, _LOCK = ":a", ":f", ":l"
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
    """Under ``prefix``: ``type:{key}:a``, or of an owner ``type:{scope}key:a``.

    ``:a`` is the active session, ``:f`` the finished one, ``:l`` the lock.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = _quoted(prefix)
        self._types: dict[str, str] = {}  # what names of a type begin with

    def of(self, address: operations.Address) -> tuple[str, str, str]:
        """The active session's, the finished one's and the lock's."""
        type = self._types.get(address.type)
        if type is None:
            type = self._types[address.type] = f"{self._prefix}{_quoted(address.type)}:"
        key = _quoted(address.key)
        name = f"{type}{{{_quoted(address.scope)}}}{key}" if address.scope else f"{type}{{{key}}}"
        return name + _ACTIVE, name + _FINISHED, name + _LOCK

    def pattern(self, type: str, *, finished: bool) -> str:
        """What SCAN is to match for all sessions of a type."""
        begin = _GLOB.sub(r"\\\1", f"{self._prefix}{_quoted(type)}:")
        return f"{begin}{{*{_FINISHED if finished else _ACTIVE}"

    def address(self, type: str, name: str) -> operations.Address:
        """Whose the key ``name`` of a scan of ``type`` is."""
        place = name[len(self._prefix) + len(_quoted(type)) + 2 : -len(_ACTIVE)]
        scope, _, key = place.partition("}")
        if not key:
            scope, key = "", scope
        return operations.Address(type, unquote(scope), unquote(key))
