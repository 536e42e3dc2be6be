"""Which operations of a batch are one command: one script costs a server less than several.

Those are alike which differ in their keys, and in what is each one's own. They are about plain
sessions; an owner's are many under the same keys.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from sessiontracker.backend import Asked, operations

from .packing import Argument, Command, Packer
from .scripts import SCRIPTS

__all__ = ["each", "gathered", "together"]

_MOST = 64  # a server does nothing else meanwhile
_LARGE = 4096  # bytes


def each(asked: Sequence[Asked]) -> list[list[int]]:
    """What each command is about, where every operation has its own."""
    return [[index] for index, operation in enumerate(asked) if operation.address is not None]


def gathered(asked: Sequence[Asked]) -> list[list[int]]:
    """What each command is about, by the indexes of its operations.

    An operation joins others, and so goes ahead, unless its slot was asked about behind them.
    """
    if type(asked[0]) is operations.Read and _are_alike(asked[0], asked):
        size = len(asked)
        return [list(range(at, min(at + _MOST, size))) for at in range(0, size, _MOST)]
    commands: list[list[int]] = []
    alike: dict[Hashable, int] = {}  # the last command of each kind
    latest: dict[operations.Address, int] = {}  # about each slot, but the first command
    for index, operation in enumerate(asked):
        if operation.address is None:
            continue
        kind = _kind_of(operation)
        number = None if kind is None else alike.get(kind)
        if (
            number is None
            or len(commands[number]) == _MOST
            or (latest and latest.get(operation.address.slot, 0) > number)
        ):
            number = len(commands)
            commands.append([])
            if kind is not None:
                alike[kind] = number
        commands[number].append(index)
        if number:
            latest[operation.address.slot] = number
    return commands


def _are_alike(first: operations.Read, asked: Sequence[Any]) -> bool:
    """Whether all do what is asked for most, and by most at once: what `_kind_of` says of each."""
    kind, slides, every = operations.Read, first.slide, first.touch_every
    for read in asked:
        if (
            type(read) is not kind
            or read.touch_every != every
            or read.slide is not slides
            or read.finished
            or read.lock is not None
            or read.address.scope
        ):
            return False
    return True


def together(packer: Packer, asked: Sequence[Any]) -> Command:
    """The one command for ``asked``, which are alike. Raises: what the packer raises."""
    return _TOGETHER[type(asked[0])](packer, packer.evalsha(asked[0]), asked)


# An EVALSHA is the command, the script, how many keys, three keys, the clock, and what
# `packing` gives the script.
_KEYS, _CLOCK = 3, 6


def _reads(packer: Packer, first: Command, asked: Sequence[operations.Read]) -> Command:
    keys: list[Argument] = []
    for read in asked:
        keys += packer.keys.of(read.address)
    return (*first[:2], len(keys), *keys, *first[_CLOCK:])


def _acquires(packer: Packer, first: Command, asked: Sequence[operations.Acquire]) -> Command:
    keys: list[Argument] = []
    for acquire in asked:
        keys += packer.keys.of(acquire.address)
    tickets = [acquire.ticket.to_bytes(8, "big") for acquire in asked]
    return (b"EVALSHA", SCRIPTS["acquires"].sha, len(keys), *keys, first[_CLOCK], *first[8:16],
            *tickets)  # fmt: skip


def _writes(packer: Packer, first: Command, asked: Sequence[operations.Write]) -> Command:
    keys: list[Argument] = []
    own: list[Argument] = []
    for write in asked:
        command = packer.evalsha(write)
        keys += command[_KEYS:_CLOCK]
        own += command[7:16]
    return (b"EVALSHA", SCRIPTS["writes"].sha, len(keys), *keys, first[_CLOCK], first[16], *own)


_TOGETHER: dict[type[operations.Operation], Callable[[Packer, Command, Any], Command]] = {
    operations.Acquire: _acquires,
    operations.Read: _reads,
    operations.Write: _writes,
}


def _kind_of(asked: Any) -> Hashable | None:
    """What operations have in common that are alike; None: it is like no other."""
    kind: type[operations.Operation] = type(asked)
    if kind not in _TOGETHER or asked.address.scope:
        return None
    if kind is operations.Read:
        alone = asked.finished or asked.lock
        return None if alone else (asked.slide, asked.touch_every)
    if kind is operations.Write:
        alone = asked.since or len(asked.payload) > _LARGE
        return None if alone else asked.release
    if asked.start or not asked.read:
        return None
    return (asked.lease, asked.holder, asked.look_every, asked.queue, asked.touch_every, asked.keep)
