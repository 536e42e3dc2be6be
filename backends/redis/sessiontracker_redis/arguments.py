"""What each script is given, beside its keys and the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sessiontracker.backend import operations

__all__ = [
    "OF_A_KEY",
    "Argument",
    "Command",
    "acquire",
    "flag",
    "hold",
    "id_of",
    "read",
    "stamp",
    "token",
]

Argument = bytes | str | int
Command = tuple[Argument, ...]

_NO_HOLD = (b"", b"", b"", b"")
_NO_STAMP = (b"", b"", b"")
_NO_ADOPTION = (b"",) * 7
_NO_START = (b"",) * 5


def id_of(number: int) -> bytes:
    """An id of 63 bits, which is more than a number in Lua can hold; 0 is none."""
    return number.to_bytes(8, "big") if number else b""


def flag(yes: bool) -> bytes:
    return b"1" if yes else b""


def optional(number: int | None) -> int | bytes:
    return b"" if number is None else number


def hold(hold: operations.Hold | None) -> Command:
    if hold is None:
        return _NO_HOLD
    kind = b"elsewhere" if hold.elsewhere else b"here"
    return kind, id_of(hold.ticket), token(hold.token), hold.keep


def stamp(stamp: operations.Stamp | None) -> Command:
    return _NO_STAMP if stamp is None else (id_of(stamp.life), stamp.version, id_of(stamp.write))


def token(token: int) -> str:
    """A token as text that compares as its number does."""
    return f"{token:019d}"


def read(asked: operations.Read) -> Command:
    every, lock = asked.touch_every, asked.lock  # the hottest of all: nothing is called
    return (
        b"1" if asked.finished else b"",
        b"1" if asked.slide else b"",
        b"" if every is None else every,
        *(_NO_HOLD if lock is None else hold(lock)),
    )


def touch(asked: operations.Touch) -> Command:
    return (id_of(asked.life),)


def time(_: operations.Time) -> Command:
    return ()


def start(asked: operations.Start) -> Command:
    old = asked.adopt
    adopted: Command = _NO_ADOPTION
    if old is not None:
        times = (old.started, old.slid, old.idle, old.ends, old.expires)
        adopted = (id_of(old.life), old.version, *times)
    return (
        id_of(asked.id),
        asked.payload,
        asked.owner,
        asked.idle,
        asked.absolute,
        flag(asked.read),
        optional(asked.touch_every),
        *hold(asked.lock),
        asked.since,
        *adopted,
    )


def write(asked: operations.Write) -> Command:
    return (
        id_of(asked.id),
        *stamp(asked.stamp),
        asked.payload,
        *hold(asked.lock),
        flag(asked.release),
        asked.since,
    )


def finish(asked: operations.Finish) -> Command:
    return (
        id_of(asked.id),
        asked.retention,
        *stamp(asked.stamp),
        flag(asked.payload is not None),
        asked.payload or b"",
        *hold(asked.lock),
        asked.since,
    )


def resume(asked: operations.Resume) -> Command:
    return (id_of(asked.id), id_of(asked.life), *hold(asked.lock), asked.since)


def delete(asked: operations.Delete) -> Command:
    held = hold(asked.lock)
    return (id_of(asked.id), id_of(asked.life), *stamp(asked.stamp), *held, asked.since)


def renew(asked: operations.Renew) -> Command:
    return (id_of(asked.ticket), token(asked.token), asked.lease, asked.keep)


def release(asked: operations.Release) -> Command:
    return (id_of(asked.ticket), id_of(asked.life), asked.since)


def acquire(asked: operations.Acquire, channel: str) -> Command:
    """Its waiter is woken through ``channel``."""
    start = asked.start
    begun: Command = _NO_START
    if start is not None:
        times = (start.idle, start.absolute)
        begun = (id_of(start.id), start.payload, start.owner, *times)
    return (
        id_of(asked.ticket),
        asked.lease,
        asked.holder,
        asked.look_every,
        flag(asked.queue),
        flag(asked.read),
        optional(asked.touch_every),
        asked.keep,
        channel,
        *begun,
    )


OF_A_KEY: dict[type[operations.Operation], tuple[str, Callable[[Any], Command]]] = {
    operations.Delete: ("delete", delete),
    operations.Finish: ("finish", finish),
    operations.Read: ("read", read),
    operations.Release: ("release", release),
    operations.Renew: ("renew", renew),
    operations.Resume: ("resume", resume),
    operations.Start: ("start", start),
    operations.Time: ("time", time),
    operations.Touch: ("touch", touch),
    operations.Write: ("write", write),
}
"""The script for each operation on a key but `Acquire`, and what makes its arguments."""
