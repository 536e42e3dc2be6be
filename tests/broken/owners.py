"""Broken in what they do with all of an owner's sessions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from sessiontracker.backend import Asked
from sessiontracker.operations import (
    Acquire,
    Address,
    Counted,
    CountOwner,
    Ended,
    EndOwner,
    Item,
    Listed,
    ListOwner,
    Operation,
    Outcome,
    Read,
    Resume,
    Rotate,
    Saved,
    Start,
    Touch,
    WriteShared,
)
from sessiontracker.state import EMPTY, Slot

from .twin import Twin, key_of


class ListsWhatHasExpired(Twin):
    """Its index dangles."""

    meant = "test_owners.py::test_an_expired_session_is_not_listed"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        slot, outcome = super().apply(slot, operation, now)
        if isinstance(operation, ListOwner):
            items = [
                Item(replace(operation.address, key=name), record.meta, record.payload, slot.shared)
                for name, key in slot.keys.items()
                if (record := key.active) is not None
            ]
            items.sort(key=lambda item: (-item.meta.started, item.address.key))
            outcome = Listed(items)
        return slot, outcome


class CountsWhatHasExpired(Twin):
    meant = "test_owners.py::test_an_expired_session_is_not_counted"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        slot, outcome = super().apply(slot, operation, now)
        if isinstance(operation, CountOwner):
            outcome = Counted(sum(key.active is not None for key in slot.keys.values()))
        return slot, outcome


class ProlongsAllOfThem(Twin):
    meant = "test_owners.py::test_each_session_expires_by_itself"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = super().apply(slot, operation, now)
        if isinstance(operation, Touch) and isinstance(outcome, Saved) and operation.address.scope:
            for name in slot.keys:
                if name != operation.address.key:
                    also = Touch(replace(operation.address, key=name))
                    after, _ = super().apply(after, also, now)
        return after, outcome


class LimitsWhatItSawBefore(Twin):
    """Between its count and its deed there is time for another."""

    meant = "test_owners.py::test_of_many_that_start_at_once_as_many_as_may_do"

    def batch(self, operations: Sequence[Asked]) -> list[Outcome]:
        match operations:
            case [Start(limit=limit) as start] if limit is not None and not limit.finish_oldest:
                count = self.answer(CountOwner(replace(start.address, key="")))
                time.sleep(0.005)
                if isinstance(count, Counted) and count.count < limit.most:
                    return [self.answer(replace(start, limit=None))]
        return super().batch(operations)


class ResumesPastTheLimit(Twin):
    meant = "test_owners.py::test_resuming_counts_against_the_limit"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if isinstance(operation, Resume):
            operation = replace(operation, limit=None)
        return super().apply(slot, operation, now)


class LocksPastTheLimit(Twin):
    meant = "test_owners.py::test_a_lock_that_would_start_one_too_many_is_not_granted"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if isinstance(operation, Acquire) and operation.start is not None:
            operation = replace(operation, start=replace(operation.start, limit=None))
        return super().apply(slot, operation, now)


class FinishesTheNewest(Twin):
    meant = "test_owners.py::test_the_oldest_make_room"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if not isinstance(operation, Start) or operation.limit is None:
            return super().apply(slot, operation, now)
        turned = super().apply(_turned(slot), operation, now)
        return _turned(turned[0], turned[1]), turned[1]


def _turned(slot: Slot, outcome: Outcome | None = None) -> Slot:
    """``slot`` with its sessions as if the last had started first."""
    started = outcome.meta.life if isinstance(outcome, Saved) else 0
    keys = {
        name: replace(
            key,
            active=None
            if key.active is None
            else key.active
            if key.active.meta.life == started
            else replace(
                key.active, meta=replace(key.active.meta, started=2**51 - key.active.meta.started)
            ),
        )
        for name, key in slot.keys.items()
    }
    return Slot(keys, slot.shared, slot.ending)


class EndsWhatIsKept(Twin):
    meant = "test_log_out.py::test_the_one_that_is_kept_is_kept"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if isinstance(operation, EndOwner):
            operation = replace(operation, keep="")
        return super().apply(slot, operation, now)


class LetsAStartSlipThroughALogOut(Twin):
    """It ends them one after another, and another may come between."""

    meant = "test_log_out.py::test_a_start_is_wholly_before_a_log_out_or_wholly_after"

    def batch(self, operations: Sequence[Asked]) -> list[Outcome]:
        match operations:
            case [EndOwner(keep="", since=0) as end]:
                name = end.address.slot
                first = self._end_some(end, name, True)
                time.sleep(0.005)
                return [Ended(first + self._end_some(end, name, False))]
        return super().batch(operations)

    def _end_some(self, end: EndOwner, name: Address, low: bool) -> int:
        with self.mutex:
            slot = self.slots.get(name, EMPTY)
            some = {k: v for k, v in slot.keys.items() if (k < "kb") is low}
            kept = {k: v for k, v in slot.keys.items() if k not in some}
            ended = replace(end, id=end.id + low)
            part, outcome = self.apply(Slot(some, slot.shared, slot.ending), ended, self.clock())
            self.slots[name] = Slot({**part.keys, **kept}, part.shared, part.ending)
            return outcome.count if isinstance(outcome, Ended) else 0


class LogsOutOnlyWhatIsFree(Twin):
    meant = "test_log_out.py::test_locks_are_no_bar_to_a_log_out"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if not isinstance(operation, EndOwner):
            return super().apply(slot, operation, now)
        locked = {
            name: key
            for name, key in slot.keys.items()
            if key.lock is not None and key.lock.lease is not None
        }
        free = {name: key for name, key in slot.keys.items() if name not in locked}
        after, outcome = super().apply(Slot(free, slot.shared, slot.ending), operation, now)
        return Slot({**after.keys, **locked}, after.shared, after.ending), outcome


class LogsOutAgain(Twin):
    """A repeat ends what came since."""

    meant = "test_log_out.py::test_a_repeated_log_out_ends_no_more"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if isinstance(operation, EndOwner):
            slot = Slot(slot.keys, slot.shared)
            operation = replace(operation, since=0)
        return super().apply(slot, operation, now)


class ForgetsItsLogOut(Twin):
    meant = "test_log_out.py::test_what_went_by_key_before_a_log_out_is_not_done_after_it"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if operation.address.key:
            after, outcome = super().apply(Slot(slot.keys, slot.shared), operation, now)
            return Slot(after.keys, after.shared, slot.ending), outcome
        return super().apply(slot, operation, now)


class SharesAcrossTypes(Twin):
    meant = "test_shared.py::test_another_type_shares_nothing_with_it"

    def step(self, operation: Operation) -> Outcome:
        outcome = super().step(operation)
        if isinstance(operation, WriteShared):
            at = operation.address
            written = self.slots[at.slot].shared
            other = Address(at.type + "x", at.scope, "")
            self.slots[other] = Slot(self.slots.get(other, EMPTY).keys, written)
        return outcome


class LetsTheSecondSharerWin(Twin):
    meant = "test_shared.py::test_of_two_who_write_what_is_shared_one_is_refused"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if isinstance(operation, WriteShared) and slot.shared is not None:
            read = slot.shared
            operation = replace(operation, version=read.version, write=read.write)
        return super().apply(slot, operation, now)


class NumbersWhatIsSharedFromOne(Twin):
    meant = "test_shared.py::test_its_version_rises_also_when_it_was_forgotten"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = super().apply(slot, operation, now)
        if isinstance(operation, WriteShared) and after.shared is not slot.shared:
            assert after.shared is not None
            version = 1 if slot.shared is None else slot.shared.version + 1
            after = Slot(after.keys, replace(after.shared, version=version), after.ending)
            outcome = type(outcome)(version)  # type: ignore[call-arg]
        return after, outcome


class LosesWhatIsSharedWithTheSessions(Twin):
    meant = "test_shared.py::test_what_is_shared_is_kept_for_its_own_time"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        after, outcome = super().apply(slot, operation, now)
        if isinstance(operation, EndOwner) and after is not slot:
            after = Slot(after.keys, None, after.ending)
        return after, outcome


class LeavesTheOldKeyAlive(Twin):
    meant = "test_owners.py::test_a_rotated_session_lives_at_its_new_key_alone"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        before = key_of(slot, operation)
        after, outcome = super().apply(slot, operation, now)
        if isinstance(operation, Rotate) and after is not slot:
            name = operation.address.key
            after = Slot({**after.keys, name: before}, after.shared, after.ending)
        return after, outcome


class ReadsWithoutWhatIsShared(Twin):
    meant = "test_shared.py::test_what_is_shared_comes_with_every_session"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        if isinstance(operation, Read):
            after, outcome = super().apply(Slot(slot.keys, None, slot.ending), operation, now)
            return Slot(after.keys, slot.shared, slot.ending), outcome
        return super().apply(slot, operation, now)


class ClaimsToHaveOwners(Twin):
    """It takes each key for itself."""

    meant = "test_capabilities.py::test_it_declares_what_it_has_and_nothing_else"

    def apply(self, slot: Slot, operation: Any, now: int) -> tuple[Slot, Outcome]:
        name = operation.address.key
        alone = {name: slot.keys[name]} if name in slot.keys else {}
        after, outcome = super().apply(Slot(alone), operation, now)
        return Slot({**slot.keys, **after.keys}), outcome
