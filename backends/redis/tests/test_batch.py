"""What is asked at once, as commands: which reads may be one command."""

from __future__ import annotations

import pytest

from sessiontracker.backend import Asked, operations
from sessiontracker_redis.batch import Batch
from sessiontracker_redis.packing import Packer

ALICE, BOB = "a" * 22, "b" * 22


def order(*asked: Asked) -> list[int]:
    """The operations in the order in which the server hears of them."""
    batch = Batch(Packer("test:", "wake", None), asked, gathers=True)
    return [
        index for indexes, _ in batch.answers([None] * len(batch.commands)) for index in indexes
    ]


def read(scope: str, key: str) -> operations.Read:
    return operations.Read(operations.Address("login", scope, key))


def delete(scope: str, key: str) -> operations.Delete:
    return operations.Delete(operations.Address("login", scope, key), 1)


def test_a_read_goes_ahead_of_what_is_about_other_slots() -> None:
    assert order(read("", "k1"), delete("", "k2"), read("", "k3")) == [0, 2, 1]


@pytest.mark.parametrize("scope", ["", ALICE])
def test_a_read_stays_behind_what_is_about_its_key(scope: str) -> None:
    assert order(read(scope, "k1"), delete(scope, "k2"), read(scope, "k2")) == [0, 1, 2]


def test_reads_of_an_owners_sessions_go_where_they_were_asked() -> None:
    assert order(read(ALICE, "k1"), delete(BOB, "k1"), read(ALICE, "k2")) == [0, 1, 2]
    assert order(read(ALICE, "k1"), delete(ALICE, "k2"), read(ALICE, "k3")) == [0, 1, 2]
    assert order(read(BOB, "k1"), delete(ALICE, "k2"), read(ALICE, "k3")) == [0, 1, 2]


def test_reads_alone_are_as_many_commands_as_it_takes() -> None:
    reads = [read("", f"k{number}") for number in range(130)]
    batch = Batch(Packer("test:", "wake", None), reads, gathers=True)
    assert [len(indexes) for indexes, _ in batch.answers([None] * 3)] == [64, 64, 2]
    assert order(*reads) == list(range(130))


@pytest.mark.parametrize(
    "other",
    [
        operations.Read(operations.Address("login", "", "k9"), touch_every=5),
        operations.Read(operations.Address("login", "", "k9"), slide=True),
        operations.Read(operations.Address("login", "", "k9"), finished=True),
        operations.Read(operations.Address("login", "", "k9"), lock=operations.Hold(1, 1)),
        read(ALICE, "k9"),
        delete("", "k9"),
    ],
)
def test_a_read_that_is_unlike_the_others_is_a_command_of_its_own(other: Asked) -> None:
    batch = Batch(
        Packer("test:", "wake", None), [read("", "k1"), other, read("", "k2")], gathers=True
    )
    assert [indexes for indexes, _ in batch.answers([None] * 2)] == [[0, 2], [1]]
