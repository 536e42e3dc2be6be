"""Several operations that are one command come to what they would come to one by one."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from redis import Redis

from sessiontracker.machine import apply
from sessiontracker.operations import (
    Acquire,
    Address,
    Broken,
    Delete,
    Finish,
    Found,
    Granted,
    Hold,
    Operation,
    Outcome,
    Read,
    Release,
    Saved,
    Stamp,
    Start,
    Write,
)
from sessiontracker.state import EMPTY, Slot
from sessiontracker_redis._sync.backend import RedisBackend

PLACES = [Address("cart", "", f"kcart{number}") for number in range(12)]
BATCHES, SIZE = 150, 24


class Carts:
    """Makes up batches, most of which hold, save and read many carts at once."""

    def __init__(self, seed: int) -> None:
        self.now = 1_900_000_000_000_000
        self._random = Random(seed)
        self._ids = 0
        self._stamps = dict.fromkeys(PLACES, Stamp(1, 1, 1))
        self._holds = dict.fromkeys(PLACES, Hold(1, 1))

    def batch(self) -> list[Operation]:
        self.now += self._random.choice([0, 1, 700, 20_000, 900_000, 40_000_000])
        places = [self._random.choice(PLACES) for _ in range(SIZE)]
        if self._random.random() < 0.2:  # what is asked for most, and nothing else
            return [Read(place, slide=True) for place in places]
        return [self._operation(place) for place in places]

    def learn(self, operation: Operation, outcome: Outcome) -> None:
        place = operation.address
        if isinstance(outcome, Granted) and isinstance(operation, Acquire):
            self._holds[place] = Hold(operation.ticket, outcome.token)
            outcome = outcome.found or outcome
        if isinstance(outcome, (Found, Saved)):
            self._stamps[place] = outcome.meta.stamp

    def _id(self) -> int:
        self._ids += 1
        return self._ids

    def _operation(self, place: Address) -> Operation:
        choose, stamp, hold = self._random.choice, self._stamps[place], self._holds[place]
        lock = choose([hold, hold, None])
        again = Acquire(place, hold.ticket, 30_000, look_every=9_000, read=True)
        kinds: list[Operation] = [
            *[Acquire(place, self._id(), 30_000, look_every=9_000, read=True)] * 4,
            *[Write(place, self._id(), stamp, b"saved", lock, release=choose([True, False]))] * 6,
            *[Read(place, slide=True)] * 3,
            again,
            Acquire(place, self._id(), 30_000, queue=False, read=True),
            Start(place, self._id(), b"new", idle=choose([0, 60_000])),
            Release(place, hold.ticket),
            Finish(place, self._id(), 60_000),
            Delete(place, self._id()),
        ]
        return choose(kinds)


@pytest.fixture
def carts(request: pytest.FixtureRequest) -> Carts:
    return Carts(request.param)


@pytest.fixture
def backend(carts: Carts, url: str, open_backend: Callable[..., RedisBackend]) -> RedisBackend:
    return open_backend(url, clock=lambda: carts.now)


@pytest.mark.parametrize("carts", range(4), indirect=True)
def test_batches_come_to_what_the_machine_says(
    carts: Carts, backend: RedisBackend, admin: Redis
) -> None:
    slots = dict.fromkeys(PLACES, EMPTY)
    admin.config_resetstat()
    for _ in range(BATCHES):
        batch = carts.batch()
        outcomes = backend.execute(batch)
        for operation, outcome in zip(batch, outcomes, strict=True):
            slots[operation.address], expected = _applied(slots, operation, carts.now)
            assert outcome == expected, operation
            carts.learn(operation, outcome)
    scripts = admin.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert scripts < BATCHES * SIZE * 2 / 3  # or else nothing was done together


def _applied(slots: dict[Address, Slot], operation: Operation, now: int) -> tuple[Slot, Outcome]:
    return apply(slots[operation.address], operation, now)


@pytest.mark.parametrize("carts", [0], indirect=True)
def test_what_fails_fails_alone(
    carts: Carts, backend: RedisBackend, admin: Redis, prefix: str
) -> None:
    backend.execute([Start(place, 1, b"cart") for place in PLACES])
    (name,) = admin.scan_iter(f"{prefix}*kcart3}}:a")
    admin.delete(name)
    admin.hset(name, "a", "stranger's")
    granted = backend.execute([Acquire(place, 7, 30_000, read=True) for place in PLACES])
    assert [type(outcome) for outcome in granted] == [*[Granted] * 3, Broken, *[Granted] * 8]
    saved = backend.execute([Write(place, 2, Stamp(1, 1, 1), b"saved") for place in PLACES])
    assert type(saved[3]) is Broken
    assert Broken not in {type(outcome) for outcome in saved[:3] + saved[4:]}
