"""Operations that are asked at once, as commands; several plain reads are one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sessiontracker.backend import Asked, operations

from .confirming import Unconfirmed
from .packing import Command, Packer, wire

__all__ = ["Batch"]


class Batch:
    """The ``commands`` of those ``operations`` that are about one key, and their wire form.

    What no store can hold has an exception among the ``failures``, by its index, and no command.
    """

    __slots__ = ("_members", "_packer", "commands", "failures", "operations", "packed")

    def __init__(self, packer: Packer, operations: Sequence[Asked], *, gathers: bool) -> None:
        self._packer = packer
        self.operations = operations
        self.commands: list[Command] = []
        self.packed: list[bytes] = []
        self.failures: dict[int, Exception] = {}
        self._members: list[list[int]] = []  # whose answer the reply to each command is
        for members in _grouped(operations, gathers):
            self._add(members)

    @property
    def is_whole(self) -> bool:
        """Whether every operation has a command."""
        return sum(map(len, self._members)) == len(self.operations)

    def _add(self, members: list[int]) -> None:
        try:
            asked: list[Any] = [self.operations[index] for index in members]
            command = self._packer.evalsha(*asked)
            packed = wire(command)
        except (ValueError, OverflowError) as error:
            if len(members) == 1:
                self.failures[members[0]] = error
            else:
                for index in members:
                    self._add([index])
            return
        self._members.append(members)
        self.commands.append(command)
        self.packed.append(packed)

    def answers(self, replies: Sequence[Any]) -> Iterator[tuple[int, Any, Any]]:
        """The index of each operation that has a command, itself, and what was replied to it."""
        asked = self.operations
        for members, reply in zip(self._members, replies, strict=True):
            if len(members) == 1:
                yield members[0], asked[members[0]], reply
                continue
            # Reads need not be confirmed; and an error is everybody's.
            said = reply.reply if isinstance(reply, Unconfirmed) else reply
            each: list[Any] = said if type(said) is list else [said] * len(members)
            for index, answer in zip(members, each, strict=True):
                yield index, asked[index], answer


def _grouped(asked: Sequence[Asked], gathers: bool) -> list[list[int]]:
    """The indexes of what each command asks. A read goes ahead only of what is about other keys."""
    groups: list[list[int]] = []
    reads: dict[tuple[bool, int | None], list[int]] = {}  # by what they ask for
    passed: set[operations.Address] = set()  # of what was asked behind the first of them
    for index, operation in enumerate(asked):
        if not isinstance(operation, operations.Operation):
            continue
        if not gathers or type(operation) is not operations.Read or not _is_plain(operation):
            if reads:
                passed.add(operation.address)
            groups.append([index])
            continue
        if passed and operation.address in passed:
            reads.clear()
            passed.clear()
        how = operation.slide, operation.touch_every
        group = reads.get(how)
        if group is None:
            group = reads[how] = []
            groups.append(group)
        group.append(index)
    return groups


def _is_plain(read: operations.Read) -> bool:
    return read.lock is None and not read.finished
