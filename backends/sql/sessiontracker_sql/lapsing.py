"""What lapses by itself, and what has done so only just now.

Whoever prolongs a session is checked against the clock in time, and has it committed some
moments later; a renewed lease is no different. In between, others see it lapsed. So nobody is
told what depends on that before the row is written anew: then nobody can prolong any longer what
they read in it.
"""

from __future__ import annotations

from msgspec.structs import replace

from sessiontracker.backend import operations, state

__all__ = ["LATEST", "has_just_lapsed", "lapse_of", "without_sessions_that_expired"]

LATEST = 2_000
"""How long, in ms, a decision may take to be written and committed: MySQL waits for a second where
somebody is about to write a new row, and its neighbours are written after it."""


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


def has_just_lapsed(slot: state.Slot, now: int) -> bool:
    """Whether something in ``slot`` has lapsed in the last moments before ``now`` (µs)."""
    ms = now // 1000
    shared = slot.shared
    if shared is not None and ms - LATEST < shared.kept <= ms:
        return True
    return any(lapse_of(key, ms - LATEST) <= ms for key in slot.keys.values())


def without_sessions_that_expired(slot: state.Slot, now: int) -> state.Slot:
    """``slot`` at ``now`` (µs); locks are left to those who come for them."""
    ms = now // 1000
    for name, key in slot.keys.items():
        settled = state.settle(key, ms)
        if key.active is not settled.active or key.finished is not settled.finished:
            left = replace(key, active=settled.active, finished=settled.finished)
            slot = state.put(slot, name, left, ms)
    return slot
