"""Many at once, on one key and on many: nothing is lost, and nobody holds with another."""

from __future__ import annotations

from functools import partial

from ..contract import new_id
from ..operations import (
    Acquire,
    Address,
    Found,
    Granted,
    Locked,
    Queued,
    Read,
    Release,
    Released,
    Saved,
    Stale,
    Start,
    Write,
)
from .harness import LONG, Store, at_once, await_grant, hold, new_address

CALLERS = 16
ROUNDS = 12


def _count(store: Store, address: Address) -> None:
    """One more, by version: read, write, and again if somebody else was faster."""
    while True:
        found = store.expect(Read(address), Found)
        payload = b"%d" % (int(found.payload) + 1)
        outcome = store.ask(Write(address, new_id(), found.meta.stamp, payload))
        if isinstance(outcome, Saved):
            assert outcome.meta.version == found.meta.version + 1
            return
        assert type(outcome) is Stale, outcome


def test_counting_by_version_loses_nothing(store: Store, address: Address) -> None:
    store.expect(Start(address, new_id(), b"0"), Saved)

    def many() -> None:
        for _ in range(ROUNDS):
            _count(store, address)

    at_once(*[many] * CALLERS)
    found = store.expect(Read(address), Found)
    assert int(found.payload) == CALLERS * ROUNDS
    assert found.meta.version == 1 + CALLERS * ROUNDS


def test_counting_under_the_lock_loses_nothing(both: Store, address: Address) -> None:
    both.expect(Start(address, new_id(), b"0"), Saved)
    tokens: list[int] = []

    def many() -> None:
        for _ in range(ROUNDS):
            ticket = new_id()
            every = int(both.backend.look_every * 1000)
            call = Acquire(address, ticket, LONG, look_every=every, read=True)
            granted = await_grant(both, call)
            found = granted.found
            assert found is not None
            tokens.append(granted.token)  # in the order of holding, if the lock is exclusive
            payload = b"%d" % (int(found.payload) + 1)
            lock = hold(ticket, granted)
            write = Write(address, new_id(), found.meta.stamp, payload, lock=lock, release=True)
            both.expect(write, Saved)

    at_once(*[many] * CALLERS)
    assert int(both.expect(Read(address), Found).payload) == CALLERS * ROUNDS
    assert tokens == sorted(set(tokens)), "a later holder had no higher token"
    both.expect(Acquire(address, new_id(), LONG), Granted)


def test_one_holder_at_a_time(locks: Store, address: Address) -> None:
    inside: list[int] = []

    def many() -> None:
        for _ in range(ROUNDS):
            ticket = new_id()
            every = int(locks.backend.look_every * 1000)
            await_grant(locks, Acquire(address, ticket, LONG, look_every=every))
            inside.append(ticket)
            assert inside == [ticket], f"{len(inside)} hold one lock"
            inside.remove(ticket)
            locks.expect(Release(address, ticket), Released)

    at_once(*[many] * CALLERS)
    locks.expect(Acquire(address, new_id(), LONG), Granted)


def test_some_wait_and_some_leave(locks: Store, address: Address) -> None:
    def one(n: int) -> None:
        for _ in range(ROUNDS):
            ticket = new_id()
            every = int(locks.backend.look_every * 1000)
            call = Acquire(address, ticket, LONG, look_every=every)
            if n % 3:
                await_grant(locks, call)
                locks.expect(Release(address, ticket), Released)
            elif type(locks.ask(call)) is Queued:
                locks.wait(ticket, 0.001)
                locks.ask(Release(address, ticket))
            else:
                locks.expect(Release(address, ticket), Released)

    at_once(*(partial(one, n) for n in range(CALLERS)))
    outcome = locks.ask(Acquire(address, new_id(), LONG, queue=False))
    assert not isinstance(outcome, Locked), "the lock is kept for one who has left"


def test_many_keys_at_once(store: Store, address: Address) -> None:
    def one(n: int) -> None:
        place = new_address(f"k{n}")
        for round_ in range(ROUNDS):
            start = Start(place, new_id(), b"0", read=True)
            store.ask(start)
            _count(store, place)
            assert store.expect(Read(place), Found).payload == b"%d" % (round_ + 1)

    at_once(*(partial(one, n) for n in range(CALLERS)))
