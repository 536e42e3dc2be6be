"""How messages say things: names that are nearly right, values, and what must stay unsaid."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

__all__ = ["did_you_mean", "listed", "mask", "masked", "shown"]

_LONGEST = 80
_HIDDEN = "***"
_SECRET = r"(?:pass|pwd|secret|token|credential|api_?key|access_?key|private_?key|auth)"
_SECRET_NAME = re.compile(_SECRET, re.IGNORECASE)
_KEY = re.compile(r"\bstk_[\w-]+")  # a session's secret key
# What a secret stands behind. It is tried once from each place: texts may be long, and odd.
_NAME = re.compile(r"\b(\w+)\s*=\s*")
# … and how far it goes: to the next name, for the signs between them may be its own.
_NEXT = re.compile(r"[&;\s]\w+\s*=")


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
            text = mask(repr(masked(value))).replace("\n", " ")
        except ValueError:  # Python prints no number of more than 4,300 digits
            text = f"a huge {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def mask(text: str) -> str:
    """``text`` with the passwords of the URLs in it hidden, secret keys, and what is named like
    a secret.

    Rather too much is hidden than too little: a password may hold any sign.
    """
    parts: list[str] = []
    done = 0
    keys = (key.span() for key in _KEY.finditer(text))
    for begin, end in sorted([*_passwords(text), *_secrets(text), *keys]):
        if begin >= done:
            parts += text[done:begin], _HIDDEN
        done = max(done, end)
    return "".join([*parts, text[done:]])


def _passwords(text: str) -> Iterator[tuple[int, int]]:
    """Where it may be that stands behind a user's name: up to the last @."""
    last = max(0, text.rfind("@"))
    slashes = text.find("//")
    colon = -1 if slashes < 0 else text.find(":", slashes, last)
    if colon < 0 and "://" not in text:
        colon = text.find(":", 0, last)
        if any(map(str.isspace, text[: max(0, colon)])):
            return  # these are words
    if colon >= 0:
        yield colon + 1, last


def _secrets(text: str) -> Iterator[tuple[int, int]]:
    """Where the values are that are named like secrets."""
    done = 0
    for name in _NAME.finditer(text):
        if name.start() >= done and name.end() < len(text) and _SECRET_NAME.search(name[1]):
            following = _NEXT.search(text, name.end())
            done = len(text) if following is None else following.start()
            if done > name.end():
                yield name.end(), done


def masked(value: object, name: str = "") -> object:
    """A setting's value with everything hidden that is secret, by its name or by its looks."""
    if isinstance(value, Mapping):
        inner = cast("Mapping[object, object]", value)
        return {key: masked(entry, str(key)) for key, entry in inner.items()}
    if _SECRET_NAME.search(name) and _may_be_secret(value):
        return _HIDDEN
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list | tuple):
        return [masked(entry, name) for entry in cast("Iterable[object]", value)]
    return value


def _may_be_secret(value: object) -> bool:
    """Whether it is text or a number, and not one of yes and no."""
    return isinstance(value, str | bytes | int | float) and value not in ("", b"", True, False)
