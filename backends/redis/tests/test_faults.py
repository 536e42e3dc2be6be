"""Faults under load: every call ends in time, and nothing that was said to be done is lost.

A few seconds of each; the minutes are ``nox -s faults``.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, Self

import pytest

from redis_servers import Cluster, Sentinels, Server, until
from sessiontracker import (
    AsyncSessionTracker,
    OutcomeUnknownError,
    Session,
    SessionActiveError,
    SessionTracker,
    SessionTrackerError,
)
from sessiontracker_redis.slots import slot_of
from tests.paced import Watch

SECONDS = float(os.environ.get("SESSIONTRACKER_FAULTS_SECONDS", "2"))
OPERATION, WAIT = 4.0, 4.0  # s
LATEST = 2 * OPERATION + WAIT + 3.0  # to ask for a lock, to wait, to save; and some more
PATIENT: dict[str, Any] = {"lease": "10s", "operation_timeout": 15.0}  # where none is to fail
KEYS = [f"{how}-{number}" for how in ("locked", "read", "ended") for number in range(3)]
TASKS, THREADS = 4, 1  # for each of the three ways to count, on the two sides of the house


class Tally(Session):
    count: int = 0


class Account:
    """What became of each increment."""

    def __init__(self) -> None:
        self.done: defaultdict[str, list[float]] = defaultdict(list)
        self.unknown: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.wrong: list[BaseException] = []
        self.longest = 0.0

    @contextmanager
    def step(self, key: str) -> Iterator[None]:
        began = monotonic()
        try:
            yield
        except OutcomeUnknownError:
            self.unknown[key] += 1
        except SessionTrackerError as error:
            self.refused[type(error).__name__] += 1
        except BaseException as error:
            self.wrong.append(error)
        else:
            self.done[key].append(monotonic())
        self.longest = max(self.longest, monotonic() - began)


class Load:
    """Tasks of one tracker and threads of another, which count up nine tallies in three ways."""

    def __init__(
        self,
        url: str,
        prefix: str,
        lease: str = "2s",
        operation_timeout: float = OPERATION,
        **options: Any,
    ) -> None:
        self.account = Account()
        self._watch = Watch()
        self._config = {
            "backends": {"hot": {"use": "redis", "url": url, "prefix": prefix, **options}},
            "operation_timeout": operation_timeout,
            "defaults": {"storage": "hot", "lock_wait": WAIT, "lock_lease": lease},
        }
        self._stopped = False
        self._begun = threading.Event()  # the tasks have
        self._tracker = SessionTracker(self._config)
        self._threads = [threading.Thread(target=self._tasks)]
        for key in _keys(THREADS):
            self._threads.append(threading.Thread(target=self._work, args=[key]))

    def __enter__(self) -> Self:
        self._watch.__enter__()
        self._tracker.open()
        for key in KEYS:
            self._tracker.start(Tally(key=key))
        for thread in self._threads:
            thread.start()
        self._begun.wait(60)
        self.until_all_go_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        for thread in self._threads:
            thread.join()
        self._tracker.close()
        self._watch.__exit__()

    def until_all_go_on(self) -> None:
        """Every tally is counted up once more: no lock is held for ever."""
        now = monotonic()
        done = self.account.done
        until(lambda: all(done[key] and done[key][-1] > now for key in KEYS), "going on")

    # On the one side, and on the other ---------------------------------------

    def _tasks(self) -> None:
        async def all_tasks() -> None:
            async with AsyncSessionTracker(self._config) as tracker, asyncio.TaskGroup() as group:
                self._begun.set()
                for key in _keys(TASKS):
                    group.create_task(self._work_async(tracker, key))

        asyncio.run(all_tasks())

    async def _work_async(self, tracker: AsyncSessionTracker, key: str) -> None:
        while not self._stopped:
            with self.account.step(key):
                if key.startswith("locked"):
                    async with tracker.get_locked(Tally, key) as tally:
                        tally.count += 1
                elif key.startswith("read"):
                    tally = await tracker.get(Tally, key)
                    tally.count += 1
                    await tracker.update(tally)
                else:
                    try:
                        tally = await tracker.resume(Tally, key)
                    except SessionActiveError:
                        tally = await tracker.get(Tally, key)
                    tally.count += 1
                    await tracker.finish(tally)
            await asyncio.sleep(0.005)

    def _work(self, key: str) -> None:
        tracker = self._tracker
        while not self._stopped:
            with self.account.step(key):
                if key.startswith("locked"):
                    with tracker.get_locked(Tally, key) as tally:
                        tally.count += 1
                elif key.startswith("read"):
                    tally = tracker.get(Tally, key)
                    tally.count += 1
                    tracker.update(tally)
                else:
                    try:
                        tally = tracker.resume(Tally, key)
                    except SessionActiveError:
                        tally = tracker.get(Tally, key)
                    tally.count += 1
                    tracker.finish(tally)
            sleep(0.005)

    # Afterwards --------------------------------------------------------------

    def check(self, lost: Callable[[float], bool] = lambda _: False) -> None:
        """What was done at a point in time that may be ``lost`` need not be there."""
        account = self.account
        assert not account.wrong
        assert account.longest < LATEST + self._watch.stood
        with SessionTracker(self._config) as tracker:
            for key in KEYS:
                try:
                    tally = tracker.get(Tally, key)
                except SessionTrackerError:
                    tally = tracker.get_finished(Tally, key)
                done = account.done[key]
                least = sum(not lost(at) for at in done)
                most = len(done) + account.unknown[key]
                assert least <= tally.count <= most, (key, least, tally.count, most)
                if not key.startswith("ended"):
                    assert tally.version == 1 + tally.count
                    with tracker.lock(Tally, key):
                        pass

    def check_nothing_failed(self) -> None:
        """There was no refusal but of those who came too late."""
        assert set(self.account.refused) <= {"SessionFinishedError", "StaleSessionError"}
        assert not self.account.unknown


def _keys(each: int) -> Iterator[str]:
    return itertools.chain.from_iterable(itertools.repeat(key, each) for key in KEYS)


def endure(load: Load, fault: Callable[[], None]) -> int:
    """``fault`` after fault while ``load`` is on; how many there were."""
    end = monotonic() + SECONDS
    count = 0
    while monotonic() < end or not count:
        fault()
        count += 1
    load.until_all_go_on()
    return count


def no_storm(servers: list[Server], faults: int) -> bool:
    """Whether nobody was connected to much more often than there was reason to."""
    return all(server.connections() <= 30 * (1 + faults) for server in servers)


# One server ------------------------------------------------------------------


def test_scripts_are_flushed(server_of: Callable[..., Server], prefix: str) -> None:
    server = server_of()
    with server.client() as admin, Load(server.url, prefix, **PATIENT) as load:

        def fault() -> None:
            admin.script_flush()
            sleep(0.1)

        endure(load, fault)
    load.check()
    load.check_nothing_failed()


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
def test_connections_are_killed(server_of: Callable[..., Server], prefix: str, kind: str) -> None:
    server = server_of()
    killed = 0
    with server.client() as admin, Load(server.url, prefix) as load:
        before = server.connections()

        def fault() -> None:
            nonlocal killed
            killed += admin.client_kill_filter(_type=kind)
            sleep(0.1)

        endure(load, fault)
        assert killed
        # No more than those that were lost are made anew.
        assert server.connections() - before <= killed + 5
    load.check()


# Sentinels -------------------------------------------------------------------


@pytest.mark.parametrize("replicas", [0, 1])
def test_a_primary_is_killed(prefix: str, replicas: int) -> None:
    """Without ``wait_replicas``, what was done in the last moment may be lost, and nothing else."""
    sentinels = Sentinels("valkey").start()
    killed: list[float] = []

    def fault() -> None:
        old = sentinels.primary
        killed.append(monotonic())
        old.kill()
        until(lambda: sentinels.primary is not old, "a failover")
        old.start()
        old.ask("REPLICAOF", "127.0.0.1", sentinels.primary.port)  # sentinels take their time
        # On a busy machine it may have been made the primary again meanwhile.
        until(lambda: any(map(_is_replica, sentinels.servers)), "a replica")

    try:
        with Load(sentinels.url, prefix, timeout="1s", wait_replicas=replicas) as load:
            endure(load, fault)
            assert no_storm([*sentinels.servers, *sentinels.sentinels], len(killed))
        load.check(lambda at: not replicas and any(-1.0 < at - when < 0.5 for when in killed))
    finally:
        sentinels.stop()


def _is_replica(server: Server) -> bool:
    said = server.client().info("replication")
    return said["role"] == "slave" and said["master_link_status"] == "up"


# A cluster -------------------------------------------------------------------


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    cluster = Cluster("valkey", replicas=1).start()
    yield cluster
    cluster.stop()


def test_primaries_hand_over(own_cluster: Cluster, prefix: str) -> None:
    turns = itertools.cycle([0, 8000, 16383])

    def fault() -> None:
        own_cluster.hand_over(own_cluster.owner(next(turns)))
        own_cluster.until_well()

    with Load(own_cluster.url, prefix) as load:
        assert no_storm(own_cluster.servers, endure(load, fault))
    load.check()


def test_slots_move(own_cluster: Cluster, prefix: str) -> None:
    keys = itertools.cycle(KEYS)
    for server in own_cluster.servers:  # none of which is taken for dead while it is slow
        server.ask("CONFIG", "SET", "cluster-node-timeout", 10_000)

    def fault() -> None:
        number = slot_of(f"k{next(keys)}")
        source = own_cluster.owner(number)
        target = next(each for each in own_cluster.owners() if each is not source)
        own_cluster.begin_to_migrate(number, source, target)
        sleep(0.05)
        own_cluster.move_keys(number, source, target)
        sleep(0.05)
        own_cluster.settle(number, target)

    with Load(own_cluster.url, prefix, **PATIENT) as load:
        assert no_storm(own_cluster.servers, endure(load, fault))
    load.check()
    load.check_nothing_failed()
