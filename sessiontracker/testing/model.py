"""A random walk over all operations, which drives a backend and the machine side by side.

Every answer is compared. A backend whose clock the kit moves is held to the very
microsecond; with any other, there must be a time between question and answer at which
the machine says just the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from ..contract import Capability
from ..machine import apply
from ..operations import (
    FOREVER,
    Acquire,
    Address,
    CountOwner,
    Delete,
    EndOwner,
    Finish,
    Found,
    Granted,
    Hold,
    Limit,
    ListOwner,
    Locked,
    Meta,
    Operation,
    Outcome,
    Queued,
    Read,
    ReadShared,
    Release,
    Renew,
    Resume,
    Rotate,
    Saved,
    SavedShared,
    Stamp,
    Start,
    Touch,
    Write,
    WriteShared,
    repeat,
)
from ..state import EMPTY, Slot, sweep
from .harness import SCOPE, Clock, Store, new_address

__all__ = ["Difference", "Judge", "Step", "Walker", "replay", "shrink"]

TOKEN = 1_700_000_000_000_000
MOST_STATES = 256  # the keys of an owner, each swept or not at any of several times
REAL_SLACK = 10_000  # in ms: when a lease began is not told, but within the span of its call
FAR = 3_600_000  # timeouts that do not pass while a walk goes on in real time


class Step(Struct, frozen=True):
    """So many µs later, this."""

    later: int
    operation: Operation


class Difference(Struct, frozen=True):
    """What the backend answered, and what the machine would have."""

    outcome: Outcome
    expected: Outcome


class Judge:
    """The machine beside the backend: every state that it may be in.

    They differ by whether the store has swept what is forgotten or over, which it may do
    at any time, and by when, within the span of a call, things happened.
    """

    def __init__(self, store: Store) -> None:
        self._slots: dict[Address, list[Slot]] = {}
        self._fair = Capability.FAIR in store.plugin.capabilities
        self._slack = 0 if store.clock is not None else REAL_SLACK
        self._skew = store.skew
        self.now = 0  # the store's clock after the last step, where it runs by itself

    def judge(
        self, operation: Operation, outcome: Outcome, before: int, after: int
    ) -> Difference | None:
        name = operation.address.slot
        possible: list[Slot] = []
        expected: Outcome | None = None
        times = _times(outcome, before, after)
        self._sweep(before)
        for slot in self._slots.get(name, [EMPTY]):
            for now in times:
                state, answer = apply(slot, operation, now)
                if self._same(answer, outcome):
                    if state not in possible:
                        possible.append(state)
                elif expected is None:
                    expected = answer
        if not possible:
            assert expected is not None
            return Difference(outcome, expected)
        self._slots[name] = possible[:MOST_STATES]
        return None

    def _sweep(self, now: int) -> None:
        for slots in self._slots.values():
            for slot in slots:  # also those that are found on the way
                swept, _ = sweep(slot, now)
                if swept is slot:
                    continue
                for state in (swept, *_swept_in_part(slot, swept)):
                    if state not in slots:
                        slots.append(state)

    def _same(self, expected: Outcome, outcome: Outcome) -> bool:
        if type(expected) is not type(outcome):
            return False
        if isinstance(expected, Queued) and not self._fair:
            return True  # where in line is nobody's business there
        if isinstance(expected, Granted) and isinstance(outcome, Granted):
            left = expected.expires_in - outcome.expires_in
            if 0 <= left <= self._skew:
                outcome = replace(outcome, expires_in=expected.expires_in)
        if isinstance(expected, Locked) and isinstance(outcome, Locked):
            if abs(expected.expires_in - outcome.expires_in) <= self._slack:
                outcome = replace(outcome, expires_in=expected.expires_in)
        if isinstance(expected, Queued) and isinstance(outcome, Queued):
            if abs(expected.look_in - outcome.look_in) <= self._slack:
                outcome = replace(outcome, look_in=expected.look_in)
        return expected == outcome

    def due(self) -> Iterator[int]:
        """When, in ms, time next changes something, as far as one can see."""
        for slots in self._slots.values():
            for key in slots[0].keys.values():
                for record in (key.active, key.finished):
                    if record is not None and record.meta.expires < FOREVER:
                        yield record.meta.expires
                if key.lock is not None and key.lock.lease is not None:
                    yield key.lock.lease.until


def _swept_in_part(slot: Slot, swept: Slot) -> Iterator[Slot]:
    """``slot`` without one of the things of an owner's that it lacks when it is ``swept``."""
    for name in slot.keys.keys() - swept.keys.keys():
        keys = {other: key for other, key in slot.keys.items() if other != name}
        yield Slot(keys, slot.shared, slot.ending)
    if swept.shared is not slot.shared:
        yield Slot(slot.keys, swept.shared, slot.ending)
    if swept.ending is not slot.ending:
        yield Slot(slot.keys, slot.shared, swept.ending)


def _times(outcome: Outcome, before: int, after: int) -> list[int]:
    """The points in time, in µs, at which ``outcome`` may have come about."""
    if before == after:
        return [before]
    times = {before, after}
    first, last = before // 1000 + 1, after // 1000
    times.update(ms * 1000 for ms in range(first, min(last, first + 200) + 1))
    if isinstance(outcome, Granted) and before <= outcome.token <= after:
        return [outcome.token]
    if isinstance(outcome, SavedShared) and before <= outcome.version <= after:
        return [outcome.version]
    return sorted(times)


@dataclass
class Walker:
    """Draws one step after another, with what earlier ones taught."""

    random: Random
    places: list[Address]
    storage: bool
    locking: bool
    fair: bool
    real: bool
    elsewhere: bool
    owners: bool
    stamps: dict[Address, list[Stamp]] = field(default_factory=dict[Address, list[Stamp]])
    tokens: dict[Address, list[Hold]] = field(default_factory=dict[Address, list[Hold]])
    metas: list[Meta] = field(default_factory=list[Meta])
    shared: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    sent: list[tuple[int, Operation]] = field(default_factory=list[tuple[int, Operation]])

    def __post_init__(self) -> None:
        self.tickets = [self._id() for _ in range(5)]
        draws: list[tuple[int, Callable[[Address], Operation]]] = []
        if self.storage:
            draws += [
                (12, self._start),
                (12, self._read),
                (5, self._touch),
                (16, self._write),
                (9, self._finish),
                (8, self._resume),
                (7, self._delete),
            ]
        self.owners = self.owners and self.random.random() < 0.6
        if self.owners:
            draws += [
                (5, self._list_or_count),
                (5, self._end),
                (4, self._rotate),
                (3, self._read_shared),
                (5, self._write_shared),
            ]
        if self.locking and not self.elsewhere:
            draws += [(16, self._acquire), (7, self._renew), (9, self._release)]
        # Each walk has a temper of its own: some do much of this, and hardly any of that.
        self._draws = [draw for _, draw in draws]
        self._weights = [weight * self.random.choice((0.2, 1, 1, 3)) for weight, _ in draws]
        self._lasting = self.random.random() < 0.5
        self._crowding = self.random.choice((0.25, 0.9))

    def draw(self, now: int, due: Iterator[int]) -> Step:
        random = self.random
        later = 0 if self.real else self._later(now, list(due))
        if self.sent and random.random() < 0.15:
            at, operation = random.choice(self.sent[-8:])
            since = 1 if self.real else at // 1000 - random.choice((0, 0, 1))
            return Step(later, repeat(operation, since))
        place = self.places[0] if random.random() < self._crowding else random.choice(self.places)
        operation = self._operation(place)
        self.sent.append((now + later, operation))
        return Step(later, operation)

    def learn(self, operation: Operation, outcome: Outcome) -> None:
        place = operation.address
        if isinstance(operation, Rotate):
            place = replace(place, key=operation.to)
        if isinstance(outcome, SavedShared) and isinstance(operation, WriteShared):
            self.shared.append((outcome.version, operation.id))
        if isinstance(outcome, Granted) and isinstance(operation, (Acquire, Renew)):
            self.tokens.setdefault(place, []).append(Hold(operation.ticket, outcome.token))
        found = outcome.found if isinstance(outcome, Granted) else outcome
        if isinstance(found, (Saved, Found)):
            self.stamps.setdefault(place, []).append(found.meta.stamp)
            self.metas.append(found.meta)

    # Drawing

    def _id(self) -> int:
        return self.random.getrandbits(62) + 1

    def _later(self, now: int, due: list[int]) -> int:
        random = self.random
        if due and random.random() < 0.25:
            # The very millisecond at which something ends, or one before or after.
            at = random.choice(due) * 1000 + random.choice((-1000, -1, 0, 0, 1000))
            if 0 <= at - now <= 3_000_000_000:
                return at - now
        return random.choice((0, 0, 0, 1, 999, 1_000, 10_000, 60_000, 1_000_000, 20_000_000))

    def _span(self, *more: int) -> int:
        """A timeout in ms."""
        if self.real:
            return self.random.choice((0, FAR, 2 * FAR)) if 0 in more else FAR
        if self._lasting:
            return self.random.choice((20_000, 100_000, FAR, FAR, *more))
        return self.random.choice((1, 50, 1_000, 1_000, 20_000, 100_000, *more))

    def _stamp(self, place: Address) -> Stamp:
        known = self.stamps.get(place)
        if not known:
            return Stamp(self._id(), 1, self._id())
        # Mostly the latest, at times an older one, or one that never was.
        stamp = known[-1] if self.random.random() < 0.7 else self.random.choice(known[-6:])
        if self.random.random() < 0.05:
            return replace(stamp, version=stamp.version + 1)
        if self.random.random() < 0.05:
            return replace(stamp, write=self._id())
        return stamp

    def _life(self, place: Address) -> int:
        known = self.stamps.get(place)
        if not known or self.random.random() < 0.4:
            return 0
        return self.random.choice(known[-6:]).life

    def _hold(self, place: Address) -> Hold | None:
        random = self.random
        if self.elsewhere:
            if random.random() < 0.4:
                return None
            return Hold(self._id(), TOKEN + random.randrange(6), True, self._span())
        known = self.tokens.get(place)
        if not known or random.random() < 0.4:
            return None
        held = known[-1] if random.random() < 0.8 else random.choice(known[-6:])
        return replace(held, token=held.token + 1) if random.random() < 0.05 else held

    def _touch_every(self) -> int | None:
        return self.random.choice((None, None, 0, 1, 100, 10_000))

    def _payload(self) -> bytes:
        return b"%d" % self.random.randrange(1_000_000)

    def _operation(self, place: Address) -> Operation:
        (draw,) = self.random.choices(self._draws, self._weights)
        return draw(place)

    def _start(self, place: Address) -> Start:
        random = self.random
        adopt = None
        if self.metas and random.random() < 0.1:
            adopt = replace(random.choice(self.metas[-6:]), finished=0)
        return Start(
            place,
            self._id(),
            self._payload(),
            random.choice(("", "alice")),
            self._span(0, 0),
            self._span(0, 0),
            lock=self._hold(place),
            read=random.random() < 0.3,
            touch_every=self._touch_every(),
            adopt=adopt,
            limit=self._limit(place),
        )

    def _limit(self, place: Address) -> Limit | None:
        random = self.random
        if not self.owners or not place.scope or random.random() < 0.3:
            return None
        retention = random.choice((0, FOREVER, self._span()))
        return Limit(random.choice((1, 1, 2)), random.random() < 0.6, retention)

    def _read(self, place: Address) -> Read:
        flip = self.random.random
        return Read(place, flip() < 0.3, flip() < 0.5, self._touch_every(), self._hold(place))

    def _touch(self, place: Address) -> Touch:
        return Touch(place, self._life(place))

    def _write(self, place: Address) -> Write:
        hold, release = self._hold(place), self.random.random() < 0.4
        release = release and not self.elsewhere
        return Write(place, self._id(), self._stamp(place), self._payload(), hold, release)

    def _finish(self, place: Address) -> Finish:
        retention = self.random.choice((0, FOREVER, FOREVER, self._span()))
        hold = self._hold(place)
        if self.random.random() < 0.5:
            return Finish(place, self._id(), retention, lock=hold)
        payload = self._payload() if self.random.random() < 0.8 else None
        return Finish(place, self._id(), retention, self._stamp(place), payload, hold)

    def _resume(self, place: Address) -> Resume:
        life, hold = self._life(place), self._hold(place)
        return Resume(place, self._id(), life, hold, self._limit(place))

    def _delete(self, place: Address) -> Delete:
        kind = self.random.randrange(3)
        if kind == 0:
            return Delete(place, self._id(), self._life(place))
        if kind == 1:
            return Delete(place, self._id(), stamp=self._stamp(place), lock=self._hold(place))
        return Delete(place, self._id())

    # Of an owner: wherever the walk is, that is the owner that it knows

    def _owned(self) -> list[Address]:
        return [place for place in self.places if place.scope]

    def _owner(self) -> Address:
        return replace(self._owned()[0], key="")

    def _list_or_count(self, place: Address) -> Operation:
        return self.random.choice((ListOwner, CountOwner))(self._owner())

    def _end(self, place: Address) -> EndOwner:
        retention = self.random.choice((None, 0, FOREVER, self._span()))
        keep = self.random.choice(("", "", self.random.choice(self._owned()).key))
        return EndOwner(self._owner(), self._id(), retention, keep)

    def _rotate(self, place: Address) -> Rotate:
        old, new = self.random.sample(self._owned(), 2)
        hold = self._hold(old)
        return Rotate(old, self._id(), self._stamp(old), self._payload(), new.key, hold)

    def _read_shared(self, place: Address) -> ReadShared:
        return ReadShared(self._owner())

    def _write_shared(self, place: Address) -> WriteShared:
        random = self.random
        read = (0, 0)
        if self.shared and random.random() < 0.8:
            read = self.shared[-1] if random.random() < 0.8 else random.choice(self.shared[-4:])
        if random.random() < 0.05:
            read = read[0], self._id()
        keep = random.choice((0, FOREVER, self._span()))
        return WriteShared(self._owner(), self._id(), *read, self._payload(), keep)

    def _acquire(self, place: Address) -> Acquire:
        random = self.random
        ticket = random.choice(self.tickets)
        # Without a fair queue, who comes next is left open while more than one waits.
        queue = random.random() < 0.8 and (self.fair or ticket == self.tickets[0])
        start = None
        read = self.storage and random.random() < 0.4
        if self.storage and random.random() < 0.2:
            begun = self._start(place)
            start = replace(begun, lock=None, read=False, touch_every=None, adopt=None)
        every = FAR if self.real else random.choice((10, 1_000, 15_000))
        return Acquire(
            place,
            ticket,
            self._span(),
            random.choice(("web-1:7", "web-2:9")),
            every,
            queue,
            read,
            self._touch_every(),
            start,
            self._span(),
        )

    def _known(self, place: Address) -> Hold:
        known = self.tokens.get(place)
        if known and self.random.random() < 0.8:
            return self.random.choice(known[-3:])
        return Hold(self.random.choice(self.tickets), TOKEN)

    def _renew(self, place: Address) -> Renew:
        held = self._known(place)
        if self.random.random() < 0.1:
            held = replace(held, ticket=self.random.choice(self.tickets))
        return Renew(place, held.ticket, held.token, self._span(), self._span())

    def _release(self, place: Address) -> Release:
        ticket = self.random.choice(self.tickets)
        if self.random.random() < 0.5:
            ticket = self._known(place).ticket
        life = self._life(place) if self.storage and self.random.random() < 0.3 else 0
        return Release(place, ticket, life)


def new_places() -> list[Address]:
    """Two plain sessions, and three of one owner, which are in one slot."""
    kind = new_address().type
    return [
        Address(kind, "", "kone"),
        Address(kind, "", "kOne"),
        Address(kind, SCOPE, "kone"),
        Address(kind, SCOPE, "ktwo"),
        Address(kind, SCOPE, "dthree"),
    ]


def take_step(store: Store, judge: Judge, step: Step) -> tuple[Outcome, Difference | None]:
    """One step of a walk, judged."""
    clock = store.clock
    if clock is not None:
        clock.now += step.later
        outcome = store.ask(step.operation)
        return outcome, judge.judge(step.operation, outcome, clock.now, clock.now)
    before = judge.now or store.now_us()
    outcome = store.ask(step.operation)
    judge.now = store.now_us()
    return outcome, judge.judge(step.operation, outcome, before, judge.now)


def replay(store: Store, clock: Clock, begin: int, steps: list[Step]) -> Difference | None:
    """The difference that ``steps`` still lead to, from ``begin`` on, in places of their own."""
    clock.now = begin
    judge = Judge(store)
    kind = new_address().type
    for step in steps:
        operation = _moved(step.operation, kind)
        _, difference = take_step(store, judge, replace(step, operation=operation))
        if difference is not None:
            return difference
    return None


def _moved(operation: Operation, kind: str) -> Operation:
    address = replace(operation.address, type=kind)
    if isinstance(operation, Acquire) and operation.start is not None:
        return replace(operation, address=address, start=replace(operation.start, address=address))
    return replace(operation, address=address)


def shrink(fails: Callable[[list[Step]], bool], steps: list[Step], tries: int) -> list[Step]:
    """``steps`` without those that do not matter: ever smaller pieces are left out."""
    size = len(steps) // 2
    while size and tries:
        first = 0
        while first < len(steps) and tries:
            tries -= 1
            left = steps[first + size :]
            if left:  # the time that passes stays
                lost = sum(step.later for step in steps[first : first + size])
                left = [replace(left[0], later=left[0].later + lost), *left[1:]]
            shorter = steps[:first] + left
            if shorter and fails(shorter):
                steps = shorter
            else:
                first += size
        size //= 2
    return steps
