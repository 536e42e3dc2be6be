"""Commands about one slot take effect in their order, also where some must be sent again."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .packing import Command
from .transaction import MULTI

__all__ = ["sendable", "tags_of"]

_WITH_KEYS = (b"EVAL", b"EVALSHA", MULTI)


def tags_of(command: Command) -> set[str]:
    """What the keys of a script's ``command`` begin with, down to the hash tag: its slots. Another
    one only reads, and has none."""
    if command[0] not in _WITH_KEYS:
        return set()
    count = int(command[2])
    return {str(key).partition("}")[0] for key in command[3 : 3 + count]}


def sendable(commands: Sequence[Command], refused: Collection[int]) -> list[int]:
    """Those of the ``refused``, of which nothing was done, that may be sent again.

    Where a later command about the same slot was taken, an earlier one would come too late: who
    has let go of a lock would be given it.
    """
    taken: set[str] = set()
    found: list[int] = []
    for index in reversed(range(len(commands))):
        tags = tags_of(commands[index])
        if index not in refused:
            taken |= tags
        elif taken.isdisjoint(tags):
            found.append(index)
    return found[::-1]
