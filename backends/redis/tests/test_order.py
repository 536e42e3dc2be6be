"""What is sent again, so that the commands about one slot take effect in their order."""

from __future__ import annotations

import pytest

from sessiontracker.operations import Acquire, Address, Read, Release
from sessiontracker_redis.gathering import together
from sessiontracker_redis.order import sendable
from sessiontracker_redis.packing import Packer

ONE, OTHER = Address("checkout", "", "kone"), Address("checkout", "", "kother")
PACKER = Packer("st:", "channel", None)
COMMANDS = [
    PACKER.evalsha(Acquire(ONE, 7, 1_000)),
    PACKER.evalsha(Acquire(OTHER, 8, 1_000)),
    PACKER.evalsha(Release(ONE, 7)),
    together(PACKER, [Read(Address("checkout", "", "kthird")), Read(OTHER)]),
]


@pytest.mark.parametrize(
    ("refused", "sent"),
    [
        ([], []),
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([0], []),  # it was let go already
        ([0, 2], [0, 2]),
        ([2], [2]),
        ([0, 1, 2], [0, 2]),  # the other was read already
        ([0, 1, 3], [1, 3]),
    ],
)
def test_nothing_is_sent_after_what_was_asked_later(refused: list[int], sent: list[int]) -> None:
    assert sendable(COMMANDS, refused) == sent
