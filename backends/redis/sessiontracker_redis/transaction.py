"""What reads much, as a transaction of plain commands: a script would have each text made one of
Lua's, and a reply again, which costs more than all else.

It is the command of a script but for its first word, and says the same; where a transaction is
refused, the script takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from .arguments import Command

__all__ = ["LISTED", "MULTI", "count", "is_transaction", "together", "wire"]

MULTI = b"MULTI"

_pack: Callable[[Command], bytes] = cast("Any", hiredis).pack_command
LISTED = 14
_STEPS = 6


def is_transaction(command: Command) -> bool:
    return command[0] == MULTI


def wire(command: Command) -> bytes:
    """``command`` as it is sent."""
    return b"".join(map(_pack, _steps(command))) if command[0] == MULTI else _pack(command)


def _steps(command: Command) -> list[Command]:
    """What ``lua/owned/list.lua`` does."""
    active, finished, _, payloads, finished_payloads, owner, clock, is_over = command[3:11]
    return [
        (MULTI,),
        (b"ECHO", clock) if clock else (b"TIME",),
        (b"HGETALL", finished if is_over else active),
        (b"HGETALL", finished_payloads if is_over else payloads),
        (b"GET", owner),
        (b"EXEC",),
    ]


def count(command: Command) -> int:
    """How many replies there are to ``command``."""
    return _STEPS if command[0] == MULTI else 1


def together(commands: Sequence[Command], replies: list[Any]) -> list[Any]:
    """The reply to each of ``commands``, as far as ``replies`` came."""
    if not any(map(is_transaction, commands)):
        return replies
    said: list[Any] = []
    begin = 0
    for command in commands:
        end = begin + (_STEPS if is_transaction(command) else 1)
        if end > len(replies):
            break
        said.append(_said(replies[begin:end]))
        begin = end
    return said


def _said(replies: Sequence[Any]) -> Any:
    """What the script would have said: the first error, or what it found."""
    last = replies[-1]
    if len(replies) == 1 or type(last) is not list:
        return next((reply for reply in replies if isinstance(reply, Exception)), last)
    return next((part for part in last if isinstance(part, Exception)), [LISTED, *last])
