"""Operations that are asked at once, as commands; several plain reads are one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sessiontracker.backend import Asked, operations

from .confirming import Unconfirmed
from .packing import Command, Packer, wire

__all__ = ["Batch"]

_UNPACKABLE = (ValueError, OverflowError)  # what no store can hold

Whose = int | list[int]


class Batch:
    """The ``commands`` of those ``operations`` that are about one key, and their wire form.

    What no store can hold has an exception among the ``failures``, by its index, and no command.
    """

    __slots__ = ("_packer", "_whose", "commands", "failures", "is_whole", "operations", "packed")

    def __init__(self, packer: Packer, operations: Sequence[Asked], *, gathers: bool) -> None:
        self._packer = packer
        self._whose: list[Whose] = []  # the index or indexes that each command is about
        self.operations: Sequence[Any] = operations
        self.commands: list[Command] = []
        self.packed: list[bytes] = []
        self.failures: dict[int, Exception] = {}
        asked = _gathered(operations) if gathers else _each(operations)
        for whose in asked:
            if isinstance(whose, int):
                self._add(whose)
            else:
                self._add_reads(whose)
        self.is_whole = not self.failures and all(each.address for each in operations)
        """Whether every operation has a command."""

    def _add(self, index: int) -> None:
        try:
            command = self._packer.evalsha(self.operations[index])
            packed = wire(command)
        except _UNPACKABLE as error:
            self.failures[index] = error
            return
        self._whose.append(index)
        self.commands.append(command)
        self.packed.append(packed)

    def _add_reads(self, indexes: list[int]) -> None:
        try:
            command = self._packer.reads([self.operations[index] for index in indexes])
            packed = wire(command)
        except _UNPACKABLE:
            for index in indexes:
                self._add(index)
            return
        self._whose.append(indexes)
        self.commands.append(command)
        self.packed.append(packed)

    def answers(self, replies: Sequence[Any]) -> Iterator[tuple[int, Any, Any]]:
        """The index of each operation that has a command, itself, and what was replied to it."""
        asked = self.operations
        for whose, reply in zip(self._whose, replies, strict=True):
            if isinstance(whose, int):
                yield whose, asked[whose], reply
                continue
            # Reads need not be confirmed; and an error is everybody's.
            said = reply.reply if isinstance(reply, Unconfirmed) else reply
            each: list[Any] = said if type(said) is list else [said] * len(whose)
            for index, answer in zip(whose, each, strict=True):
                yield index, asked[index], answer


def _each(asked: Sequence[Asked]) -> list[Whose]:
    return [index for index, operation in enumerate(asked) if operation.address is not None]


def _gathered(asked: Sequence[Asked]) -> list[Whose]:
    """What each command is about. A read goes ahead only of what is about other slots."""
    commands: list[Whose] = []
    groups: dict[tuple[bool, int | None], list[int]] = {}  # of reads, by what they ask for
    passed: set[operations.Address] = set()  # of what was asked behind the first of them
    for index, operation in enumerate(asked):
        if type(operation) is operations.Read and not operation.finished and not operation.lock:
            if passed and operation.address.slot in passed:
                groups.clear()
                passed.clear()
            how = operation.slide, operation.touch_every
            group = groups.get(how)
            if group is None:
                group = groups[how] = []
                commands.append(group)
            group.append(index)
        elif operation.address is not None:
            if groups:
                passed.add(operation.address.slot)
            commands.append(index)
    return [each[0] if isinstance(each, list) and len(each) == 1 else each for each in commands]
