"""Whether replicas have what a primary was told: WAIT, behind the commands of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sessiontracker.backend import Asked, operations

from .packing import Command

__all__ = ["Unconfirmed", "changes", "confirmed", "question", "unconfirmed"]

_HARMLESS = (operations.Release, operations.Time, operations.Touch)
_DONE = (operations.Deleted, operations.Found, operations.Granted, operations.Saved)
_MARGIN = 0.8  # of the time that is left: the answers must come back, too
_LATE = 0.1  # s: a server looks ten times a second whether a WAIT is over


class Unconfirmed(NamedTuple):
    """A ``reply`` of the primary, of which too few replicas know."""

    reply: Any


def changes(operation: Asked) -> bool:
    """Whether ``operation`` is worth nothing unless the replicas have it, too.

    To let go of a lock, or to slide a timeout, may be lost: time does the one, and the next
    read the other.
    """
    if isinstance(operation, operations.Read):
        return operation.lock is not None  # whose token is registered
    return operation.address is not None and not isinstance(operation, _HARMLESS)


def question(command: Command, replicas: int, timeout: float) -> tuple[Command, Command]:
    """What is asked behind ``command`` and others.

    WAIT speaks of what its own connection wrote; the repeat of what another connection wrote
    writes nothing. So there is a write of its own, next to a key of ``command``, behind which
    everything before it is.
    """
    mark = f"{command[3]!s}:w"
    wait = max(1, int((timeout * _MARGIN - _LATE) * 1000))
    return (b"SET", mark, b"", b"PX", b"1"), (b"WAIT", replicas, wait)


def confirmed(replies: Sequence[Any], answers: Sequence[Any], replicas: int) -> list[Any]:
    """The ``replies``, marked unless ``answers`` to the question say that the replicas have it."""
    mark, count = answers
    if mark == b"OK" and isinstance(count, int) and count >= replicas:
        return list(replies)
    return [
        reply if reply is None or isinstance(reply, Exception) else Unconfirmed(reply)
        for reply in replies
    ]


def unconfirmed(
    operation: operations.Operation, outcome: operations.Outcome, where: str
) -> operations.Outcome:
    """What ``operation`` came to, if too few replicas know what the primary's ``outcome`` says."""
    if not (changes(operation) and isinstance(outcome, _DONE)):
        return outcome
    return operations.NoAnswer(
        f"{where}: the primary did it, but fewer replicas than wait_replicas says have it: bring "
        "them back, or lower it"
    )
