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
    return [index for index, _, _ in batch.answers([None] * len(batch.commands))]


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
