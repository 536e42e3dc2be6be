"""Durations: ``"30m"``, ``"1h30m"``, seconds, a timedelta, or ``"off"``; exact, in ms."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from functools import lru_cache

from .errors import ConfigurationError
from .operations import FOREVER
from .wording import shown

__all__ = ["Duration", "duration_ms", "parse_duration", "show_duration"]

Duration = str | int | float | timedelta
"""How a caller gives a duration; a number is seconds. None, or ``"off"``, is no limit."""

_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_TEXT = re.compile("".join(f"(?:{_NUMBER}{unit})?" for unit in _UNITS))
_LONGEST_TEXT = 100


def parse_duration(value: object, *, path: str) -> int | None:
    """``value`` in ms; None for ``"off"`` and None. ``path`` is what errors call it.

    Raises: ConfigurationError.
    """
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        if text.lower() == "off":
            return None
        exact = _parse_text(text)
        if exact is None:
            raise _no_duration(value, path)
    elif isinstance(value, timedelta):
        exact = Fraction(value // timedelta(microseconds=1), 1000)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if value != value or value in (float("inf"), float("-inf")):
            raise _no_duration(value, path)
        exact = Fraction(value) * 1000
    else:
        raise _no_duration(value, path)
    return _whole_ms(exact, value, path)


def duration_ms(value: Duration | None, path: str, *, zero: bool = False) -> int | None:
    """As `parse_duration`, and 0 is an error unless ``zero`` allows it."""
    ms = parse_duration(value, path=path)
    if ms == 0 and not zero:
        raise ConfigurationError(
            f"{path}: {shown(value)} would end at once: write a duration above zero, such as "
            '"30m", or "off" (None in code) for none'
        )
    return ms


def show_duration(ms: int | None) -> str:
    """As `parse_duration` reads it: ``5_400_000`` is ``"1h30m"``."""
    if ms is None:
        return "off"
    parts: list[str] = []
    for unit, size in _UNITS.items():
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


@lru_cache(maxsize=256)
def _parse_text(text: str) -> Fraction | None:
    match = _TEXT.fullmatch(text) if 0 < len(text) <= _LONGEST_TEXT else None
    if match is None:
        return None
    parts = zip(match.groups(), _UNITS.values(), strict=True)
    return sum((Fraction(number) * size for number, size in parts if number), Fraction(0))


def _whole_ms(exact: Fraction, value: object, path: str) -> int:
    """Rounded, since a float of seconds is rarely a whole number of milliseconds."""
    if exact < 0:
        raise ConfigurationError(
            f"{path}: {shown(value)} is negative: write a duration such as "
            '"30m", or "off" (None in code) for none'
        )
    if exact > FOREVER:
        raise ConfigurationError(
            f"{path}: {shown(value)} is longer than any store can count "
            f'({FOREVER // _UNITS["d"]} days): write "off" (None in code) for no limit'
        )
    ms = round(exact)
    if ms == 0 and exact:
        raise ConfigurationError(
            f'{path}: {shown(value)} is shorter than a millisecond: write "1ms" or more'
        )
    return ms


def _no_duration(value: object, path: str) -> ConfigurationError:
    hint = 'write "30m", "1h30m" or "off"'
    if isinstance(value, str) and re.fullmatch(_NUMBER, value.strip()) and len(value) < 20:
        hint = f'say of what, as in "{value.strip()}s" or "{value.strip()}m"'
    return ConfigurationError(f"{path}: {shown(value)} is not a duration: {hint}")
