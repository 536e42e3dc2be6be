"""How messages say things: names that are nearly right, values, and what must stay unsaid."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import cast

__all__ = ["did_you_mean", "listed", "mask", "masked", "shown"]

_LONGEST = 80
_HIDDEN = "***"
_SECRET = r"(?:pass|pwd|secret|token|credential|api_?key|access_?key|private_?key|auth)"
_SECRET_NAME = re.compile(_SECRET, re.IGNORECASE)
# To the last @, for a password may hold any sign; rather too much is hidden than too little.
_USER_INFO = re.compile(r"(//[^:/@?#\s]*):.*@", re.DOTALL)
_NO_SLASHES = re.compile(r"^([^:/@\s]*):.*@", re.DOTALL)
_PARAMETER = re.compile(rf"(\b\w*{_SECRET}\w*\s*=\s*)[^&;\s]+", re.IGNORECASE)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``, did you mean "…"?`` if one of ``known`` is near; else nothing."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f", did you mean {shown(near[0])}?" if near else ""


def listed(words: Iterable[str]) -> str:
    """``a, b and c``; nothing of nothing."""
    *most, last = list(words) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def shown(value: object) -> str:
    """A value as a configuration would have it, on one short line, without its secrets."""
    if isinstance(value, str):
        text = json.dumps(mask(value), ensure_ascii=False)
    else:
        try:
            text = repr(masked(value)).replace("\n", " ")
        except ValueError:  # Python prints no number of more than 4,300 digits
            text = f"a huge {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def mask(text: str) -> str:
    """``text`` with the passwords of the URLs in it hidden, and what is named like a secret."""
    user_info = _USER_INFO if "//" in text else _NO_SLASHES
    return _PARAMETER.sub(rf"\1{_HIDDEN}", user_info.sub(rf"\1:{_HIDDEN}@", text))


def masked(value: object, name: str = "") -> object:
    """A setting's value with everything hidden that is secret, by its name or by its looks."""
    if isinstance(value, Mapping):
        inner = cast("Mapping[object, object]", value)
        return {key: masked(entry, str(key)) for key, entry in inner.items()}
    if _SECRET_NAME.search(name) and isinstance(value, str | bytes) and value:
        return _HIDDEN
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list | tuple):
        return [masked(entry, name) for entry in cast("Iterable[object]", value)]
    return value
