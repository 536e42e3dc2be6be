"""Several processes on one store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..contract import Capability, new_id
from ..operations import Acquire, Address, Found, Granted, Queued, Read, Release, Saved, Start
from .harness import Mode, Store, await_grant
from .processes import in_processes
from .subject import Subject

pytestmark = pytest.mark.needs(Capability.PROCESSES)

LEASE = 60_000


@pytest.fixture
def shared(subject: Subject, mode: Mode) -> Iterator[Store]:
    """A store on its own real clock, which other processes share."""
    store = subject.open(mode)
    yield store
    store.close()


@pytest.mark.roles("storage")
def test_what_one_process_writes_another_reads(
    subject: Subject, mode: Mode, shared: Store, address: Address
) -> None:
    shared.expect(Start(address, new_id(), b"one"), Saved)
    assert in_processes(subject, mode, address, ("read",), ("read",)) == ["one", "one"]


@pytest.mark.roles("storage")
def test_processes_count_by_version(
    subject: Subject, mode: Mode, shared: Store, address: Address
) -> None:
    shared.expect(Start(address, new_id(), b"0"), Saved)
    in_processes(subject, mode, address, *[("count_by_version", 40)] * 3)
    found = shared.expect(Read(address), Found)
    assert int(found.payload) == 120
    assert found.meta.version == 121


@pytest.mark.roles("storage", "locking")
def test_processes_count_under_the_lock(
    subject: Subject, mode: Mode, shared: Store, address: Address
) -> None:
    shared.expect(Start(address, new_id(), b"0"), Saved)
    tokens = in_processes(subject, mode, address, *[("count_under_the_lock", 25)] * 3)
    assert int(shared.expect(Read(address), Found).payload) == 75
    assert all(each == sorted(set(each)) for each in tokens)
    assert len({token for each in tokens for token in each}) == 75, "two holders had one token"


@pytest.mark.roles("locking")
def test_a_dead_holders_lock_is_had_when_its_lease_ends(
    subject: Subject, mode: Mode, shared: Store, address: Address
) -> None:
    lease = 5 * shared.tick
    (token,) = in_processes(subject, mode, address, ("take", lease))
    begun = shared.now()
    every = int(shared.backend.look_every * 1000)
    granted = await_grant(shared, Acquire(address, new_id(), LEASE, look_every=every))
    assert granted.token > token
    # The lease that was left and a claim, with as much again for a busy machine.
    assert shared.now() - begun < 2 * (lease + 1.5 * every) + 2_000


@pytest.mark.roles("locking")
def test_a_dead_waiter_costs_one_claim(
    subject: Subject, mode: Mode, shared: Store, address: Address
) -> None:
    holder = new_id()
    shared.expect(Acquire(address, holder, LEASE), Granted)
    every = 5 * shared.tick
    assert in_processes(subject, mode, address, ("queue", every)) == [0]
    call = Acquire(address, new_id(), LEASE, look_every=every)
    shared.expect(call, Queued)
    shared.ask(Release(address, holder))
    shared.elapse(8)  # the dead one's claim of 1.5 intervals, if it was still given one
    shared.expect(call, Granted)
