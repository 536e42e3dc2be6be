"""The store held against the machine: every answer, whatever the batches and the connections."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sessiontracker.backend import machine, state
from sessiontracker.operations import (
    Acquire,
    Address,
    Delete,
    Finish,
    Found,
    Granted,
    Hold,
    Meta,
    Read,
    Reap,
    Reaped,
    Release,
    Renew,
    Resume,
    Saved,
    Stamp,
    Start,
    Time,
    Touch,
    Write,
)
from sessiontracker_sql.options import Options
from sessiontracker_sql.sqlite import SQLiteStore

addresses = st.sampled_from(
    [Address("a", "", "k1"), Address("a", "", "k2"), Address("a", "s" * 22, "k1")]
)
ids = st.integers(1, 6)
BEGIN = 1_800_000_000_000  # ms
sinces = st.sampled_from([0, 0, 0, 1, BEGIN, BEGIN + 60, BEGIN + 70_000])
short = st.sampled_from([0, 5, 50, 10_000])
holds = st.none() | st.builds(
    Hold, ids, st.integers(0, 2) | st.just(1_800_000_000_000_000), st.booleans(), short
)
stamps = st.builds(Stamp, ids, st.integers(1, 3), ids)
payloads = st.binary(max_size=3)
starts = st.builds(
    Start,
    addresses,
    ids,
    payloads,
    owner=st.sampled_from(["", "alice"]),
    idle=short,
    absolute=short,
    lock=holds,
    read=st.booleans(),
    touch_every=st.none() | short,
    since=sinces,
)
steps = st.one_of(
    starts,
    st.builds(
        Read,
        addresses,
        finished=st.booleans(),
        slide=st.booleans(),
        touch_every=st.none() | short,
        lock=holds,
    ),
    st.builds(Touch, addresses, life=st.integers(0, 3)),
    st.builds(
        Write, addresses, ids, stamps, payloads, lock=holds, release=st.booleans(), since=sinces
    ),
    st.builds(
        Finish, addresses, ids, short, st.none() | stamps, st.none() | payloads, holds, sinces
    ),
    st.builds(Resume, addresses, ids, st.integers(0, 3), holds, sinces),
    st.builds(Delete, addresses, ids, st.integers(0, 3), st.none() | stamps, holds, sinces),
    st.builds(
        Acquire,
        addresses,
        ids,
        st.sampled_from([5, 50, 10_000]),
        holder=st.sampled_from(["", "host:1"]),
        look_every=st.sampled_from([4, 40, 1000]),
        queue=st.booleans(),
        read=st.booleans(),
        touch_every=st.none() | short,
        keep=short,
    ),
    st.builds(Renew, addresses, ids, st.integers(1, 3), short, short),
    st.builds(Time, addresses),
    st.builds(Release, addresses, ids, st.integers(0, 3), sinces),
)


class World:
    """The machine's slots, and who was given a claim."""

    def __init__(self) -> None:
        self.slots: dict[Address, state.Slot] = {}
        self.tickets: list[int] = []

    def step(self, operation: Any, now: int) -> Any:
        before = self.slots.get(operation.address, state.EMPTY)
        after, outcome = machine.apply(before, operation, now)
        if after is not before:
            self.slots[operation.address] = after
            ticket = state.claimed(before, after, operation.address.key)
            self.tickets += [ticket] if ticket else []
        return outcome

    def reap(self, now: int) -> None:
        for address, slot in self.slots.items():
            self.slots[address] = state.sweep(slot, now)[0]


def following(operation: Any, metas: dict[Address, Meta], holds: dict[Address, Hold]) -> Any:
    """``operation`` made to fit what was last seen at its address, so that it mostly succeeds."""
    changes: dict[str, Any] = {}
    meta, hold = metas.get(operation.address), holds.get(operation.address)
    if meta is not None and getattr(operation, "stamp", None) is not None:
        changes["stamp"] = meta.stamp
    if hold is not None:
        if isinstance(operation, (Renew, Release)):
            changes["ticket"] = hold.ticket
        if isinstance(operation, Renew):
            changes["token"] = hold.token
        elif getattr(operation, "lock", None) is not None:
            changes["lock"] = hold
    return replace(operation, **changes)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1]),
            st.sampled_from([0, 0, 1, 6, 60, 5_000, 70_000, 4_000_000]),
            st.booleans(),
            st.booleans(),
            st.lists(steps, min_size=1, max_size=6),
        ),
        max_size=12,
    )
)
def test_two_connections_answer_as_the_machine_does(
    batches: list[tuple[int, int, bool, bool, list[Any]]],
) -> None:
    now = BEGIN * 1000
    world = World()
    metas: dict[Address, Meta] = {}
    holds: dict[Address, Hold] = {}
    with tempfile.TemporaryDirectory() as folder:
        options = Options(path=Path(folder) / "sessions.db", clock=lambda: now, synchronous="off")
        stores = [SQLiteStore(options), SQLiteStore(options)]
        for store in stores:
            store.open()
        try:
            for which, passed, reaps, fits, batch in batches:
                now += passed * 1000
                if reaps:
                    assert isinstance(stores[which].execute([Reap()])[0], Reaped)
                    world.reap(now)
                asked = [following(step, metas, holds) if fits else step for step in batch]
                world.tickets.clear()
                expected = [world.step(step, now) for step in asked]
                outcomes = stores[which].execute(asked)
                assert outcomes == expected
                assert sorted(stores[which].claims()) == sorted(world.tickets)
                for step, outcome in zip(asked, outcomes, strict=True):
                    if isinstance(outcome, (Saved, Found)):
                        metas[step.address] = outcome.meta
                    elif isinstance(outcome, Granted):
                        holds[step.address] = Hold(step.ticket, outcome.token)
        finally:
            for store in stores:
                store.close()
