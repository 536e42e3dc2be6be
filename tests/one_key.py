"""One key of the machine, as its tests ask it."""

from __future__ import annotations

from typing import Any

import msgspec

from sessiontracker.machine import apply
from sessiontracker.operations import (
    Acquire,
    Address,
    Delete,
    Deleted,
    Finish,
    Found,
    Granted,
    Hold,
    Meta,
    Operation,
    Outcome,
    Read,
    Resume,
    Saved,
    Stamp,
    Start,
    Write,
)
from sessiontracker.state import EMPTY

__all__ = ["BEGIN", "DAY", "HERE", "Store", "again", "found", "granted", "saved"]

HERE = Address("checkout", "", "korder-42")
DAY = 86_400_000
BEGIN = 1_800_000_000_000  # ms


class Store:
    """A slot and a clock that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.slot = EMPTY
        self.now = BEGIN * 1000
        self._ids = 0

    def id(self) -> int:
        self._ids += 1
        return self._ids

    @property
    def ms(self) -> int:
        return self.now // 1000

    def go_on(self, ms: float) -> None:
        self.now += round(ms * 1000)

    def ask(self, operation: Operation) -> Outcome:
        self.slot, outcome = apply(self.slot, operation, self.now)
        return outcome

    # Shorthands: what is asked, and that it is granted

    def start(self, payload: bytes = b"new", **more: Any) -> Meta:
        return saved(self.ask(Start(HERE, self.id(), payload, **more)))

    def write(self, stamp: Stamp, payload: bytes = b"written", **more: Any) -> Meta:
        return saved(self.ask(Write(HERE, self.id(), stamp, payload, **more)))

    def finish(self, retention: int = DAY, **more: Any) -> Meta:
        return found(self.ask(Finish(HERE, self.id(), retention, **more))).meta

    def resume(self) -> Meta:
        return found(self.ask(Resume(HERE, self.id()))).meta

    def delete(self) -> Deleted:
        outcome = self.ask(Delete(HERE, self.id()))
        assert isinstance(outcome, Deleted)
        return outcome

    def read(self, **more: Any) -> Outcome:
        return self.ask(Read(HERE, **more))

    def lock(self, ticket: int, lease: int = 30_000, **more: Any) -> Hold:
        return Hold(ticket, granted(self.ask(Acquire(HERE, ticket, lease, **more))).token)

    def look(self, ticket: int, **more: Any) -> Outcome:
        return self.ask(Acquire(HERE, ticket, 30_000, f"process {ticket}", **more))


def saved(outcome: Outcome) -> Meta:
    assert isinstance(outcome, Saved), outcome
    return outcome.meta


def found(outcome: Outcome | None) -> Found:
    assert isinstance(outcome, Found), outcome
    return outcome


def granted(outcome: Outcome) -> Granted:
    assert isinstance(outcome, Granted), outcome
    return outcome


def again(store: Store, operation: Any, later: int = 5) -> Outcome:
    store.go_on(later)
    return store.ask(msgspec.structs.replace(operation, since=store.ms - later))
