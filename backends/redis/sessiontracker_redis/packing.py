"""From an operation to a script with its KEYS and ARGV, and from the reply to the outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from sessiontracker.backend import operations

from . import arguments, owned, records
from .arguments import OF_A_KEY, Argument, Command
from .keys import Keys
from .records import found, meta
from .scripts import OWNED_SCRIPTS, SCRIPTS
from .transaction import LISTED, MULTI, is_transaction

__all__ = [
    "LOADS",
    "Argument",
    "Command",
    "Packer",
    "found_all",
    "outcome_of",
    "with_script",
    "with_scripts",
]


class Packer:
    """Packs for one process: its waiters are woken through ``channel``."""

    def __init__(self, prefix: str, channel: str, clock: Callable[[], int] | None) -> None:
        self.keys = Keys(prefix)
        self._clock = clock
        acquire = partial(arguments.acquire, channel=channel)
        of_a_key: dict[type[operations.Operation], tuple[str, Callable[[Any], Command]]]
        of_a_key = {**OF_A_KEY, operations.Acquire: ("acquire", acquire)}
        of_an_owner = {**of_a_key, **owned.OF_AN_OWNER}
        self._plain = {kind: (SCRIPTS[name], pack) for kind, (name, pack) in of_a_key.items()}
        self._owned = {
            kind: (OWNED_SCRIPTS[name], pack) for kind, (name, pack) in of_an_owner.items()
        }

    def evalsha(self, operation: operations.Operation) -> Command:
        """The command that executes ``operation`` where its script is loaded."""
        clock = b"" if self._clock is None else self._clock()
        address = operation.address
        if address.scope:
            script, pack = self._owned[type(operation)]
            verb = MULTI if type(operation) is operations.ListOwner else b"EVALSHA"
            return (verb, script.sha, b"6", *self.keys.of_owner(address), clock,
                    *pack(operation), *owned.limit_of(operation), address.key)  # fmt: skip
        script, pack = self._plain[type(operation)]
        return (b"EVALSHA", script.sha, b"3", *self.keys.of(address), clock, *pack(operation))


_ALL = (*SCRIPTS.values(), *OWNED_SCRIPTS.values())
_TEXTS = {script.sha: script.text for script in _ALL}
LOADS: list[Command] = [(b"SCRIPT", b"LOAD", script.text) for script in _ALL]
"""What makes all scripts known to a server."""


def with_script(command: Command) -> Command:
    """The same ``command``, with the text of its script."""
    return (b"EVAL", _TEXTS[cast("bytes", command[1])], *command[2:])


def with_scripts(commands: Sequence[Command]) -> list[Command]:
    """The same ``commands``, with the text of each script once, where it is first used."""
    texts = dict(_TEXTS)
    again: list[Command] = []
    for command in commands:
        text = texts.pop(command[1], None) if isinstance(command[1], bytes) else None
        if text is not None:
            again.append((b"EVAL", text, *command[2:]))
        else:
            again.append((b"EVALSHA", *command[1:]) if is_transaction(command) else command)
    return again


# Replies ---------------------------------------------------------------------

_TOKEN = 19  # digits


def _holder(text: bytes) -> str:
    """Who has the lock, for people to read."""
    return text.decode(errors="replace")


def _number(said: Any) -> int:
    if type(said) is not int:
        raise TypeError("no number where one must be")
    return said


def _granted(asked: operations.Acquire | operations.Renew, text: bytes) -> operations.Outcome:
    session = found(text[_TOKEN:]) if len(text) > _TOKEN else None
    return operations.Granted(int(text[:_TOKEN]), asked.lease, session)


def _finished(asked: operations.Finish, text: bytes) -> operations.Outcome:
    if asked.payload is None:
        return found(text, finished=True)
    return operations.Saved(meta(text, finished=True))


_DONE: dict[type[operations.Operation], Callable[[Any, bytes], operations.Outcome]] = {
    operations.Acquire: _granted,
    operations.Finish: _finished,
    operations.Read: lambda asked, text: found(text, finished=asked.finished),
    operations.Renew: _granted,
    operations.Resume: lambda _, text: found(text),
    operations.Start: lambda _, text: found(text),
    operations.Touch: lambda _, text: operations.Saved(meta(text)),
    operations.Write: lambda _, text: operations.Saved(meta(text)),
}
"""What a text says that a script answers with."""

_OUTCOMES: dict[int, Callable[[list[Any]], operations.Outcome]] = {
    1: owned.saved,
    2: owned.in_progress,
    3: lambda fields: operations.Queued(_holder(fields[0]), *map(_number, fields[1:3])),
    4: lambda _: operations.Released(),
    5: lambda _: operations.Missing(),
    6: lambda _: operations.IsFinished(),
    7: lambda _: operations.IsActive(),
    8: lambda fields: operations.Locked(_holder(fields[0]), _number(fields[1])),
    9: lambda _: operations.Lost(),
    10: lambda fields: operations.Stale(int(fields[0]), bool(fields[1])),
    11: lambda _: operations.Unknown(),
    12: lambda fields: operations.Deleted(bool(fields[0])),
    13: lambda fields: operations.LimitReached(_number(fields[0])),
    15: lambda fields: operations.Counted(_number(fields[0])),
    16: lambda fields: operations.Ended(_number(fields[0])),
    17: lambda fields: operations.FoundShared(owned.shared(fields[0])),
    18: lambda fields: operations.SavedShared(int(fields[0])),
    19: lambda fields: operations.Pong(_number(fields[0])),
}
"""What it says with a code and more."""


def outcome_of(operation: operations.Operation, reply: Any) -> operations.Outcome:
    """What ``operation`` came to, of which the script said ``reply``.

    Raises: NotASessionError for what somebody put in the store; anything for what no script says.
    """
    if type(reply) is bytes:
        return _DONE[type(operation)](operation, reply)
    code, *fields = reply
    if type(code) is bytes:
        return owned.with_shared(_DONE[type(operation)](operation, code), fields)
    if code == LISTED:
        return operations.Listed(owned.items(operation.address, fields))
    return _OUTCOMES[code](fields)


def found_all(
    asked: Sequence[operations.Operation], replies: Sequence[Any]
) -> Sequence[operations.Found | None]:
    """What operations that are one command came to, as far as they found sessions, which are read
    all at once; None where `outcome_of` has to look."""
    if len(asked) == 1 or type(asked[0]) is not operations.Read:
        return [None] * len(asked)
    texts = [reply for reply in replies if type(reply) is bytes]
    known = records.found_all(texts)
    if known is None or len(known) == len(replies):
        return known or [None] * len(replies)
    each = iter(known)
    return [next(each) if type(reply) is bytes else None for reply in replies]
