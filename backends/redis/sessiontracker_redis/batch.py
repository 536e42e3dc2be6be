"""Operations that are asked at once, as commands; several that are alike are one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sessiontracker.backend import Asked

from .confirming import Unconfirmed
from .gathering import each, gathered, together
from .packing import Command, Packer
from .transaction import count, wire

__all__ = ["Batch"]

_ALONE = [0]
_UNPACKABLE = (ValueError, OverflowError)  # what no store can hold


class Batch:
    """The ``commands`` of those ``operations`` that are about one key, and their wire form.

    What no store can hold has an exception among the ``failures``, by its index, and no command.
    """

    __slots__ = (
        "_packer", "_whose", "commands", "expects", "failures", "is_whole", "operations", "packed",
    )  # fmt: skip

    def __init__(self, packer: Packer, operations: Sequence[Asked], *, gathers: bool) -> None:
        self._packer = packer
        self._whose: list[list[int]] = []  # the operations that each command is about
        self.operations: Sequence[Any] = operations
        self.commands: list[Command] = []
        self.packed: list[bytes] = []
        self.expects = 0
        """How many replies the server sends: several to a transaction, one to all else."""
        self.failures: dict[int, Exception] = {}
        if len(operations) != 1:
            for indexes in gathered(operations) if gathers else each(operations):
                self._add(indexes)
            self.is_whole = not self.failures and all(asked.address for asked in operations)
            """Whether every operation has a command."""
        else:
            self.is_whole = operations[0].address is not None and self._add(_ALONE)

    def _add(self, indexes: list[int]) -> bool:
        """Whether they can be stored, all of them."""
        try:
            if len(indexes) == 1:
                command = self._packer.evalsha(self.operations[indexes[0]])
            else:
                command = together(self._packer, [self.operations[index] for index in indexes])
            packed = wire(command)
        except _UNPACKABLE as error:
            if len(indexes) == 1:
                self.failures[indexes[0]] = error
            else:
                for index in indexes:
                    self._add([index])
            return False
        self._whose.append(indexes)
        self.commands.append(command)
        self.packed.append(packed)
        self.expects += count(command)
        return True

    def answers(self, replies: Sequence[Any]) -> Iterator[tuple[list[int], list[Any]]]:
        """What was replied to the operations of each command, which are named by their indexes."""
        for indexes, reply in zip(self._whose, replies, strict=True):
            count = len(indexes)
            yield indexes, [reply] if count == 1 else _parts(reply, count)


def _parts(reply: Any, count: int) -> list[Any]:
    """What was replied to each of ``count`` operations that are one command."""
    if type(reply) is Unconfirmed:
        return [
            part if isinstance(part, Exception) else Unconfirmed(part)
            for part in _parts(reply.reply, count)
        ]
    # An error is everybody's, and so is what makes no sense.
    return reply if type(reply) is list and len(reply) == count else [reply] * count
