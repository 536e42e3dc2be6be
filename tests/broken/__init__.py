"""Backends that are broken on purpose, each in one way: the conformance kit must catch them."""

from __future__ import annotations

from . import batches, locks, owners, sessions
from .twin import ClocklessTwin, LocksOnlyTwin, SessionsOnlyTwin, Twin

__all__ = ["BROKEN", "SOUND", "ClocklessTwin", "Twin"]

SOUND: list[type[Twin]] = [Twin, ClocklessTwin, SessionsOnlyTwin, LocksOnlyTwin]

BROKEN: list[type[Twin]] = [
    thing
    for module in (sessions, locks, batches, owners)
    for thing in vars(module).values()
    if isinstance(thing, type) and issubclass(thing, Twin) and thing is not Twin
]
