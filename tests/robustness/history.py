"""What clients asked and were told: one JSON object a line, as it happened.

A call is two lines, so that a client that is killed leaves what it had begun: ``begin`` with all
that was asked, and ``end`` with the answer. Times are in ns of the monotonic clock, which the
processes of a machine share.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from time import monotonic_ns
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

__all__ = ["OK", "UNKNOWN", "Answer", "Call", "Hold", "Recorder", "Stamp", "read_calls"]

Do = Literal[
    "start",
    "get",
    "get_finished",
    "touch",
    "update",
    "finish",
    "finish_session",
    "resume",
    "delete",
    "lock",  # enter lock()
    "get_locked",  # enter get_locked()
    "unlock",  # leave either, with nothing to save
    "save",  # leave get_locked() with something to save
    "abandon",  # leave either because of an exception
]

Stamp: TypeAlias = tuple[int, int, int]  # the life, the version, the last write's id
Hold: TypeAlias = tuple[int, int]  # the number of the call that took the lock, the token

OK = "ok"
UNKNOWN = "unknown"


class Answer(Struct, frozen=True, omit_defaults=True):
    """``what`` is OK, UNKNOWN, or the name of the error; then what came with it."""

    what: str
    stamp: Stamp | None = None
    value: str | None = None
    token: int | None = None
    version: int | None = None  # of a StaleSessionError: the store's
    existed: bool | None = None  # of delete
    message: str | None = None  # of an error that should not have been


class Call(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One call of one client, on one key. ``end`` None: it had no answer."""

    number: int
    client: str
    do: Do
    key: str
    begin: int
    end: int | None = None
    answer: Answer = Answer(UNKNOWN)
    stamp: Stamp | None = None  # as read, of one who writes
    value: str | None = None  # that was to be written
    hold: Hold | None = None
    lease: int | None = None  # ns

    @property
    def is_ok(self) -> bool:
        return self.answer.what == OK


class _Begin(Struct, frozen=True, tag_field="is", tag="begin"):
    call: Call


class _End(Struct, frozen=True, tag_field="is", tag="end"):
    number: int
    end: int
    answer: Answer


_decoder = msgspec.json.Decoder(_Begin | _End)


class Recorder:
    """Writes a client's calls down. ``first`` is the number of its first, unlike any other's; it
    may be a ticket, which is never 0.

    Each line is with the operating system before the call begins, or its caller goes on.
    """

    def __init__(self, path: Path, first: int = 1) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._numbers = itertools.count(first)  # which threads may share

    def begin(self, client: str, do: Do, key: str, **asked: Any) -> int:
        """The number of the call, which begins now."""
        number = next(self._numbers)
        call = Call(number=number, client=client, do=do, key=key, begin=monotonic_ns(), **asked)
        self._write(_Begin(call))
        return number

    def end(self, number: int, answer: Answer) -> None:
        self._write(_End(number, monotonic_ns(), answer))

    def _write(self, line: Struct) -> None:
        os.write(self._file, msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        os.close(self._file)


def read_calls(paths: Iterable[Path]) -> list[Call]:
    """All calls, in the order in which they began."""
    begun: dict[int, Call] = {}
    for path in paths:
        for line in path.read_bytes().splitlines():
            match _decoder.decode(line):
                case _Begin(call):
                    begun[call.number] = call
                case _End(number, end, answer):
                    known = begun[number]
                    begun[number] = msgspec.structs.replace(known, end=end, answer=answer)
    return sorted(begun.values(), key=lambda call: call.begin)
