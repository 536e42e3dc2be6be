"""Random walks: the same operations asked of a backend and of the machine, answer by answer."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from sessiontracker.machine import apply
from sessiontracker.operations import (
    FOREVER,
    Acquire,
    Address,
    Delete,
    Finish,
    Found,
    Granted,
    Hold,
    Operation,
    Outcome,
    Page,
    Read,
    Release,
    Renew,
    Resume,
    Saved,
    Scan,
    Stamp,
    Start,
    Touch,
    Write,
)
from sessiontracker.state import EMPTY, Slot, sweep
from tests.clock import Clock

ADDRESSES = [
    Address("checkout", "", "kone"),
    Address("checkout", "", "ktwo/../.. \\ \N{SNOWMAN}"),
    Address("login", "a" * 22, "kios"),
    Address("login", "a" * 22, "kandroid"),
]


class Model:
    """The machine over a dictionary."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.slots: dict[Address, Slot] = {}

    def ask(self, operation: Operation) -> Outcome:
        name = operation.address.slot
        slot, outcome = apply(self.slots.get(name, EMPTY), operation, self.clock())
        self.slots[name] = slot
        return outcome

    def page(self, scan: Scan) -> set[tuple[Address, bytes]]:
        found = set[tuple[Address, bytes]]()
        for name, slot in self.slots.items():
            for stored, key in sweep(slot, self.clock())[0].keys.items():
                record = key.finished if scan.finished else key.active
                if record is not None and name.type == scan.type:
                    found.add((Address(name.type, name.scope, stored), record.payload))
        return found


def items(page: Outcome) -> set[tuple[Address, bytes]]:
    assert isinstance(page, Page)
    return {(item.address, item.payload) for item in page.items}


class Walker:
    """Makes up operations that have a good chance, out of what earlier ones answered."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self.random = Random(seed)
        self.clock = clock
        self._ids = 0
        self._stamps: list[Stamp] = [Stamp(1, 1, 1)]
        self._holds: list[Hold] = [Hold(1, 1)]
        self._sent: list[Operation] = []

    def batch(self) -> list[Operation]:
        self.clock.now += self.random.choice([0, 1, 500, 20_000, 900_000, 65_000_000])
        return [self._operation() for _ in range(self.random.randint(1, 6))]

    def note(self, outcome: Outcome, operation: Operation) -> None:
        self._sent = [*self._sent[-20:], operation]
        if isinstance(outcome, (Found, Saved)):
            self._stamps = [*self._stamps[-6:], outcome.meta.stamp]
        if isinstance(outcome, Granted):
            ticket = getattr(operation, "ticket", 0)
            self._holds = [*self._holds[-4:], Hold(ticket, outcome.token)]

    def _id(self) -> int:
        self._ids += 1
        return self._ids + 1_000

    def _operation(self) -> Any:
        choose, address = self.random.choice, self.random.choice(ADDRESSES)
        stamp, hold = choose(self._stamps), choose(self._holds)
        lock = choose([None, None, hold])
        kinds: list[Iterator[Operation] | Any] = [
            lambda: Start(address, self._id(), b"new", idle=choose([0, 30_000]), lock=lock),
            lambda: Start(address, self._id(), b"new", absolute=90_000, read=True),
            lambda: Read(address, slide=True, touch_every=choose([None, 0])),
            lambda: Read(address, finished=True),
            lambda: Touch(address, life=choose([0, stamp.life])),
            lambda: Write(
                address,
                self._id(),
                stamp,
                self.random.randbytes(self.random.choice([0, 10, 5_000])),
                lock=lock,
                release=choose([False, True]),
            ),
            lambda: Finish(address, self._id(), choose([0, 50_000, FOREVER])),
            lambda: Finish(address, self._id(), 50_000, stamp=stamp, payload=b"end", lock=lock),
            lambda: Resume(address, self._id(), lock=lock),
            lambda: Delete(address, self._id()),
            lambda: Delete(address, self._id(), stamp=stamp, lock=lock),
            lambda: Acquire(
                address, choose([hold.ticket, self._id()]), 30_000, queue=choose([False, True])
            ),
            lambda: Acquire(
                address, self._id(), 1_000, read=True, start=Start(address, self._id(), b"made")
            ),
            lambda: Renew(address, hold.ticket, hold.token, 30_000),
            lambda: Release(address, hold.ticket, life=choose([0, stamp.life])),
            lambda: choose(self._sent or [Read(address)]),
        ]
        return choose(kinds)()
