"""Broken in what they do with a batch, and in what they say of themselves."""

from __future__ import annotations

from collections.abc import Sequence

from sessiontracker.backend import Asked, Capability
from sessiontracker.errors import BackendError
from sessiontracker.operations import Failed, InProgress, Missing, Outcome, Saved, Stale

from .twin import Twin


class LosesOneOfABatch(Twin):
    """It answers as if it had been done."""

    meant = "test_batches.py::test_answers_come_in_the_order_of_the_questions"

    def batch(self, operations: Sequence[Asked]) -> list[Outcome]:
        if len(operations) < 20:
            return super().batch(operations)
        outcomes = super().batch([*operations[:10], *operations[11:]])
        return [*outcomes[:10], outcomes[9], *outcomes[10:]]


class AnswersOneTooFew(Twin):
    meant = "test_batches.py::test_a_thousand_operations"

    def batch(self, operations: Sequence[Asked]) -> list[Outcome]:
        outcomes = super().batch(operations)
        return outcomes if len(outcomes) < 200 else outcomes[:-1]


class AnswersInAnotherOrder(Twin):
    meant = "test_batches.py::test_answers_come_in_the_order_of_the_questions"

    def batch(self, operations: Sequence[Asked]) -> list[Outcome]:
        outcomes = super().batch(operations)
        return outcomes[::-1]


class ActsInAnotherOrder(Twin):
    meant = "test_batches.py::test_one_slots_operations_take_effect_in_order"

    def batch(self, operations: Sequence[Asked]) -> list[Outcome]:
        return super().batch(operations[::-1])[::-1]


class LetsOneFailureFailTheBatch(Twin):
    meant = "test_batches.py::test_a_refusal_harms_no_neighbour"

    def batch(self, operations: Sequence[Asked]) -> list[Outcome]:
        before = dict(self.slots)
        outcomes = super().batch(operations)
        kinds = {type(outcome) for outcome in outcomes}
        if len(outcomes) > 1 and Saved in kinds and kinds & {Missing, Stale, InProgress}:
            self.slots = before
            return [Failed(BackendError("the batch was rolled back"))] * len(outcomes)
        return outcomes


class DeclaresWhatItLacks(Twin):
    meant = "test_capabilities.py::test_it_declares_what_it_has_and_nothing_else[sync-durable]"
    capabilities = Twin.capabilities | {Capability.DURABLE}


class LacksADeclarationOfWhatItHas(Twin):
    meant = "test_capabilities.py::test_it_declares_what_it_has_and_nothing_else[sync-fair]"
    capabilities = Twin.capabilities - {Capability.FAIR}
