"""Broken in what they do with sessions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from sessiontracker.backend import Asked
from sessiontracker.machine import apply
from sessiontracker.operations import (
    FOREVER,
    Delete,
    Finish,
    Operation,
    Outcome,
    Read,
    Resume,
    Saved,
    Start,
    Touch,
    Write,
)
from sessiontracker.state import EMPTY, Slot

from .twin import Twin, key_of, with_key


class DoesNotCheckTheVersion(Twin):
    meant = "test_writers.py::test_the_second_writer_is_refused"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        active = key_of(slot, operation).active
        stamp = getattr(operation, "stamp", None)
        if stamp is not None and active is not None and stamp.life == active.meta.life:
            operation = replace(operation, stamp=active.meta.stamp)
        return super().apply(slot, operation, now)


class LetsTheSecondWriterWin(Twin):
    """Between its check and its deed there is time for another."""

    meant = "test_writers.py::test_of_writers_at_one_moment_one_wins[sync-2]"

    def batch(self, operations: Sequence[Asked]) -> list[Outcome]:
        match operations:
            case [Write() as write]:
                name = write.address.slot
                before = self.slots.get(name, EMPTY)
                time.sleep(0.005)
                self.slots[name], outcome = apply(before, write, self.clock())
                return [outcome]
        return super().batch(operations)


class ForgetsTheLife(Twin):
    meant = "test_writers.py::test_a_writer_from_a_former_life_is_refused"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        active = key_of(slot, operation).active
        stamp = getattr(operation, "stamp", None)
        if stamp is not None and active is not None:
            operation = replace(operation, stamp=replace(stamp, life=active.meta.life))
        return super().apply(slot, operation, now)


class ForgetsTheWriteId(Twin):
    meant = "test_writers.py::test_a_version_that_came_again_is_told_by_its_write"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        active = key_of(slot, operation).active
        stamp = getattr(operation, "stamp", None)
        if stamp is not None and active is not None:
            operation = replace(operation, stamp=replace(stamp, write=active.meta.write))
        return super().apply(slot, operation, now)


class RevivesAnExpiredOne(Twin):
    meant = "test_expiry.py::test_what_expired_does_not_come_back"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        if isinstance(operation, Touch) and key.active is not None:
            if now // 1000 >= key.active.meta.expires:
                meta = replace(key.active.meta, expires=FOREVER)
                key = replace(key, active=replace(key.active, meta=meta))
                slot = with_key(slot, operation, key)
        return super().apply(slot, operation, now)


class OverwritesOnResume(Twin):
    meant = "test_lifecycle.py::test_resume_never_overwrites_an_active_session"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        if isinstance(operation, Resume) and key.finished is not None:
            slot = with_key(slot, operation, replace(key, active=None))
        return super().apply(slot, operation, now)


class OverwritesOnStart(Twin):
    meant = "test_lifecycle.py::test_a_second_start_gets_the_session_in_progress"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        key = key_of(slot, operation)
        if isinstance(operation, Start) and not operation.read and key.active is not None:
            if key.active.meta.life != operation.id:
                slot = with_key(slot, operation, replace(key, active=None))
        return super().apply(slot, operation, now)


class FinishingOnlySaves(Twin):
    meant = "test_lifecycle.py::test_finishing_with_the_session_saves_it"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if isinstance(operation, Finish) and operation.stamp and operation.payload is not None:
            operation = Write(
                operation.address,
                operation.id,
                operation.stamp,
                operation.payload,
                operation.lock,
                since=operation.since,
            )
        return super().apply(slot, operation, now)


class KeepsTheOlderFinishedOne(Twin):
    meant = "test_lifecycle.py::test_finishing_again_replaces_the_older_finished_one"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        old = key_of(slot, operation).finished
        after, outcome = super().apply(slot, operation, now)
        key = key_of(after, operation)
        if isinstance(operation, Finish) and old is not None and key.finished is not old:
            after = with_key(after, operation, replace(key, finished=old))
        return after, outcome


class DeletingLeavesTheFinishedOne(Twin):
    meant = "test_lifecycle.py::test_deleting_removes_active_and_finished"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        old = key_of(slot, operation)
        after, outcome = super().apply(slot, operation, now)
        key = key_of(after, operation)
        if isinstance(operation, Delete) and old.active and old.finished and not key.finished:
            after = with_key(after, operation, replace(key, finished=old.finished))
        return after, outcome


class FinishedOnesGoWhenTheActiveOneWould(Twin):
    meant = "test_expiry.py::test_a_finished_session_goes_after_its_retention"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        active = key_of(slot, operation).active
        if isinstance(operation, Finish) and active is not None and active.meta.idle:
            operation = replace(operation, retention=active.meta.idle)
        return super().apply(slot, operation, now)


class SlidesOnEveryRead(Twin):
    meant = "test_expiry.py::test_a_busy_session_is_not_slid_by_every_read"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if isinstance(operation, Read) and operation.slide:
            operation = replace(operation, touch_every=0)
        return super().apply(slot, operation, now)


class NeverSlides(Twin):
    meant = "test_expiry.py::test_a_sliding_read_slides"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if isinstance(operation, Read):
            operation = replace(operation, slide=False)
        return super().apply(slot, operation, now)


class ForgetsTheAbsoluteEnd(Twin):
    """It keeps the idle timeout."""

    meant = "test_expiry.py::test_the_absolute_end_comes_however_busy"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = super().apply(slot, operation, now)
        active = key_of(after, operation).active
        if isinstance(operation, (Touch, Write)) and isinstance(outcome, Saved) and active:
            if active.meta.idle:
                meta = replace(active.meta, expires=active.meta.slid + active.meta.idle)
                key = replace(key_of(after, operation), active=replace(active, meta=meta))
                return with_key(after, operation, key), Saved(meta)
        return after, outcome


class ADayAtMost(Twin):
    """A timeout's days are lost, as in ``timedelta.seconds``."""

    meant = "test_expiry.py::test_fourteen_days_are_fourteen_days"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if isinstance(operation, Start) and operation.idle < 365 * 86_400_000:
            operation = replace(operation, idle=operation.idle % 86_400_000)
        return super().apply(slot, operation, now)


class TakesAnIdForAKey(Twin):
    meant = "test_keys.py::test_an_id_is_never_a_key"

    def place(self, address: Any) -> Any:
        return replace(address, key=address.key[1:] or address.key)


class FoldsTheCaseOfKeys(Twin):
    meant = "test_keys.py::test_odd_keys_are_kept_apart"

    def place(self, address: Any) -> Any:
        return replace(address, key=address.key.lower())


class TrimsKeys(Twin):
    meant = "test_keys.py::test_odd_keys_are_kept_apart"

    def place(self, address: Any) -> Any:
        return replace(address, key=address.key.rstrip(" "))


class CutsPayloadsAtAZero(Twin):
    meant = "test_keys.py::test_payloads_come_back_as_they_were"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        payload = getattr(operation, "payload", None)
        if payload is not None:
            operation = replace(operation, payload=payload.partition(b"\0")[0])
        return super().apply(slot, operation, now)


class RoundsIds(Twin):
    """As a store does that keeps numbers as floats."""

    meant = "test_keys.py::test_ids_are_exact"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if isinstance(operation, Start):
            operation = replace(operation, id=int(float(operation.id)))
        return super().apply(slot, operation, now)


def _is_by_key(operation: Operation) -> bool:
    return isinstance(operation, (Finish, Delete, Resume)) and not getattr(operation, "stamp", None)


class AppliesARepeatTwice(Twin):
    """A repeat is an operation like any other to it."""

    meant = "test_retries.py::test_lost_after_the_deed_it_answers_the_same"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if getattr(operation, "since", 0) and hasattr(operation, "id"):
            operation = replace(operation, id=operation.id ^ 1, since=0)
        return super().apply(slot, operation, now)


class RepeatsOverSomebodyElsesDeed(Twin):
    """It knows its own last deed again, and does not ask who was there since."""

    meant = "test_retries.py::test_a_delete_by_key_is_not_repeated_over_another_deed"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        deed = key_of(slot, operation).deed
        if _is_by_key(operation) and deed is not None and deed.id != operation.id:
            operation = replace(operation, since=0)
        return super().apply(slot, operation, now)


class ForgetsWhatItDeleted(Twin):
    meant = "test_retries.py::test_a_deleted_key_remembers"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = super().apply(slot, operation, now)
        key = key_of(after, operation)
        if isinstance(operation, Delete) and after is not slot:
            after = with_key(after, operation, replace(key, deed=None))
        return after, outcome


class ForgetsTheFence(Twin):
    """Reading under a lock that is held elsewhere registers nothing."""

    meant = "test_fencing.py::test_reading_registers_the_token"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if isinstance(operation, Read) and operation.lock and operation.lock.elsewhere:
            operation = replace(operation, lock=None)
        return super().apply(slot, operation, now)
