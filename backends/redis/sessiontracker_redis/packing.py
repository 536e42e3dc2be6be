"""From an operation to a script with its KEYS and ARGV, and from the reply to the outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from sessiontracker.backend import operations

from .keys import Keys
from .records import found, meta
from .scripts import SCRIPTS, Script

__all__ = ["Argument", "Command", "Packer", "outcome_of", "wire", "with_script", "with_scripts"]

Argument = bytes | str | int
Command = tuple[Argument, ...]

wire: Callable[[Command], bytes] = cast("Any", hiredis).pack_command
"""A command as it is sent."""

_NO_HOLD = (b"", b"", b"", b"")
_NO_STAMP = (b"", b"", b"")
_NO_ADOPTION = (b"",) * 7
_NO_START = (b"",) * 5


def _id(number: int) -> bytes:
    """An id of 63 bits, which is more than a number in Lua can hold; 0 is none."""
    return number.to_bytes(8, "big") if number else b""


def _flag(yes: bool) -> bytes:
    return b"1" if yes else b""


def _optional(number: int | None) -> int | bytes:
    return b"" if number is None else number


def _hold(hold: operations.Hold | None) -> Command:
    if hold is None:
        return _NO_HOLD
    kind = b"elsewhere" if hold.elsewhere else b"here"
    return kind, _id(hold.ticket), _token(hold.token), hold.keep


def _stamp(stamp: operations.Stamp | None) -> Command:
    return _NO_STAMP if stamp is None else (_id(stamp.life), stamp.version, _id(stamp.write))


def _token(token: int) -> str:
    """A token as text that compares as its number does."""
    return f"{token:019d}"


# What each script is given, beside the clock ---------------------------------


def _read(asked: operations.Read) -> Command:
    every = _optional(asked.touch_every)
    return (_flag(asked.finished), _flag(asked.slide), every, *_hold(asked.lock))


def _touch(asked: operations.Touch) -> Command:
    return (_id(asked.life),)


def _start(asked: operations.Start) -> Command:
    old = asked.adopt
    adopted: Command = _NO_ADOPTION
    if old is not None:
        times = (old.started, old.slid, old.idle, old.ends, old.expires)
        adopted = (_id(old.life), old.version, *times)
    return (
        _id(asked.id),
        asked.payload,
        asked.owner,
        asked.idle,
        asked.absolute,
        _flag(asked.read),
        _optional(asked.touch_every),
        *_hold(asked.lock),
        asked.age,
        *adopted,
    )


def _write(asked: operations.Write) -> Command:
    return (
        _id(asked.id),
        *_stamp(asked.stamp),
        asked.payload,
        *_hold(asked.lock),
        _flag(asked.release),
        asked.age,
    )


def _finish(asked: operations.Finish) -> Command:
    return (
        _id(asked.id),
        asked.retention,
        *_stamp(asked.stamp),
        _flag(asked.payload is not None),
        asked.payload or b"",
        *_hold(asked.lock),
        asked.age,
    )


def _resume(asked: operations.Resume) -> Command:
    return (_id(asked.id), _id(asked.life), *_hold(asked.lock), asked.age)


def _delete(asked: operations.Delete) -> Command:
    hold = _hold(asked.lock)
    return (_id(asked.id), _id(asked.life), *_stamp(asked.stamp), *hold, asked.age)


def _renew(asked: operations.Renew) -> Command:
    return (_id(asked.ticket), _token(asked.token), asked.lease, asked.keep)


def _release(asked: operations.Release) -> Command:
    return (_id(asked.ticket), _id(asked.life), asked.age)


class Packer:
    """Packs for one process: its waiters are woken through ``channel``."""

    def __init__(self, prefix: str, channel: str, clock: Callable[[], int] | None) -> None:
        self.keys = Keys(prefix)
        self._channel = channel
        self._clock = clock
        packers: dict[type[operations.Operation], tuple[str, Callable[[Any], Command]]] = {
            operations.Acquire: ("acquire", self._acquire),
            operations.Delete: ("delete", _delete),
            operations.Finish: ("finish", _finish),
            operations.Read: ("read", _read),
            operations.Release: ("release", _release),
            operations.Renew: ("renew", _renew),
            operations.Resume: ("resume", _resume),
            operations.Start: ("start", _start),
            operations.Touch: ("touch", _touch),
            operations.Write: ("write", _write),
        }
        self._packers: dict[type[operations.Operation], tuple[Script, Callable[[Any], Command]]] = {
            kind: (SCRIPTS[name], pack) for kind, (name, pack) in packers.items()
        }

    def evalsha(self, operation: operations.Operation) -> Command:
        """The command that executes ``operation`` where its script is loaded."""
        script, pack = self._packers[type(operation)]
        clock = b"" if self._clock is None else self._clock()
        return (b"EVALSHA", script.sha, b"3", *self.keys.of(operation.address), clock,
                *pack(operation))  # fmt: skip

    def _acquire(self, asked: operations.Acquire) -> Command:
        start = asked.start
        begun: Command = _NO_START
        if start is not None:
            times = (start.idle, start.absolute)
            begun = (_id(start.id), start.payload, start.owner, *times)
        return (
            _id(asked.ticket),
            asked.lease,
            asked.holder,
            asked.look_every,
            _flag(asked.queue),
            _flag(asked.read),
            _optional(asked.touch_every),
            asked.keep,
            self._channel,
            *begun,
        )


_TEXTS = {script.sha: script.text for script in SCRIPTS.values()}


def with_script(command: Command) -> Command:
    """The same ``command``, with the text of its script."""
    return (b"EVAL", _TEXTS[cast("bytes", command[1])], *command[2:])


def with_scripts(commands: Sequence[Command]) -> list[Command]:
    """The same ``commands``, with the text of each script once, where it is first used."""
    texts = dict(_TEXTS)
    again: list[Command] = []
    for command in commands:
        text = texts.pop(command[1], None) if isinstance(command[1], bytes) else None
        again.append(command if text is None else (b"EVAL", text, *command[2:]))
    return again


# Replies ---------------------------------------------------------------------

_TOKEN = 19  # digits


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
    1: lambda fields: operations.Saved(meta(fields[0])),
    2: lambda fields: operations.InProgress(found(fields[0])),
    3: lambda fields: operations.Queued(fields[0].decode(), fields[1], fields[2]),
    4: lambda _: operations.Released(),
    5: lambda _: operations.Missing(),
    6: lambda _: operations.IsFinished(),
    7: lambda _: operations.IsActive(),
    8: lambda fields: operations.Locked(fields[0].decode(), fields[1]),
    9: lambda _: operations.Lost(),
    10: lambda fields: operations.Stale(fields[0], bool(fields[1])),
    11: lambda _: operations.Unknown(),
    12: lambda fields: operations.Deleted(bool(fields[0])),
}
"""What it says with a code and more."""


def outcome_of(operation: operations.Operation, reply: Any) -> operations.Outcome:
    """What ``operation`` came to, of which the script said ``reply``."""
    if type(reply) is bytes:
        return _DONE[type(operation)](operation, reply)
    code, *fields = reply
    return _OUTCOMES[code](fields)
