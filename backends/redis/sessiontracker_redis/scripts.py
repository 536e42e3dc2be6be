"""The Lua scripts: each its own file, with the shared parts that it includes."""

from __future__ import annotations

import re
from hashlib import sha1
from importlib.resources import files

from msgspec import Struct

__all__ = ["OWNED_SCRIPTS", "SCRIPTS", "Script"]

_OF_A_KEY = (
    "acquire",
    "delete",
    "finish",
    "read",
    "release",
    "renew",
    "resume",
    "start",
    "time",
    "touch",
    "write",
)
_OF_SEVERAL = ("acquires", "writes")
_OF_AN_OWNER = ("count", "end", "list", "read_shared", "rotate", "write_shared")
_INCLUDE = re.compile(r"^ *--#include ([\w/]+)\n", re.MULTILINE)


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


SCRIPTS = {name: _script(name) for name in (*_OF_A_KEY, *_OF_SEVERAL)}
OWNED_SCRIPTS = {name: _script(f"owned/{name}") for name in (*_OF_A_KEY, *_OF_AN_OWNER)}
