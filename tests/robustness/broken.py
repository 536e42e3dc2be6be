"""Stores that are broken on purpose, each now and then: the checker must catch them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from sessiontracker.operations import (
    Acquire,
    Delete,
    Finish,
    Found,
    Operation,
    Outcome,
    Read,
    Resume,
    Saved,
    Start,
    Write,
)
from sessiontracker.state import FREE, Key, Record, Slot

from ..broken.twin import Twin, key_of, with_key

__all__ = ["BROKEN", "EXPIRING"]


class _NowAndThen(Twin):
    """Each ``every``-th time that it could be, it is wrong."""

    every = 10

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        super().__init__(clock)
        self._count = 0
        self.before: dict[str, list[Slot]] = {}

    def is_time(self) -> bool:
        self._count += 1
        return self._count % self.every == 0

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = self.wrong(slot, operation, now)
        self.before.setdefault(operation.address.key, []).append(slot)
        return after, outcome

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        return super().apply(slot, operation, now)

    def older(self, operation: Operation, slot: Slot, ago: int = 3) -> Slot:
        known = self.before.get(operation.address.key, [])
        return known[-ago] if len(known) >= ago else slot


class DropsASave(_NowAndThen):
    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = super().wrong(slot, operation, now)
        if isinstance(operation, Write) and isinstance(outcome, Saved) and self.is_time():
            return slot, outcome
        return after, outcome


class ReadsALaggingCopy(_NowAndThen):
    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if isinstance(operation, Read) and self.is_time():
            return slot, super().wrong(self.older(operation, slot, 5), operation, now)[1]
        return super().wrong(slot, operation, now)


class RollsBackWhatItAcknowledged(_NowAndThen):
    every = 200

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if self.is_time():
            slot = self.older(operation, slot, 8)
        return super().wrong(slot, operation, now)


class SkipsTheVersionCheck(_NowAndThen):
    every = 5

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        active = key_of(slot, operation).active
        if isinstance(operation, Write) and active and operation.stamp != active.meta.stamp:
            if self.is_time():
                operation = replace(operation, stamp=active.meta.stamp)
        return super().wrong(slot, operation, now)


class WritesUnderAnyLock(_NowAndThen):
    every = 5

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        if isinstance(operation, (Write, Finish)) and operation.lock is None and key.lock:
            if key.lock.lease is not None and self.is_time():
                free = with_key(slot, operation, replace(key, lock=None))
                after, outcome = super().wrong(free, operation, now)
                changed = replace(key_of(after, operation), lock=key.lock)
                return with_key(after, operation, changed), outcome
        return super().wrong(slot, operation, now)


class DeletesForAWhile(_NowAndThen):
    every = 3

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        super().__init__(clock)
        self.gone: dict[str, Key] = {}

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        name = operation.address.key
        if isinstance(operation, Delete) and (key.active or key.finished) and self.is_time():
            self.gone[name] = key
        elif name in self.gone and key.active is None and key.finished is None:
            back = self.gone.pop(name)
            slot = with_key(slot, operation, replace(key, active=back.active))
        return super().wrong(slot, operation, now)


class ResumesWithoutAField(_NowAndThen):
    every = 3

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = super().wrong(slot, operation, now)
        if isinstance(operation, Resume) and isinstance(outcome, Found) and self.is_time():
            key = key_of(after, operation)
            assert key.active is not None
            payload = key.active.payload.replace(b"copy", b"cop_")
            active = Record(key.active.meta, payload)
            after = with_key(after, operation, replace(key, active=active))
        return after, outcome


class FinishesInTwoSteps(_NowAndThen):
    """The active one goes, and the finished one is there only later."""

    every = 3

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        super().__init__(clock)
        self.late: dict[str, Record | None] = {}

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        name = operation.address.key
        if name in self.late:
            late = self.late.pop(name)
            after, outcome = super().wrong(slot, operation, now)
            key = replace(key_of(after, operation), finished=late)
            return with_key(after, operation, key), outcome
        after, outcome = super().wrong(slot, operation, now)
        if isinstance(operation, Finish) and isinstance(outcome, (Found, Saved)) and self.is_time():
            key = key_of(after, operation)
            self.late[name] = key.finished
            after = with_key(after, operation, replace(key, finished=None))
        return after, outcome


class GrantsTwice(_NowAndThen):
    every = 5

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        lease = key.lock.lease if key.lock else None
        if isinstance(operation, Acquire) and lease and lease.token:  # it is held
            if lease.ticket != operation.ticket and self.is_time():
                lock = replace(key.lock or FREE, lease=None, queue=())
                slot = with_key(slot, operation, replace(key, lock=lock))
        return super().wrong(slot, operation, now)


class GivesTokensAgain(_NowAndThen):
    """As a counter does that a restart of the server sets back."""

    every = 7

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        lock = key.lock or FREE
        if isinstance(operation, Acquire) and lock.token and lock.lease is None and self.is_time():
            forgetful = replace(key, lock=None)
            slot, now = with_key(slot, operation, forgetful), lock.token
        return super().wrong(slot, operation, now)


class _OverlooksTheActiveOne(_NowAndThen):
    def overlooks(self, key: Key, operation: Any, now: int) -> bool:
        raise NotImplementedError

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        if key.active and self.overlooks(key, operation, now) and self.is_time():
            slot = with_key(slot, operation, replace(key, active=None))
        return super().wrong(slot, operation, now)


class StartsOverAnActiveOne(_OverlooksTheActiveOne):
    every = 5

    def overlooks(self, key: Key, operation: Any, now: int) -> bool:
        return isinstance(operation, Start)


class ResumesOverAnActiveOne(_OverlooksTheActiveOne):
    every = 1

    def overlooks(self, key: Key, operation: Any, now: int) -> bool:
        return isinstance(operation, Resume) and key.finished is not None


class SavesWhatItRefuses(_NowAndThen):
    every = 5

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = super().wrong(slot, operation, now)
        if isinstance(operation, Write) and not isinstance(outcome, Saved):
            key = key_of(after, operation)
            if key.active is not None and self.is_time():
                active = Record(key.active.meta, operation.payload)
                after = with_key(after, operation, replace(key, active=active))
        return after, outcome


class ServesTheLastFirst(_NowAndThen):
    """Nothing but the order in which locks are had is wrong."""

    every = 2

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = super().wrong(slot, operation, now)
        key = key_of(after, operation)
        lock, was = key.lock, key_of(slot, operation).lock
        if lock and was and lock.queue and len(lock.queue) > len(was.queue) and self.is_time():
            lock = replace(lock, queue=(lock.queue[-1], *lock.queue[:-1]))
            after = with_key(after, operation, replace(key, lock=lock))
        return after, outcome


class KeepsWhatExpired(_NowAndThen):
    """As one does that removes it only when it sweeps."""

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        over = [each for each in (key.active, key.finished) if each and _ago(each, now) > 20]
        if over and isinstance(operation, (Read, Write, Finish, Resume)):
            return super().wrong(
                slot, operation, now - max(_ago(each, now) for each in over) * 1000
            )
        return super().wrong(slot, operation, now)


def _ago(record: Record, now: int) -> int:
    """How long ago, in ms, and a little more, it expired."""
    return now // 1000 - record.meta.expires + 1


class ExpiresTooSoon(_OverlooksTheActiveOne):
    every = 20

    def overlooks(self, key: Key, operation: Any, now: int) -> bool:
        active = key.active
        return active is not None and bool(active.meta.idle) and _ago(active, now) < -20


class ForgetsToSlide(_NowAndThen):
    every = 1

    def wrong(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        after, outcome = super().wrong(slot, operation, now)
        if isinstance(operation, (Read, Write)) and isinstance(outcome, (Found, Saved)):
            changed = key_of(after, operation)
            if key.active and changed.active and self.is_time():
                old = key.active.meta
                meta = replace(changed.active.meta, slid=old.slid, expires=old.expires)
                active = replace(changed.active, meta=meta)
                after = with_key(after, operation, replace(changed, active=active))
        return after, outcome


EXPIRING: set[type[Twin]] = {KeepsWhatExpired, ExpiresTooSoon, ForgetsToSlide}
"""Those that are right as long as nothing expires."""

BROKEN: list[type[Twin]] = [
    kind
    for name, kind in list(vars().items())
    if isinstance(kind, type) and issubclass(kind, _NowAndThen) and not name.startswith("_")
]
