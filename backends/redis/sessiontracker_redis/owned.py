"""What concerns an owner: what its scripts are given, and what they answer with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from msgspec.structs import replace

from sessiontracker.backend import operations

from .arguments import Command, hold, id_of, stamp, token
from .records import NotASessionError, found, meta, metas

__all__ = [
    "OF_AN_OWNER",
    "in_progress",
    "items",
    "limit_of",
    "saved",
    "shared",
    "with_shared",
]


# What scripts are given --------------------------------------------------------


def _list(_: operations.ListOwner) -> Command:
    return (b"",)


def _count(_: operations.CountOwner) -> Command:
    return ()


def _end(asked: operations.EndOwner) -> Command:
    retention = b"" if asked.retention is None else asked.retention
    return (id_of(asked.id), retention, asked.keep, asked.since)


def _rotate(asked: operations.Rotate) -> Command:
    held = hold(asked.lock)
    return (id_of(asked.id), *stamp(asked.stamp), asked.payload, asked.to, *held, asked.since)


def _read_shared(_: operations.ReadShared) -> Command:
    return ()


def _write_shared(asked: operations.WriteShared) -> Command:
    read = (token(asked.version), asked.write.to_bytes(8, "big"))
    return (id_of(asked.id), *read, asked.payload, asked.keep, asked.since)


OF_AN_OWNER: dict[type[operations.Operation], tuple[str, Callable[[Any], Command]]] = {
    operations.CountOwner: ("count", _count),
    operations.EndOwner: ("end", _end),
    operations.ListOwner: ("list", _list),
    operations.ReadShared: ("read_shared", _read_shared),
    operations.Rotate: ("rotate", _rotate),
    operations.WriteShared: ("write_shared", _write_shared),
}
"""The script for each operation on an owner as a whole, and what makes its arguments."""


def limit_of(asked: operations.Operation) -> Command:
    """What a script that may begin a session is told of the owner's limit."""
    begun = asked.start if isinstance(asked, operations.Acquire) else asked
    if isinstance(begun, (operations.Start, operations.Resume)) and begun.limit is not None:
        most, makes_room, retention = (
            begun.limit.most,
            begun.limit.finish_oldest,
            begun.limit.retention,
        )
        return (most, b"1" if makes_room else b"", retention)
    return (b"", b"", b"")


# What they answer with ---------------------------------------------------------

_STARTED = attrgetter("meta.started")
_HEAD = 53  # bytes of an owner's own key before what is shared: see lua/owned/owner.lua


def shared(text: bytes | None) -> operations.Shared | None:
    """What the sessions share, as the owner's own key has it."""
    if not text:
        return None
    try:
        version = int(text[19:38])
    except ValueError:
        raise NotASessionError("what an owner's sessions share has no version") from None
    if not version:
        return None
    write, kept = int.from_bytes(text[38:46], "big"), int.from_bytes(text[46:_HEAD], "big")
    return operations.Shared(text[_HEAD:], version, write, kept)


def _names(fields: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(sorted(name.decode(errors="replace") for name in fields))


def saved(fields: Sequence[Any]) -> operations.Outcome:
    """A head; of an owned one, what is shared, and the names of those that made room."""
    head, *more = fields
    if not more:
        return operations.Saved(meta(head))
    return operations.Saved(meta(head), shared(more[0]), _names(more[1:]))


def in_progress(fields: Sequence[Any]) -> operations.Outcome:
    text, *more = fields
    session = found(text)
    return operations.InProgress(replace(session, shared=shared(more[0])) if more else session)


def with_shared(outcome: operations.Outcome, fields: Sequence[Any]) -> operations.Outcome:
    """``outcome``, a session's, with what is shared and the names of those that made room."""
    together = shared(fields[0])
    if isinstance(outcome, operations.Granted) and outcome.found is not None:
        session = replace(outcome.found, shared=together)
        return replace(outcome, found=session, ended=_names(fields[1:]))
    return replace(outcome, shared=together) if isinstance(outcome, operations.Found) else outcome


def items(
    owner: operations.Address, fields: Sequence[Any], *, finished: bool = False
) -> list[operations.Item]:
    """The sessions of an owner that the script ``list`` found, newest first. Strangers are passed
    over."""
    time, heads, payloads, text = fields
    ms, together = _ms(time), shared(text)
    known, stored = _by_name(payloads), _by_name(heads)
    names = sorted(stored)  # what started in the same moment stays in this order
    sessions: list[operations.Item] = []
    heads_in_order = [stored[name] for name in names]
    for name, about in zip(names, metas(heads_in_order, finished=finished), strict=True):
        if about is None or about.expires <= ms:
            continue
        try:
            address = operations.Address(owner.type, owner.scope, name.decode())
            sessions.append(operations.Item(address, about, known[name], together))
        except (KeyError, UnicodeDecodeError):
            continue
    sessions.sort(key=_STARTED, reverse=True)
    return sessions


def _by_name(said: Any) -> dict[bytes, bytes]:
    """A hash, as either protocol has it."""
    return said if type(said) is dict else dict(zip(said[::2], said[1::2], strict=True))


def _ms(said: Any) -> int:
    """What time it is: in ms, or as TIME says it, or in µs by a test's clock."""
    if type(said) is int:
        return said
    if type(said) is bytes:
        return int(said) // 1000
    seconds, micros = said
    return int(seconds) * 1000 + int(micros) // 1000
