# Generated from sessiontracker/_async/compare_and_swap.py by scripts/generate_sync.py: edit that.
"""A backend made of a store that can load a blob and store it if nobody else has meanwhile."""

from __future__ import annotations

import logging
import random
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from heapq import nsmallest
from math import ceil
from typing import Any, NamedTuple

from ..blobs import (
    UndecodableError,
    claims,
    decode,
    encode,
    prefix,
    shed,
    shorten,
    slot_name,
    step,
)
from ..contract import Asked, Backend
from ..errors import BackendError, BackendUnavailableError, CapabilityError, SessionTrackerError
from ..machine import depends_on_time
from ..operations import (
    Acquire,
    Address,
    Broken,
    Failed,
    Item,
    NoAnswer,
    Operation,
    Outcome,
    Page,
    Ping,
    Pong,
    Queued,
    Reap,
    Reaped,
    Release,
    Scan,
    Time,
    Unavailable,
    repeat,
)
from ..state import EMPTY, Slot, due, sweep
from .runtime import all_of, monotonic, sleep
from .wakes import Wakes

__all__ = ["CompareAndSwapBackend"]

_log = logging.getLogger("sessiontracker")
_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.25
_NOWHERE = slot_name(Address("", "", ""))


class CompareAndSwapBackend(Backend):
    """A backend for anything that can load and conditionally store one blob.

    Write `load` and `store`, and `slots` for scan and reap; the machine does the rest. A slot's
    name is at most 81 characters out of ``a-z0-9_-``. An error that a method raises is taken
    for a store that does not answer, and asked again: after a `store` that raised, another
    `load` finds out what came of it. A `SessionTrackerError` says that nothing was done: a
    `BackendUnavailableError` that it may be asked again as it is, any other goes to the caller.
    """

    look_every = 1.0
    lanes = 16
    batch = 64

    look_soon: float = 0.02
    """How soon, in seconds, who is first in line looks again: at first, and at most an eighth of
    the time that it has waited later."""

    patience: float = 2.0
    """For how many seconds a step is tried again after it lost a race."""

    max_clock_skew: float = 1.0
    """By how many seconds the clocks of this store's clients may differ where `load` gives no
    time; leases end so much earlier for their holders. No step is stored that was decided longer
    ago."""

    def __init__(self) -> None:
        self._wakes = Wakes()
        self._line: dict[int, _Place] = {}

    # What the author writes ------------------------------------------------------

    @abstractmethod
    def load(self, slot: str) -> tuple[bytes | None, Any, int | None]:
        """The blob called ``slot`` (None: there is none), its tag, the store's clock in µs.

        Whatever `store` has acknowledged must be seen. A tag is any value that changes with
        each change of the blob. The clock is read after the blob; None: the store has none.
        """

    @abstractmethod
    def store(self, slot: str, blob: bytes | None, if_tag: Any) -> bool:
        """Store ``blob`` (None: delete it) if its tag is still ``if_tag``; whether it was."""

    def slots(self, after: str, limit: int) -> Sequence[str]:
        """The first ``limit`` names after that one, in order; fewer only if these are the last."""
        raise CapabilityError(
            f"{type(self).__name__} cannot list its slots, so it can neither scan nor reap: "
            "choose another backend for this session type"
        )

    def now(self) -> int:
        """This client's clock, in µs since 1970, for a store that has none."""
        return time.time_ns() // 1000

    # The contract ------------------------------------------------------------------

    def open(self) -> None:
        """Ask the store once. Raises: BackendUnavailableError."""
        try:
            self.load(_NOWHERE)
        except SessionTrackerError:
            raise
        except Exception as error:
            raise BackendUnavailableError(f"the store does not answer: {_reason(error)}") from error

    def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        groups: dict[Address, list[int]] = {}
        work: list[tuple[list[int], Callable[[], list[Outcome]]]] = []
        for index, operation in enumerate(operations):
            if isinstance(operation, Operation) and not isinstance(operation, Time):
                groups.setdefault(operation.address.slot, []).append(index)
            else:
                work.append(([index], partial(self._whole, operation)))
        for slot, indexes in groups.items():
            asked: list[Any] = [operations[index] for index in indexes]
            work.append((indexes, partial(self._step, slot, asked)))
        answers: dict[int, Outcome] = {}
        parts = all_of([part for _, part in work])
        for (indexes, _), outcomes in zip(work, parts, strict=True):
            answers.update(zip(indexes, outcomes, strict=True))
        return [answers[index] for index in range(len(operations))]

    def wait(self, ticket: int, timeout: float) -> None:
        place = self._line.get(ticket)
        if place is not None:
            soon = max(self.look_soon * (1 + place.ahead), (monotonic() - place.since) / 8)
            pause = min(soon, self.look_every / 4) * random.uniform(0.5, 1.5)
            timeout = min(timeout, pause)
        self._wakes.wait(ticket, timeout)

    # A step on one slot --------------------------------------------------------------

    def _step(self, slot: Address, operations: Sequence[Operation]) -> list[Outcome]:
        try:
            return self._decided(slot, operations)
        except UnicodeEncodeError as error:
            if len(operations) == 1:
                return [Failed(BackendError(f"no store can keep a lone surrogate: {error}"))]
        alone: list[Outcome] = []
        for operation in operations:
            alone += self._step(slot, [operation])
        return alone

    def _decided(self, slot: Address, operations: Sequence[Operation]) -> list[Outcome]:
        name = slot_name(slot)
        began = monotonic()
        doubt: _Doubt | None = None
        pause = _FIRST_PAUSE
        while True:
            try:
                loaded = self._load(name)
            except Exception as error:
                return self._all(operations, _outcome(error), doubt)
            if doubt is not None and loaded.data is not None and loaded.data == doubt.data:
                return self._told(operations, loaded, doubt.outcomes)
            asked: Sequence[Operation] = operations
            if doubt is not None:
                # By the clock of whoever sends it: what others have done after that is no older.
                now = self.now() if loaded.clock is None else loaded.clock
                since = max(1, now // 1000 - ceil((monotonic() - began) * 1000))
                asked = [repeat(each, getattr(each, "since", 0) or since) for each in operations]
            after, outcomes = step(loaded.slot, asked, loaded.now)
            kept, expired = shed(after, loaded.now, self._skew(loaded))
            # What expired has gone once it is removed: somebody who was in time may have prolonged
            # it since the blob was loaded, or be about to.
            is_to_go = expired > 0 and any(map(depends_on_time, outcomes))
            is_in_doubt = doubt is not None and doubt.tag == loaded.tag
            if after is loaded.slot and not is_to_go and not is_in_doubt:
                return self._told(operations, loaded, outcomes)
            # With the very tag that a request without an answer was sent for, something is
            # stored in any case: that request comes too late from then on.
            data = encode(slot, loaded.now, kept)
            if monotonic() - loaded.at <= self.max_clock_skew:
                try:
                    if self.store(name, data, loaded.tag):
                        return self._told(operations, loaded._replace(slot=kept), outcomes)
                except SessionTrackerError as error:
                    return self._all(operations, _outcome(error), doubt)
                except Exception as error:
                    doubt = _Doubt(data, loaded.tag, outcomes, _reason(error))
            if monotonic() - began > self.patience:
                busy = Unavailable(f"others kept changing the slot for {self.patience:g} s")
                return self._all(operations, busy, doubt)
            sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _load(self, name: str) -> _Loaded:
        at = monotonic()
        data, tag, clock = self.load(name)
        if data is None:
            now = self.now() if clock is None else clock
            return _Loaded(at, data, tag, clock, now, EMPTY)
        blob = decode(name, data)
        now = self._not_before(blob.time) if clock is None else clock
        return _Loaded(at, data, tag, clock, now, blob.slot, blob.address)

    def _not_before(self, time: int) -> int:
        """This client's clock, or the other's who left a slot at ``time``: it never goes back."""
        now = self.now()
        if time - now > self.max_clock_skew * 1_000_000:
            raise BackendUnavailableError(
                f"this process's clock is {(time - now) / 1e6:.3g} s behind that of another "
                f"client, max_clock_skew is {self.max_clock_skew:g} s: set the clocks by NTP"
            )
        return max(now, time)

    def _skew(self, loaded: _Loaded) -> int:
        """How far apart, in ms, the clocks may be that a slot is seen by."""
        return 0 if loaded.clock is not None else round(self.max_clock_skew * 1000)

    def _all(
        self, operations: Sequence[Operation], outcome: Outcome, doubt: _Doubt | None
    ) -> list[Outcome]:
        """One outcome for all ``operations``; once one was sent without an answer, none."""
        if doubt is not None:
            outcome = NoAnswer(doubt.reason)
        for operation in operations:
            if isinstance(operation, Release):  # who waited has gone, whatever the store says
                self._forget(operation, outcome)
        return [outcome] * len(operations)

    def _told(
        self, operations: Sequence[Operation], loaded: _Loaded, outcomes: list[Outcome]
    ) -> list[Outcome]:
        """``outcomes``, after those who wait in this process were told what concerns them."""
        for operation, outcome in zip(operations, outcomes, strict=True):
            if type(operation) is Acquire and type(outcome) is Queued:
                self._wakes.note(operation, outcome)
                place = self._line.get(operation.ticket)
                since = monotonic() if place is None else place.since
                self._line[operation.ticket] = _Place(outcome.ahead, since)
            elif isinstance(operation, (Acquire, Release)):
                self._forget(operation, outcome)
        self._wake(claims(loaded.slot))
        skew = self._skew(loaded)
        return shorten(outcomes, skew) if skew else outcomes

    def _forget(self, operation: Acquire | Release, outcome: Outcome) -> None:
        self._wakes.note(operation, outcome)
        self._line.pop(operation.ticket, None)

    def _wake(self, tickets: Iterable[int]) -> None:
        """Their turn has come, as a step on their slot found out."""
        for ticket in tickets:
            self._wakes.wake(ticket)

    # The store as a whole ------------------------------------------------------------

    def _whole(self, operation: Scan | Reap | Ping | Time) -> list[Outcome]:
        try:
            if isinstance(operation, Scan):
                return [self._scan(operation)]
            if isinstance(operation, Reap):
                return [Reaped(self._reap(operation.limit))]
            _, _, clock = self.load(_NOWHERE)
            return [Pong(self.now() if clock is None else clock)]
        except Exception as error:
            return [_outcome(error)]

    def _scan(self, scan: Scan) -> Page:
        first = prefix(scan.type)
        cursor = scan.cursor or first
        items: list[Item] = []
        while True:
            names = self.slots(cursor, scan.limit)
            wanted = [name for name in names if name.startswith(first)]
            for loaded in self._load_all(wanted):
                if loaded.address.type == scan.type:
                    items += _items(loaded, scan.finished)
                if len(items) >= scan.limit:
                    return Page(items, slot_name(loaded.address))
            if len(wanted) < scan.limit:
                return Page(items, "")
            cursor = wanted[-1]

    def _reap(self, limit: int) -> int:
        """Sweep what is due, oldest first, until ``limit`` sessions went."""
        overdue: list[tuple[int, str]] = []
        cursor = ""
        while True:
            names = self.slots(cursor, self.batch)
            for loaded in self._load_all(names):
                when = due(loaded.slot)
                if when <= loaded.now // 1000:
                    overdue.append((when, slot_name(loaded.address)))
            if len(names) < self.batch:
                break
            cursor = names[-1]
            overdue = nsmallest(limit, overdue)
        gone = 0
        for _, name in sorted(overdue):
            if gone >= limit:
                break
            gone += self._sweep(name)
        return gone

    def _sweep(self, name: str) -> int:
        """How many sessions went; 0 if somebody else was at the slot, who swept it too."""
        for loaded in self._load_all([name]):
            kept, gone = shed(loaded.slot, loaded.now, self._skew(loaded))
            if kept is not loaded.slot:
                data = encode(loaded.address, loaded.now, kept)
                if self.store(name, data, loaded.tag):
                    return gone
        return 0

    def _load_all(self, names: Sequence[str]) -> list[_Loaded]:
        """What is stored under ``names``; what cannot be read is logged, and left as it is."""
        found = all_of([partial(self._load_if_sound, name) for name in names])
        return [loaded for loaded in found if loaded is not None and loaded.data is not None]

    def _load_if_sound(self, name: str) -> _Loaded | None:
        try:
            return self._load(name)
        except UndecodableError as error:
            _log.warning("left out: %s", error)
            return None


class _Place(NamedTuple):
    """Where one stands in a queue, since when."""

    ahead: int
    since: float


class _Loaded(NamedTuple):
    """A slot as it was loaded."""

    at: float  # when it was asked for
    data: bytes | None
    tag: Any
    clock: int | None
    now: int  # µs
    slot: Slot
    address: Address = Address("", "", "")


class _Doubt(NamedTuple):
    """What was sent to the store, for which tag, and never answered."""

    data: bytes | None
    tag: Any
    outcomes: list[Outcome]
    reason: str


def _items(loaded: _Loaded, finished: bool) -> list[Item]:
    slot, _ = sweep(loaded.slot, loaded.now)
    items: list[Item] = []
    for name, key in slot.keys.items():
        record = key.finished if finished else key.active
        if record is not None:
            address = Address(loaded.address.type, loaded.address.scope, name)
            items.append(Item(address, record.meta, record.payload, slot.shared))
    return items


def _outcome(error: Exception) -> Outcome:
    """What a caller is told of ``error``, where nothing was done."""
    if isinstance(error, UndecodableError):
        return Broken(str(error))
    if isinstance(error, BackendUnavailableError):
        return Unavailable(str(error))
    if isinstance(error, SessionTrackerError):
        return Failed(error)
    return Unavailable(_reason(error))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
