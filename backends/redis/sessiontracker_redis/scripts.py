"""The Lua scripts: each its own file, with the shared parts that it includes."""

from __future__ import annotations

import re
from hashlib import sha1
from importlib.resources import files

from msgspec import Struct

__all__ = ["SCRIPTS", "Script"]

_NAMES = (
    "acquire",
    "acquires",
    "delete",
    "finish",
    "read",
    "release",
    "renew",
    "resume",
    "start",
    "touch",
    "write",
    "writes",
)
_INCLUDE = re.compile(r"^ *--#include (\w+)\n", re.MULTILINE)


class Script(Struct, frozen=True):
    """A script and the digest by which the server knows it."""

    text: bytes
    sha: bytes


def _source(name: str) -> str:
    text = (files("sessiontracker_redis") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda found: _source(found[1]), text)


def _script(name: str) -> Script:
    text = _source(name).encode()
    return Script(text, sha1(text, usedforsecurity=False).hexdigest().encode())


SCRIPTS = {name: _script(name) for name in _NAMES}
