"""What lapses by itself, and what has done so only just now.

Whoever prolongs a session is checked against the clock in time, and has it committed some
moments later; a renewed lease is no different. In between, others see it lapsed. So of what
lapsed only just now nobody is told that it has gone before nobody can prolong it any longer.
"""

from __future__ import annotations

from collections.abc import Iterable

from sessiontracker.backend import operations, state

__all__ = ["LATEST", "depend_on_time", "lapse_of", "without_the_latest"]

LATEST = 2_000
"""How long, in ms, a decision may take to be written and committed: MySQL waits for a second where
somebody is about to write a new row, and its neighbours are written after it."""

_WHATEVER_LAPSED = (operations.Found, operations.Pong)


def lapse_of(key: state.Key, ms: int) -> int:
    """When, in ms, the first thing of ``key`` lapses that has not at ``ms``."""
    first = operations.FOREVER
    active, finished, lock = key.active, key.finished, key.lock
    if active is not None and ms < active.meta.expires < first:
        first = active.meta.expires
    if finished is not None and ms < finished.meta.expires < first:
        first = finished.meta.expires
    if lock is not None and lock.lease is not None and ms < lock.lease.until < first:
        first = lock.lease.until
    return first


def depend_on_time(outcomes: Iterable[operations.Outcome]) -> bool:
    """Whether ``outcomes`` may be what they are because something has lapsed."""
    return not all(isinstance(outcome, _WHATEVER_LAPSED) for outcome in outcomes)


def without_the_latest(slot: state.Slot, now: int, *, whole: bool = False) -> state.Slot:
    """``slot`` at ``now`` (µs) without what lapsed in the last moments; the very slot, if nothing
    did. ``whole``: all of an owner's is in it, so that what is shared may lapse, too."""
    ms = now // 1000
    for name, key in slot.keys.items():
        if lapse_of(key, ms - LATEST) <= ms:
            slot = state.put(slot, name, state.settle(key, ms), ms)
    if whole and slot.shared is not None and ms - LATEST < slot.shared.kept <= ms:
        slot = state.settle_owner(slot, ms)
    return slot
