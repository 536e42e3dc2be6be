"""Reaping: by one at a time, also between processes, and in nobody's way."""

from __future__ import annotations

import asyncio
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any

from sessiontracker import AsyncSessionTracker, Session
from sessiontracker.backend import operations as kinds
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.reaping import RESERVED, reap
from sessiontracker_sql.talk import Pause, Talk
from tests.clock import Clock

from .conftest import Admin, OpenBackend


class Cart(Session):
    pass


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
    clock.move(10.5)
    assert one(backend, kinds.Reap(4)) == kinds.Reaped(4)
    assert one(backend, kinds.Read(at(4))) == kinds.Missing()
    [[left]] = admin.execute(f"SELECT count(*) FROM {prefix}keys WHERE active_life IS NOT NULL")
    assert left == 7
    assert one(backend, kinds.Reap()) == kinds.Reaped(6)
    clock.move(60)  # for so long each remembers the last thing done to it
    assert one(backend, kinds.Reap()) == kinds.Reaped(0)
    assert rows(admin, prefix) == 2  # what stays, and the lease of who reaps


def test_what_is_none_of_ours_keeps_nothing_from_being_reaped(
    open_backend: OpenBackend, admin: Admin, prefix: str
) -> None:
    clock = Clock()
    backend = open_backend(clock=clock)
    odd = "'\\xff'" if admin.is_postgresql else "X'ff'"
    for place in (f"{odd}, 'a'", f"'login', {odd}"):
        admin.execute(
            f"INSERT INTO {prefix}owners (type, scope, revision, due) VALUES ({place}, 1, 0)"
        )
        admin.execute(
            f"INSERT INTO {prefix}keys (type, scope, {'key' if admin.is_postgresql else '`key`'}, "
            f"revision, due) VALUES ({place}, 'k', 1, 0)"
        )
    one(backend, kinds.Start(kinds.Address("login", "a" * 22, "k"), 1, b"", idle=1_000))
    one(backend, kinds.Start(at(1), 2, b"", idle=1_000))
    clock.move(2)
    assert one(backend, kinds.Reap()) == kinds.Reaped(2)
    assert one(backend, kinds.Reap()) == kinds.Reaped(0)
    assert admin.execute(f"SELECT count(*) FROM {prefix}owners WHERE revision = 1") == [(2,)]


def test_while_another_reaps_nobody_does_until_its_lease_is_over(
    open_backend: OpenBackend,
) -> None:
    clock = Clock()
    backend, other = open_backend(clock=clock), open_backend(clock=clock)
    begin(backend, 10, idle=1_000)
    clock.move(2)
    granted = one(other, kinds.Acquire(RESERVED, 7, 10_000, "reaper", queue=False))
    assert isinstance(granted, kinds.Granted)
    assert one(backend, kinds.Reap()) == kinds.Reaped(0)
    clock.move(10.001)
    assert one(backend, kinds.Reap()) == kinds.Reaped(10)
    begin(backend, 10, idle=1_000)
    clock.move(2)
    assert one(other, kinds.Reap()) == kinds.Reaped(10)  # it was let go at once


def test_with_nothing_to_reap_no_lease_is_taken(
    backend: ServerBackend, admin: Admin, prefix: str
) -> None:
    begin(backend, 3, idle=60_000)
    assert one(backend, kinds.Reap()) == kinds.Reaped(0)
    assert rows(admin, prefix) == 3


def test_batches_are_small_with_a_rest_between(
    open_backend: OpenBackend, admin: Admin, prefix: str
) -> None:
    clock = Clock()
    backend = open_backend(clock=clock)
    begin(backend, 500, idle=1_000)
    for n in range(500, 550):
        one(backend, kinds.Start(at(n), n + 1, b""))
    clock.move(61)
    left, rests = [rows(admin, prefix)], 0

    def noting(talk: Talk[Any]) -> Talk[Any]:
        """``talk``, and what was left whenever it rested."""
        nonlocal rests
        said = next(talk)
        try:
            while True:
                if isinstance(said, Pause):
                    rests += 1
                    left.append(rows(admin, prefix))
                    assert said.seconds > 0
                said = talk.send((yield said))
        except StopIteration as end:
            return end.value

    outcome, _ = backend._connections.hold(noting(reap(backend._server, 500, clock)))
    assert outcome == kinds.Reaped(500)
    assert rests >= 9
    assert all(before - after <= 50 for before, after in itertools.pairwise(left))
    assert rows(admin, prefix) == 51  # and the lease of who reaps


async def test_who_pings_or_scans_meanwhile_does_not_wait(url: str, prefix: str) -> None:
    async with AsyncSessionTracker(backend="sql", url=url, table_prefix=prefix) as tracker:
        await asyncio.gather(
            *(tracker.start(Cart(key=str(n)), idle_timeout=0.001) for n in range(500))
        )
        await asyncio.sleep(0.01)
        reaping = asyncio.create_task(tracker.reap())
        await asyncio.sleep(0)
        await tracker.ping()
        assert [cart async for cart in tracker.scan(Cart)] == []
        assert not reaping.done()
        assert await reaping == 500


def in_the_end(backend: ServerBackend, operation: kinds.Operation) -> kinds.Outcome:
    """What it comes to, asked again as a tracker does where somebody was in the way."""
    deadline = monotonic() + 60
    while True:
        outcome = one(backend, operation)
        if not isinstance(outcome, kinds.Unavailable) or monotonic() > deadline:
            return outcome


def test_many_who_reap_at_once_remove_each_session_once(
    open_backend: OpenBackend, admin: Admin, prefix: str
) -> None:
    """Among users that work all the while, none of whom is refused for good."""
    count, shared = 1_200, 100
    backends = [open_backend() for _ in range(4)]
    begin(backends[0], count, idle=1)
    is_over = threading.Event()

    def reap(backend: ServerBackend) -> int:
        gone = 0
        while not is_over.is_set():
            outcome = in_the_end(backend, kinds.Reap(100))
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
                kinds.Acquire(at(n % shared), n, 1_000, queue=False),
                kinds.Release(at(n % shared), n),
                kinds.Delete(at(n), n + 10**9),
            ):
                outcome = in_the_end(user, operation)
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
    assert gone >= count - shared  # users may have come across these first, and removed them
