"""The machine's promises, held against histories that Hypothesis makes up.

What is checked after each step is told in ghost state of the test's own: which lives there
were, who was granted what until when, who stands in line since when. It knows nothing of
how the machine decides.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sessiontracker.machine import apply
from sessiontracker.operations import (
    FOREVER,
    Acquire,
    Address,
    Delete,
    Deleted,
    Finish,
    Found,
    Granted,
    Hold,
    InProgress,
    Operation,
    Outcome,
    Queued,
    Read,
    Release,
    Renew,
    Resume,
    Saved,
    Stamp,
    Start,
    Touch,
    Unknown,
    Write,
    repeat,
)
from sessiontracker.state import EMPTY, NOTHING, REMEMBERED, Key, due, settle, sweep

HERE = Address("checkout", "scope", "kone")
BESIDE = Address("checkout", "scope", "kother")
KEEP = 3_600_000

durations = st.sampled_from([0, 40, 1_000, 600_000])
leases = st.sampled_from([30, 1_000, 30_000])
index = st.integers(0, 10**6)


class Seen(NamedTuple):
    """What a client has read, and may write upon."""

    stamp: Stamp
    payload: bytes


class Lease(NamedTuple):
    ticket: int
    token: int
    until: int


class Sent:
    """An operation that was sent, and what came of it."""

    def __init__(self, operation: Operation, at: int) -> None:
        self.operation = operation
        self.at = at
        self.outcome: Outcome | None = None
        self.did = False


def count(payload: bytes) -> int:
    return int(payload)


def places(key: Key) -> tuple[Stamp | None, Stamp | None]:
    return (
        None if key.active is None else key.active.meta.stamp,
        None if key.finished is None else key.finished.meta.stamp,
    )


def is_same(first: Outcome, again: Outcome) -> bool:
    """Whether ``again`` tells a caller the same as ``first``."""
    if isinstance(first, (Saved, Found)) and type(again) is type(first):
        return again.meta.stamp == first.meta.stamp
    if isinstance(first, Granted) and isinstance(again, Granted):
        return again.token == first.token
    return again == first


class Steps:
    taken = 0


class Histories(RuleBasedStateMachine):
    """One key of a slot, any number of clients, a clock that never goes backwards."""

    clock_rises = True

    def __init__(self) -> None:
        super().__init__()
        self.ids = 100
        self.now = 1_700_000_000_000_000
        self.elapsed = 0  # by a client's own clock, which nobody sets
        beside, _ = apply(EMPTY, Start(BESIDE, 1, b"untouched"), self.now)
        self.slot = beside
        self.seen: list[Seen] = []
        self.sent: list[Sent] = []
        self.tickets: list[int] = []
        self.holds: list[Hold] = []
        # Ghosts
        self.versions: dict[int, int] = {}  # of each life, the last
        self.writes: dict[int, int] = {}  # of each life, how many took effect
        self.gone: set[int] = set()
        self.lease: Lease | None = None
        self.let_go = 0
        self.token = 0
        self.token_kept = 0
        self.fence = 0
        self.line: dict[int, tuple[int, int]] = {}  # ticket: (last look, interval)
        self.claimant = self.claim_until = 0

    # What the clients do -----------------------------------------------------

    @rule(idle=durations, absolute=durations, read=st.booleans(), hold=index)
    def start(self, idle: int, absolute: int, read: bool, hold: int) -> None:
        self.send(
            Start(
                HERE,
                self.new_id(),
                b"0",
                idle=idle,
                absolute=absolute,
                read=read,
                lock=self.hold(hold),
            )
        )

    @rule(
        finished=st.booleans(),
        slide=st.booleans(),
        touch_every=st.sampled_from([None, 0, 10, 10**9]),
        hold=index,
    )
    def read(self, finished: bool, slide: bool, touch_every: int | None, hold: int) -> None:
        lock = self.hold(hold)
        self.send(Read(HERE, finished=finished, slide=slide, touch_every=touch_every, lock=lock))

    @rule(which=index)
    def touch(self, which: int) -> None:
        self.send(Touch(HERE, life=self.life(which)))

    @precondition(lambda self: self.seen)
    @rule(which=index, hold=index, release=st.booleans())
    def write(self, which: int, hold: int, release: bool) -> None:
        seen = self.snapshot(which)
        payload = b"%d" % (count(seen.payload) + 1)
        lock = self.hold(hold)
        self.send(Write(HERE, self.new_id(), seen.stamp, payload, lock=lock, release=release))

    @rule(which=index, retention=st.sampled_from([0, 40, 90_000, FOREVER]), hold=index)
    def finish(self, which: int, retention: int, hold: int) -> None:
        stamp, payload = None, None
        if self.seen and which % 2:
            stamp, payload = self.snapshot(which)
        lock = self.hold(hold)
        self.send(Finish(HERE, self.new_id(), retention, stamp=stamp, payload=payload, lock=lock))

    @rule(which=index, hold=index)
    def resume(self, which: int, hold: int) -> None:
        self.send(Resume(HERE, self.new_id(), life=self.life(which), lock=self.hold(hold)))

    @rule(which=index, by_stamp=st.booleans(), hold=index)
    def delete(self, which: int, by_stamp: bool, hold: int) -> None:
        if by_stamp and self.seen:
            stamp = self.snapshot(which).stamp
            self.send(Delete(HERE, self.new_id(), stamp=stamp, lock=self.hold(hold)))
        else:
            self.send(Delete(HERE, self.new_id(), life=self.life(which)))

    @rule(
        which=index,
        lease=leases,
        queue=st.sampled_from([True, True, True, False]),
        read=st.booleans(),
        start=st.sampled_from([False, False, True]),
        every=st.sampled_from([20, 1_000]),
    )
    def acquire(
        self, which: int, lease: int, queue: bool, read: bool, start: bool, every: int
    ) -> None:
        ticket = self.new_id() if which % 3 == 0 or not self.tickets else self.pick(which)
        self.tickets.append(ticket)
        missing = Start(HERE, self.new_id(), b"0", idle=1_000) if start else None
        self.send(
            Acquire(HERE, ticket, lease, look_every=every, queue=queue, read=read, start=missing)
        )

    @precondition(lambda self: self.holds)
    @rule(which=index, lease=leases)
    def renew(self, which: int, lease: int) -> None:
        hold = self.holds[-1 - which % len(self.holds)]
        self.send(Renew(HERE, hold.ticket, hold.token, lease))

    @precondition(lambda self: self.tickets)
    @rule(which=index, life=index)
    def release(self, which: int, life: int) -> None:
        self.send(Release(HERE, self.pick(which), life=self.life(life)))

    @precondition(lambda self: self.sent)
    @rule(which=index)
    def repeat(self, which: int) -> None:
        """A reply was lost: the request comes again, now or much later."""
        sent = self.sent[-1 - which % len(self.sent)]
        start = getattr(sent.operation, "start", None)
        if start is not None and start.id in self.gone and self.deed() != start.id:
            return  # a request for a lock knows no time: somebody else's deed makes it a new one
        since = self.ms - max(1, self.elapsed // 1000 - sent.at)
        self.send(repeat(sent.operation, since), sent)

    @precondition(lambda self: self.sent)
    @rule(which=index)
    def delayed(self, which: int) -> None:
        """The network held a request back and delivers it twice: what names a stamp is exact."""
        sent = self.sent[-1 - which % len(self.sent)]
        if sent.did and getattr(sent.operation, "stamp", None) is not None:
            self.send(sent.operation, sent)

    @rule(ms=st.sampled_from([0.001, 1, 5, 45, 300, 1_600, 31_000, 61_000, KEEP + 50_000]))
    def time_passes(self, ms: float) -> None:
        self.now += int(ms * 1000)
        self.elapsed += int(ms * 1000)
        self.note_the_gone()

    @rule()
    def sweep(self) -> None:
        """What is swept has gone already, and what lives stays as it is."""
        was = {name: settle(key, self.ms) for name, key in self.slot.keys.items()}
        after, gone = sweep(self.slot, self.now)
        if self.ms < due(self.slot):
            assert not gone
        lost = {name for name in was if name not in after.keys}
        assert {name: was[name] for name in was if name not in lost} == after.keys
        for name in lost:
            assert places(was[name]) == (None, None)
            assert was[name].lock is None or was[name].lock.lease is None
        if HERE.key in lost:
            self.note_the_forgotten()
        self.slot = after

    # Helpers -----------------------------------------------------------------

    @property
    def ms(self) -> int:
        return self.now // 1000

    @property
    def key(self) -> Key:
        return settle(self.slot.keys.get(HERE.key, NOTHING), self.ms)

    def deed(self) -> int:
        return 0 if self.key.deed is None else self.key.deed.id

    def new_id(self) -> int:
        self.ids += 1
        return self.ids

    def pick(self, which: int) -> int:
        recent = self.tickets[-5:]
        return recent[which % len(recent)]

    def snapshot(self, which: int) -> Seen:
        recent = self.seen[-3:]
        return recent[which % len(recent)]

    def life(self, which: int) -> int:
        if which % 2 or not self.seen:
            return 0
        return self.snapshot(which // 2).stamp.life

    def hold(self, which: int) -> Hold | None:
        """None as often as not; else one that was granted, or one of a lock elsewhere."""
        if which % 2 or not (self.holds or which % 10 == 0):
            return None
        if which % 10 == 0:
            token = (self.fence or self.now) + which // 10 % 5 - 1
            return Hold(5, token, elsewhere=True) if token > 0 else None
        return self.holds[-1 - which // 10 % min(3, len(self.holds))]

    # A step, and what must be true of it --------------------------------------

    def send(self, operation: Operation, earlier: Sent | None = None) -> None:
        Steps.taken += 1
        before = self.key
        encoded = msgspec.msgpack.encode(self.slot)
        after, outcome = apply(self.slot, operation, self.now)
        assert msgspec.msgpack.encode(self.slot) == encoded, "the input was changed"
        assert apply(self.slot, operation, self.now) == (after, outcome), "not a function"
        assert after.keys[BESIDE.key] is self.slot.keys[BESIDE.key]
        was_there = HERE.key in self.slot.keys
        self.slot = after
        did = places(before) != places(self.key)

        self.check_sessions(operation, outcome, before)
        if did:
            self.check_may(operation)
        if earlier is None:
            sent = Sent(operation, self.elapsed // 1000)
            self.sent.append(sent)
        else:
            sent = earlier
            self.check_repeat(sent, operation, outcome, did)
        if not sent.did:
            sent.did, sent.outcome = did, outcome
        self.check_lock(operation, outcome)
        if self.clock_rises:
            self.check_line(operation, outcome)
        self.note(operation, outcome, did)
        if was_there and HERE.key not in after.keys:
            self.note_the_forgotten()
        self.note_the_gone()

    def check_sessions(self, operation: Operation, outcome: Outcome, before: Key) -> None:
        """Versions count by one, nobody's change is lost, and nothing gone comes back."""
        key = self.key
        did = places(before) != places(key)
        by = operation.start if isinstance(operation, Acquire) else operation
        if isinstance(operation, (Read, Touch, Renew, Release)):
            assert not did
        if did:
            assert isinstance(outcome, (Saved, Found, Deleted, Granted))
        for place, was in ((key.active, before.active), (key.finished, before.finished)):
            if place is None:
                continue
            meta, life = place.meta, place.meta.life
            if was is not None and was.meta.stamp == meta.stamp:
                assert place.payload == was.payload
                continue
            assert meta.write == by.id  # type: ignore[union-attr]
            assert meta.version == self.versions.get(life, 0) + 1
            if life not in self.versions:
                assert isinstance(by, Start)
                assert life == by.id
                assert was is None
            elif self.clock_rises:
                assert life not in self.gone
            if isinstance(operation, Write):
                assert was is not None
                assert was.meta.stamp == operation.stamp
                assert count(place.payload) == count(was.payload) + 1
            elif isinstance(operation, Finish):
                assert before.active is not None
                assert before.active.meta.life == life
                assert operation.stamp in (None, before.active.meta.stamp)
            elif isinstance(operation, Resume):
                assert before.active is None
                assert before.finished is not None
                assert before.finished.payload == place.payload
            assert getattr(operation, "life", 0) in (0, life)
        if isinstance(operation, Write) and before.finished is not None:
            assert key.finished == before.finished

    def check_may(self, operation: Operation) -> None:
        """Who changed a session held the lock, or nobody did."""
        hold: Hold | None = getattr(operation, "lock", None)
        if hold is not None and hold.elsewhere:
            assert hold.token >= self.fence
        elif hold is not None:
            assert self.clock_rises is False or (
                self.lease is not None
                and (hold.ticket, hold.token) == self.lease[:2]
                and self.ms < self.lease.until
            )
        elif isinstance(operation, (Start, Write, Finish, Resume)) and self.clock_rises:
            assert self.lease is None or self.ms >= self.lease.until

    def check_repeat(self, sent: Sent, operation: Operation, outcome: Outcome, did: bool) -> None:
        """What was done once is not done again, and its answer is the same or unknown."""
        if not sent.did or isinstance(operation, Acquire) or not self.clock_rises:
            return
        assert not did
        if getattr(operation, "since", 0) == 0:
            return  # a duplicate that nobody waits for
        if isinstance(outcome, Unknown):
            return
        assert sent.outcome is not None
        if isinstance(operation, Start) and isinstance(outcome, (Found, InProgress)):
            meta = outcome.meta if isinstance(outcome, Found) else outcome.found.meta
            assert self.key.active is not None
            assert self.key.active.meta.stamp == meta.stamp  # true, whosever session it is
            return
        assert is_same(sent.outcome, outcome)

    def check_lock(self, operation: Operation, outcome: Outcome) -> None:
        """One holder at a time, rising tokens, first come first served."""
        ticket = getattr(operation, "ticket", 0)
        lease = self.lease
        if lease is not None and self.ms >= lease.until:
            lease = None
        if isinstance(operation, Acquire) and isinstance(outcome, Granted):
            assert ticket != self.let_go or not self.clock_rises
            if lease is not None and self.clock_rises:
                assert (ticket, outcome.token) == lease[:2]
            elif self.clock_rises:
                assert outcome.token > self.token
        if isinstance(operation, Renew) and isinstance(outcome, Granted) and self.clock_rises:
            assert lease is not None
            assert (operation.ticket, operation.token) == lease[:2]
        if isinstance(operation, Acquire) and isinstance(outcome, Granted) and outcome.found:
            assert self.key.active is not None
            assert outcome.found.meta == self.key.active.meta
        released = isinstance(operation, Write) and operation.release and operation.lock
        lets_go = ticket or (operation.lock.ticket if released else 0)  # type: ignore[union-attr]
        if lease is not None and self.clock_rises and lets_go != lease.ticket:
            lock = self.key.lock
            assert lock is not None
            assert lock.lease is not None
            assert (lock.lease.ticket, lock.lease.token) == lease[:2]

    def check_line(self, operation: Operation, outcome: Outcome) -> None:
        """Whoever is given the lock came before all others that still give signs of life."""
        ticket = getattr(operation, "ticket", 0)
        lock = self.key.lock
        queue = [] if lock is None else [waiter.ticket for waiter in lock.queue]
        assert len(set(queue)) == len(queue)
        if isinstance(outcome, Queued):
            assert outcome.ahead == queue.index(ticket)
        claim = lock.lease if lock and lock.lease and not lock.lease.token else None
        claimant = claim.ticket if claim else 0
        order = [claimant, *queue] if claimant else queue
        if self.claimant and self.ms >= self.claim_until:
            # Nobody took the claim: who has not looked meanwhile is taken for dead.
            known = {*order, *(each for each in self.line if self.lives(each, 1.25))}
            self.line = {each: look for each, look in self.line.items() if each in known}
        if isinstance(operation, Acquire) and isinstance(outcome, Queued):
            self.line[ticket] = (self.ms, operation.look_every)
        elif isinstance(operation, Acquire) and isinstance(outcome, Granted):
            if self.lease is None or self.lease.token != outcome.token:
                self.check_first(ticket)
            self.line.pop(ticket, None)
        elif isinstance(operation, (Acquire, Release)):
            self.line.pop(ticket, None)
        if self.claimant not in order:
            self.line.pop(self.claimant, None)  # it slept through its claim, and has no other
        if claimant and claimant != next(iter(self.line)):
            self.check_first(claimant)
        alive = [earlier for earlier in self.line if earlier != claimant and self.lives(earlier)]
        assert alive == [waiter for waiter in queue if waiter in alive]
        self.line = {waiter: self.line[waiter] for waiter in order}
        self.claimant, self.claim_until = claimant, claim.until if claim else 0

    def check_first(self, ticket: int) -> None:
        for earlier in self.line:
            if earlier == ticket:
                return
            assert not self.lives(earlier), "a live waiter was passed over"

    def lives(self, ticket: int, intervals: float = 1.75) -> bool:
        # Looks in quick succession are not recorded: a quarter of the interval is lost.
        looked, every = self.line[ticket]
        return self.ms < looked + intervals * every

    # Ghosts -------------------------------------------------------------------

    def note(self, operation: Operation, outcome: Outcome, did: bool) -> None:
        for record in (self.key.active, self.key.finished):
            if record is not None:
                self.versions[record.meta.life] = record.meta.version
        if isinstance(operation, Write) and did:
            life = operation.stamp.life
            self.writes[life] = self.writes.get(life, 0) + 1
        if isinstance(outcome, (Found, Granted)):
            found = outcome if isinstance(outcome, Found) else outcome.found
            if found is not None:
                self.seen.append(Seen(found.meta.stamp, found.payload))
        elif isinstance(outcome, Saved) and isinstance(operation, (Start, Write)):
            self.seen.append(Seen(outcome.meta.stamp, operation.payload))
        hold: Hold | None = getattr(operation, "lock", None)
        read = isinstance(outcome, Found) and outcome.meta.finished == 0
        if hold is not None and hold.elsewhere and (did or read):
            self.fence = max(self.fence, hold.token)
            self.token = max(self.token, hold.token)
        self.note_lock(operation, outcome)

    def note_lock(self, operation: Operation, outcome: Outcome) -> None:
        if isinstance(operation, (Acquire, Renew)) and isinstance(outcome, Granted):
            self.lease = Lease(operation.ticket, outcome.token, self.ms + outcome.expires_in)
            self.holds.append(Hold(operation.ticket, outcome.token))
            self.fence = max(self.fence, outcome.token)
            self.token = max(self.token, outcome.token)
            self.token_kept = self.lease.until + KEEP
        lock = self.key.lock
        ticket = getattr(operation, "ticket", 0)
        if isinstance(operation, Write) and operation.release and operation.lock is not None:
            ticket = operation.lock.ticket
        if self.lease is not None and self.lease.ticket == ticket:
            still = lock is not None and lock.lease is not None and lock.lease.ticket == ticket
            if not still:
                if self.ms < self.lease.until:
                    self.let_go = ticket
                self.lease = None
        self.holds = self.holds[-5:]

    def note_the_gone(self) -> None:
        here = {record.meta.life for record in (self.key.active, self.key.finished) if record}
        self.gone |= self.versions.keys() - here

    def note_the_forgotten(self) -> None:
        """The key is forgotten: nothing that it had promised to remember may be needed."""
        if self.clock_rises:
            assert self.ms > self.token_kept or self.token == 0
            assert self.now > self.token
        self.fence = self.let_go = 0

    # What is always true ------------------------------------------------------

    @invariant()
    def active_and_finished_are_never_mixed(self) -> None:
        active, finished = self.key.active, self.key.finished
        if active is not None:
            assert active.meta.finished == 0
            assert active.meta.expires > self.ms
        if finished is not None:
            assert finished.meta.finished > 0
            assert finished.meta.expires > self.ms
        if active is not None and finished is not None:
            assert active.meta.life != finished.meta.life

    @invariant()
    def no_update_is_lost(self) -> None:
        for record in (self.key.active, self.key.finished):
            if record is not None:
                assert count(record.payload) == self.writes.get(record.meta.life, 0)

    @invariant()
    def tokens_only_rise(self) -> None:
        lock = self.slot.keys.get(HERE.key, NOTHING).lock
        if lock is not None:
            assert lock.token >= self.fence

    @invariant()
    def one_who_waits_and_lives_gets_the_lock(self) -> None:
        """From here on, one waiter looks as it said and all others fall silent."""
        lock = self.key.lock
        if lock is None or lock.lease is None:
            return
        slot, now, every = self.slot, self.now, 1_000
        intervals = [waiter.every for waiter in lock.queue]
        if self.clock_rises:  # those of one interval cost one claim together
            intervals = list(set(intervals))
        silent = [lock.lease.until - self.ms, *(int(1.5 * each) for each in intervals)]
        latest = now + (sum(silent) + 1) * 1000
        while now <= latest:
            slot, outcome = apply(slot, Acquire(HERE, 7, 1_000, look_every=every), now)
            if isinstance(outcome, Granted):
                return
            assert isinstance(outcome, Queued)
            assert 0 < outcome.look_in <= every
            now += outcome.look_in * 1000
        raise AssertionError("the queue blocks")

    @invariant()
    def nothing_of_a_dead_key_stays(self) -> None:
        """Once nothing can be needed any more, a sweep leaves nothing."""
        key = self.slot.keys.get(HERE.key, NOTHING)
        if key.active is None and key.finished is None and not key.lock:
            late = max(self.ms, 0 if key.deed is None else key.deed.time) + REMEMBERED
            assert HERE.key not in sweep(self.slot, late * 1000)[0].keys


class Backwards(Histories):
    """The same with a clock that somebody sets: tokens and versions rise all the same."""

    clock_rises = False

    @rule(ms=st.sampled_from([1, 50, 2_000, 4_000_000]))
    def clock_is_set_back(self, ms: int) -> None:
        self.now -= ms * 1000


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("machine", [Histories, Backwards])
def test_every_promise_through_any_history(machine: type[Any]) -> None:
    Steps.taken = 0
    run_state_machine_as_test(machine)
    long = settings().max_examples >= 4_000
    assert Steps.taken >= (100_000 if long else 500)
