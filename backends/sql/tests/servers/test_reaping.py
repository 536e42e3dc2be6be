"""Reaping: by one at a time, also between processes, and in nobody's way."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any

from sessiontracker.backend import operations as kinds
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.reaping import RESERVED

from .conftest import Admin, OpenBackend

START = 1_700_000_000_000_000


class Clock:
    """µs, which pass when the test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def pass_ms(self, ms: int) -> None:
        self.now += ms * 1000


def at(key: object) -> kinds.Address:
    return kinds.Address("checkout", "", f"k{key}")


def begin(backend: ServerBackend, count: int, **timeouts: int) -> None:
    starts = [kinds.Start(at(n), n + 1, b"payload", **timeouts) for n in range(count)]
    outcomes = [backend.execute(starts[n : n + 250]) for n in range(0, count, 250)]
    assert {type(each) for batch in outcomes for each in batch} == {kinds.Saved}


def one(backend: ServerBackend, operation: Any) -> Any:
    [outcome] = backend.execute([operation])
    return outcome


def rows(admin: Admin, prefix: str) -> int:
    [[count]] = admin.execute(f"SELECT count(*) FROM {prefix}keys")
    return int(count)


def test_oldest_first_no_more_than_the_limit_and_no_row_is_left_behind(
    open_backend: OpenBackend, admin: Admin, prefix: str
) -> None:
    clock = Clock()
    backend = open_backend(clock=clock)
    for n in range(10):
        one(backend, kinds.Start(at(n), n + 1, b"", idle=1_000 * (n + 1)))
    one(backend, kinds.Start(at("stays"), 99, b"", idle=10_000_000))
    assert one(backend, kinds.Reap()) == kinds.Reaped(0)
    clock.pass_ms(10_500)
    assert one(backend, kinds.Reap(4)) == kinds.Reaped(4)
    assert one(backend, kinds.Read(at(4))) == kinds.Missing()
    [[left]] = admin.execute(f"SELECT count(*) FROM {prefix}keys WHERE active_life IS NOT NULL")
    assert left == 7
    assert one(backend, kinds.Reap()) == kinds.Reaped(6)
    clock.pass_ms(60_000)  # for so long each remembers the last thing done to it
    assert one(backend, kinds.Reap()) == kinds.Reaped(0)
    assert rows(admin, prefix) == 2  # what stays, and the lease of who reaps


def test_while_another_reaps_nobody_does_until_its_lease_is_over(
    open_backend: OpenBackend,
) -> None:
    clock = Clock()
    backend, other = open_backend(clock=clock), open_backend(clock=clock)
    begin(backend, 10, idle=1_000)
    clock.pass_ms(2_000)
    granted = one(other, kinds.Acquire(RESERVED, 7, 10_000, "reaper", queue=False))
    assert isinstance(granted, kinds.Granted)
    assert one(backend, kinds.Reap()) == kinds.Reaped(0)
    clock.pass_ms(10_001)
    assert one(backend, kinds.Reap()) == kinds.Reaped(10)
    begin(backend, 10, idle=1_000)
    clock.pass_ms(2_000)
    assert one(other, kinds.Reap()) == kinds.Reaped(10)  # it was let go at once


def test_with_nothing_to_reap_no_lease_is_taken(
    backend: ServerBackend, admin: Admin, prefix: str
) -> None:
    begin(backend, 3, idle=60_000)
    assert one(backend, kinds.Reap()) == kinds.Reaped(0)
    assert rows(admin, prefix) == 3


def test_many_who_reap_at_once_remove_each_session_once(
    open_backend: OpenBackend, admin: Admin, prefix: str
) -> None:
    """Among users that work all the while, none of whom is refused."""
    count = 1_200
    backends = [open_backend() for _ in range(4)]
    begin(backends[0], count, idle=1)
    is_over = threading.Event()

    def reap(backend: ServerBackend) -> int:
        gone = 0
        while not is_over.is_set():
            outcome = one(backend, kinds.Reap(100))
            assert isinstance(outcome, kinds.Reaped), outcome
            gone += outcome.count
        return gone

    def work() -> None:
        user = open_backend()
        for n in itertools.count(10**6):
            if is_over.is_set():
                break
            for operation in (
                kinds.Start(at(n), n, b"payload", idle=1),
                kinds.Acquire(at(n % 100), n, 1_000, queue=False),
                kinds.Release(at(n % 100), n),
                kinds.Delete(at(n), n + 10**9),
            ):
                outcome = one(user, operation)
                assert not isinstance(outcome, (kinds.Unavailable, kinds.Failed)), outcome

    with ThreadPoolExecutor(len(backends) + 1) as pool:
        working = pool.submit(work)
        reaping = [pool.submit(reap, backend) for backend in backends]
        deadline = monotonic() + 60
        of_old = f"active_life <= {count}"
        while admin.execute(f"SELECT 1 FROM {prefix}keys WHERE {of_old} LIMIT 1"):
            if monotonic() > deadline:
                break
            sleep(0.02)
        is_over.set()
        working.result()
        gone = sum(each.result() for each in reaping)
    assert not admin.execute(f"SELECT 1 FROM {prefix}keys WHERE {of_old} LIMIT 1")
    assert gone >= count
