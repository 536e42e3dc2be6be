"""What the dead cost those who wait: the lease that is left, and one claim at most.

The full size, on every store and with its times judged, is ``nox -s kills``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sessiontracker import SessionTracker
from sessiontracker.contract import new_id
from sessiontracker.operations import Acquire, Locked, Queued, Release

from .places import FULL, SHARED, config_of
from .victim import Victim
from .victims import Tally

NAMES = SHARED if FULL else ["sqlite"]
ORDERS = ["the dead first", "in turns", "and the holder"] if FULL else ["in turns"]
ROUNDS = 20 if FULL else 1
QUEUERS, WAITERS = (5, 50) if FULL else (2, 6)  # processes, and those who wait in all of them
LEASE, SOON = 1.0, 0.25
"""In s; ``SOON`` is how long it may take beyond what lease and claim last."""
KEY = "passed-on"


class Line:
    """The key's lock and who waits for it, as the store has it."""

    def __init__(self, tracker: SessionTracker) -> None:
        with tracker.lock(Tally, KEY) as lock:
            self._address = lock._address
        self._asker = tracker._store(Tally).locking
        self.claim = 1.5 * self._asker.look_every / 1000
        """For how long, in s, the lock is kept free for one who waits."""

    def ends(self, holder: Victim) -> float | None:
        """When, by the monotonic clock, ``holder``'s lease ends, and not before; None: it did."""
        now = time.monotonic()
        told = self._asker.ask(Acquire(self._address, new_id(), 1, queue=False))
        if isinstance(told, Locked) and told.holder.endswith(f":{holder.process.pid}"):
            return now + told.expires_in / 1000
        return None

    def await_length(self, length: int) -> None:
        """Until so many wait, or nobody has the lock."""
        while True:
            ticket = new_id()
            told = self._asker.ask(Acquire(self._address, ticket, 60_000))
            self._asker.ask(Release(self._address, ticket))
            if not isinstance(told, Queued) or told.ahead >= length:
                return
            time.sleep(0.005)


@contextmanager
def line_of(name: str, folder: Path, lease: float = LEASE) -> Iterator[tuple[Any, Line]]:
    settings = {"lock_lease": lease, "lock_wait": "off"}
    with config_of(name, folder, **settings) as config, SessionTracker(config) as tracker:
        yield config, Line(tracker)


def time_of(said: str) -> float:
    """When it was that one said so."""
    word, time = said.split()
    assert word == "had"
    return float(time)


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_holders_lock_passes_on_when_its_lease_ends(name: str, tmp_path: Path) -> None:
    random, late = Random(name), list[float]()
    with line_of(name, tmp_path) as (config, line), Victim("queue", config, KEY) as waiter:
        while len(late) < ROUNDS:
            with Victim("hold", config, KEY) as holder:
                assert holder.hear() == "held"
                waiter.tell()
                line.await_length(1)
                time.sleep(random.uniform(0, LEASE / 2 if FULL else 0))
            time.sleep(0.05)  # what it had sent before it was killed has arrived
            ends = line.ends(holder)
            had = time_of(waiter.hear())
            if ends is not None:  # the holder or this process, too, may have stood still
                late.append(had - ends)
    print(f"{name}: {min(late) * 1000:.0f} to {max(late) * 1000:.0f} ms after the lease")
    assert min(late) > -0.005  # what is told is in ms
    assert not FULL or max(late) < SOON


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", ORDERS)
def test_killed_waiters_cost_one_claim(name: str, order: str, tmp_path: Path) -> None:
    lease = LEASE if order == "and the holder" else 60.0
    with line_of(name, tmp_path, lease) as (config, line), ExitStack() as stack:
        holder = stack.enter_context(Victim("hold", config, KEY))
        assert holder.hear() == "held"
        queuers = [stack.enter_context(Victim("queue", config, KEY)) for _ in range(QUEUERS)]
        places = [queuer for queuer in queuers for _ in range(WAITERS // QUEUERS)]
        if order == "in turns":
            places = queuers * (WAITERS // QUEUERS)
        for length, queuer in enumerate(places, start=1):
            queuer.tell()
            line.await_length(length)
        *doomed, alive = queuers
        for queuer in doomed:
            queuer.kill()
        if order == "and the holder":
            holder.kill()
            time.sleep(0.05)
            begin = line.ends(holder) or time.monotonic()
        else:
            begin = time.monotonic()
            holder.tell()
        times = [time_of(alive.hear()) for _ in range(WAITERS // QUEUERS)]
    waited = [had - before for before, had in zip([begin, *times], times, strict=False)]
    *others, longest = sorted(waited)
    print(
        f"{name}, {order}: {longest * 1000:.0f} ms of which {line.claim * 1000:.0f} ms are the "
        f"claim, then {max(others) * 1000:.0f} ms at most"
    )
    assert times == sorted(times)
    assert not FULL or longest < line.claim + SOON
    assert not FULL or max(others) < SOON
