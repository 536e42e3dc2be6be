"""The machine on an owner's slot, held against histories that Hypothesis makes up.

What is checked is told in ghost state of the test's own, which knows nothing of how the
machine decides.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from sessiontracker.machine import apply, concerns_others, concerns_the_ended
from sessiontracker.operations import (
    Acquire,
    Address,
    Counted,
    CountOwner,
    Delete,
    Deleted,
    Ended,
    EndOwner,
    Finish,
    Found,
    FoundShared,
    Granted,
    Limit,
    LimitReached,
    Listed,
    ListOwner,
    Meta,
    Operation,
    Outcome,
    Read,
    ReadShared,
    Release,
    Resume,
    Rotate,
    Saved,
    SavedShared,
    Start,
    Touch,
    Write,
    WriteShared,
    repeat,
)
from sessiontracker.state import EMPTY, NOTHING, Slot, due, settle, sweep

OWNER = Address("login", "scope", "")
MOST = 3
keys = st.sampled_from(["ka", "kb", "kc", "kd", "ke"])
spans = st.sampled_from([0, 40, 1_000, 600_000])
index = st.integers(0, 10**6)


class Sent(NamedTuple):
    operation: Operation
    at: int  # ms
    began: frozenset[int]  # the lives that there were before


class Owners(RuleBasedStateMachine):
    """One owner of five keys, any number of clients, a clock that never goes backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = 100
        self.now = 1_700_000_000_000_000
        self.slot = EMPTY
        self.sent: list[Sent] = []
        self.metas: list[tuple[str, Meta]] = []
        # Ghosts
        self.live: dict[str, Meta] = {}  # by key, as last told
        self.began: set[int] = set()
        self.version = 0
        self.shared = b""
        self.shared_until = 0

    def new_id(self) -> int:
        self.ids += 1
        return self.ids

    @property
    def ms(self) -> int:
        return self.now // 1000

    # What the clients do -----------------------------------------------------

    @rule(key=keys, idle=spans, absolute=spans, read=st.booleans(), oldest=st.booleans())
    def start(self, key: str, idle: int, absolute: int, read: bool, oldest: bool) -> None:
        self.send(
            Start(
                replace(OWNER, key=key),
                self.new_id(),
                b"new",
                "alice",
                idle=idle,
                absolute=absolute,
                read=read,
                limit=Limit(MOST, oldest, 1_000),
            )
        )

    @rule(key=keys, oldest=st.booleans(), idle=spans)
    def take_or_start(self, key: str, oldest: bool, idle: int) -> None:
        at = replace(OWNER, key=key)
        start = Start(at, self.new_id(), b"", "alice", idle=idle, limit=Limit(MOST, oldest, 1_000))
        ticket = self.new_id()
        self.send(Acquire(at, ticket, 30_000, queue=False, read=True, start=start))
        self.send(Release(at, ticket))

    @rule(key=keys, slide=st.booleans(), finished=st.booleans())
    def read(self, key: str, slide: bool, finished: bool) -> None:
        self.send(Read(replace(OWNER, key=key), slide=slide, touch_every=0, finished=finished))

    @rule(key=keys)
    def touch(self, key: str) -> None:
        self.send(Touch(replace(OWNER, key=key)))

    @precondition(lambda self: self.metas)
    @rule(which=index)
    def write(self, which: int) -> None:
        key, meta = self.metas[-1 - which % min(6, len(self.metas))]
        self.send(Write(replace(OWNER, key=key), self.new_id(), meta.stamp, b"written"))

    @precondition(lambda self: self.metas)
    @rule(which=index)
    def rotate(self, which: int) -> None:
        key, meta = self.metas[-1 - which % min(6, len(self.metas))]
        to = f"k{self.new_id()}"  # a key that nobody made up before
        self.send(Rotate(replace(OWNER, key=key), self.new_id(), meta.stamp, b"moved", to))

    @rule(key=keys, retention=spans)
    def finish(self, key: str, retention: int) -> None:
        self.send(Finish(replace(OWNER, key=key), self.new_id(), retention))

    @rule(key=keys)
    def resume(self, key: str) -> None:
        self.send(Resume(replace(OWNER, key=key), self.new_id(), limit=Limit(MOST, True)))

    @rule(key=keys)
    def delete(self, key: str) -> None:
        self.send(Delete(replace(OWNER, key=key), self.new_id()))

    @rule(retention=st.sampled_from([None, 0, 1_000]), keep=st.sampled_from(["", "ka", "kb"]))
    def end(self, retention: int | None, keep: str) -> None:
        self.send(EndOwner(OWNER, self.new_id(), retention, keep))

    @rule(keep=spans, payload=st.binary(max_size=3), blind=st.booleans())
    def share(self, keep: int, payload: bytes, blind: bool) -> None:
        read = self.step(ReadShared(OWNER))
        assert isinstance(read, FoundShared)
        now = None if blind else read.shared
        version, write = (0, 0) if now is None else (now.version, now.write)
        self.send(WriteShared(OWNER, self.new_id(), version, write, payload, keep))

    @precondition(lambda self: self.sent)
    @rule(which=index)
    def send_again(self, which: int) -> None:
        sent = self.sent[-1 - which % min(5, len(self.sent))]
        if not hasattr(sent.operation, "since"):
            return
        before = self.alive()
        outcome = self.send(repeat(sent.operation, sent.at - 1), sent)
        if isinstance(sent.operation, EndOwner):
            # Whoever began after it was first sent is none of its business.
            later = {key: meta for key, meta in before.items() if meta.life not in sent.began}
            for key in later:
                assert self.alive().get(key) is not None, (outcome, key)

    @rule(ms=st.sampled_from([1, 39, 40, 999, 1_000, 61_000, 600_000]))
    def pass_time(self, ms: int) -> None:
        self.now += ms * 1000

    @rule()
    def sweep(self) -> None:
        self.slot, _ = sweep(self.slot, self.now)

    # What is asked, and what is known by its outcome ---------------------------

    def step(self, operation: Operation) -> Outcome:
        before = self.slot
        self.slot, outcome = apply(before, operation, self.now)
        name = operation.address.key
        if not concerns_others(operation):
            # It is the same on that key alone.
            alone = {name: before.keys[name]} if name in before.keys else {}
            partial, same = apply(Slot(alone, before.shared, before.ending), operation, self.now)
            assert same == outcome
            assert partial.keys.get(name) == self.slot.keys.get(name)
            others = {k: v for k, v in self.slot.keys.items() if k != name}
            assert others == {k: v for k, v in before.keys.items() if k != name}
            assert (partial.shared, partial.ending) == (self.slot.shared, self.slot.ending)
        elif not concerns_the_ended(operation):
            # It is the same without what was left of sessions that have ended.
            its = {name, operation.to} if isinstance(operation, Rotate) else {name}
            living = {k: v for k, v in before.keys.items() if k in its or v.active or v.finished}
            partial, same = apply(Slot(living, before.shared, before.ending), operation, self.now)
            assert same == outcome
            changed = {k: v for k, v in self.slot.keys.items() if v != before.keys.get(k)}
            assert changed == {k: v for k, v in partial.keys.items() if v != before.keys.get(k)}
            assert living.keys() - partial.keys.keys() == living.keys() - self.slot.keys.keys()
            assert (partial.shared, partial.ending) == (self.slot.shared, self.slot.ending)
        if self.slot is not before:
            assert due(self.slot) > 0
        return outcome

    def send(self, operation: Operation, first: Sent | None = None) -> Outcome:
        live = self.alive()
        outcome = self.step(operation)
        sent = first or Sent(operation, self.ms, frozenset(self.began))
        self.sent.append(sent)
        self.learn(operation, outcome, live)
        return outcome

    def alive(self) -> dict[str, Meta]:
        return {key: meta for key, meta in self.live.items() if self.ms < meta.expires}

    def learn(self, operation: Any, outcome: Outcome, live: dict[str, Meta]) -> None:
        name = operation.address.key
        self.live = live
        if isinstance(outcome, LimitReached):
            assert outcome.count == len(live) >= MOST
            assert name not in live
        if isinstance(outcome, Granted) and outcome.found is not None:
            found, ended = outcome.found, outcome.ended
            self.began_at(name, found.meta, ended)
            self.check_shared(found.shared)
        elif isinstance(outcome, Found):
            self.check_shared(outcome.shared)
            if isinstance(operation, Finish):
                # A repeat tells what it did; another session may have begun here since.
                if not operation.since or name not in self.listed():
                    self.live.pop(name, None)
            elif not getattr(operation, "finished", False):
                self.began_at(name, outcome.meta, ())
        elif isinstance(outcome, Saved):
            if isinstance(operation, Rotate):
                if not operation.since:
                    self.live.pop(name, None)
                name = operation.to
            now = settle(self.slot.keys.get(name, NOTHING), self.ms).active
            # A repeat tells what it did, whatever became of it since.
            if now is not None and now.meta.stamp == outcome.meta.stamp:
                # Under a key that made room for it, another may have begun.
                ended = () if getattr(operation, "since", 0) else outcome.ended
                self.began_at(name, outcome.meta, ended)
            if isinstance(operation, (Start, Rotate)):
                self.check_shared(outcome.shared)
        elif isinstance(outcome, Deleted) and outcome.existed:
            self.live.pop(name, None)
        elif isinstance(outcome, Ended) and not operation.since:
            ended_keys = [key for key in live if key != operation.keep]
            finished_too = operation.retention is None
            assert len(ended_keys) <= outcome.count
            assert finished_too or outcome.count == len(ended_keys)
            for key in ended_keys:
                del self.live[key]
        elif isinstance(outcome, Ended):
            listed = self.listed()
            self.live = {key: meta for key, meta in self.live.items() if key in listed}
        elif isinstance(outcome, SavedShared):
            if outcome.version != self.version:
                assert outcome.version > self.version
                self.version = outcome.version
                self.shared = operation.payload
                self.shared_until = self.ms + operation.keep

    def began_at(self, key: str, meta: Meta, ended: tuple[str, ...]) -> None:
        for name in ended:
            self.live.pop(name, None)
        # Those that made room, and are not kept or were told before, are gone in any case.
        listed = self.listed()
        self.live = {name: known for name, known in self.live.items() if name in listed}
        self.live[key] = meta
        self.metas.append((key, meta))
        self.began.add(meta.life)

    def listed(self) -> set[str]:
        _, outcome = apply(self.slot, ListOwner(OWNER), self.now)
        assert isinstance(outcome, Listed)
        return {item.address.key for item in outcome.items}

    def check_shared(self, shared: Any) -> None:
        if shared is not None:
            assert (shared.version, shared.payload) == (self.version, self.shared)
        else:
            assert self.ms >= self.shared_until

    @invariant()
    def the_list_is_what_is_alive(self) -> None:
        slot, outcome = apply(self.slot, ListOwner(OWNER), self.now)
        assert slot is self.slot
        assert isinstance(outcome, Listed)
        alive = self.alive()
        order = sorted(alive, key=lambda key: (-alive[key].started, key))
        assert [item.address.key for item in outcome.items] == order
        assert [item.meta for item in outcome.items] == [alive[key] for key in order]
        assert len(order) <= MOST
        assert apply(self.slot, CountOwner(OWNER), self.now)[1] == Counted(len(order))


def test_an_owners_sessions_hold_together_through_any_history() -> None:
    run_state_machine_as_test(Owners)
