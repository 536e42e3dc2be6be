"""One owner's slot of the machine, as its tests ask it."""

from __future__ import annotations

from itertools import count
from typing import Any

from msgspec.structs import replace

from sessiontracker.machine import apply
from sessiontracker.operations import (
    Acquire,
    Address,
    Counted,
    CountOwner,
    EndOwner,
    Finish,
    Found,
    FoundShared,
    Granted,
    Hold,
    Limit,
    Listed,
    ListOwner,
    Meta,
    Operation,
    Outcome,
    Read,
    ReadShared,
    Resume,
    Saved,
    SavedShared,
    Shared,
    Start,
    WriteShared,
)
from sessiontracker.state import EMPTY

__all__ = ["BEGIN", "DAY", "OWNER", "Store", "at"]

OWNER = Address("login", "c2NvcGUgb2YgMTI4IGJpdA", "")
DAY = 86_400_000
BEGIN = 1_800_000_000_000  # ms


class Store:
    """An owner's slot and a clock that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.slot = EMPTY
        self.now = BEGIN * 1000
        self.ids = count(1)

    @property
    def ms(self) -> int:
        return self.now // 1000

    def go_on(self, ms: float) -> None:
        self.now += round(ms * 1000)

    def ask(self, operation: Operation) -> Any:
        self.slot, outcome = apply(self.slot, operation, self.now)
        return outcome

    def id(self) -> int:
        return next(self.ids)

    # Shorthands

    def try_to_start(self, key: str, payload: bytes = b"new", **more: Any) -> Outcome:
        outcome: Outcome = self.ask(Start(at(key), self.id(), payload, "alice", **more))
        return outcome

    def start(self, key: str, payload: bytes = b"new", **more: Any) -> Meta:
        outcome = self.try_to_start(key, payload, **more)
        assert isinstance(outcome, Saved), outcome
        return outcome.meta

    def finish(self, key: str, retention: int = DAY) -> Meta:
        outcome = self.ask(Finish(at(key), self.id(), retention))
        assert isinstance(outcome, Found), outcome
        return outcome.meta

    def resume(self, key: str, limit: Limit | None = None) -> Outcome:
        outcome: Outcome = self.ask(Resume(at(key), self.id(), limit=limit))
        return outcome

    def read(self, key: str, **more: Any) -> Outcome:
        outcome: Outcome = self.ask(Read(at(key), **more))
        return outcome

    def listed(self) -> list[str]:
        outcome = self.ask(ListOwner(OWNER))
        assert isinstance(outcome, Listed), outcome
        keys = [item.address.key for item in outcome.items]
        counted = self.ask(CountOwner(OWNER))
        assert counted == Counted(len(keys))
        return keys

    def finish_all(self, retention: int = DAY, keep: str = "", **more: Any) -> Outcome:
        outcome: Outcome = self.ask(EndOwner(OWNER, self.id(), retention, keep, **more))
        return outcome

    def delete_all(self, keep: str = "", **more: Any) -> Outcome:
        outcome: Outcome = self.ask(EndOwner(OWNER, self.id(), None, keep, **more))
        return outcome

    def shared(self) -> Shared | None:
        outcome = self.ask(ReadShared(OWNER))
        assert isinstance(outcome, FoundShared), outcome
        return outcome.shared

    def share(self, payload: bytes, keep: int = DAY) -> int:
        now = self.shared()
        version, write = (0, 0) if now is None else (now.version, now.write)
        outcome = self.ask(WriteShared(OWNER, self.id(), version, write, payload, keep))
        assert isinstance(outcome, SavedShared), outcome
        return outcome.version

    def lock(self, key: str, ticket: int) -> Hold:
        outcome = self.ask(Acquire(at(key), ticket, 30_000))
        assert isinstance(outcome, Granted), outcome
        return Hold(ticket, outcome.token)


def at(key: str) -> Address:
    return replace(OWNER, key=key)
