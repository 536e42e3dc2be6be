"""Several processes on one store: nothing is lost, and nobody waits for the dead.

The full size of the first is ``nox -s soak``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from redis_servers import Cluster, Server
from sessiontracker import SessionTracker
from sessiontracker.contract import new_id
from sessiontracker.operations import Acquire, Queued, Release

from .paced import in_time
from .process_work import Tally

WORK = Path(__file__).with_name("process_work.py")
PROCESSES = 4
TASKS, TIMES = (25, 100) if os.environ.get("SESSIONTRACKER_SOAK") else (5, 20)

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def valkey() -> Iterator[Server]:
    server = Server("valkey").start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    servers = Cluster("valkey").start()
    yield servers
    servers.stop()


@pytest.fixture(params=["sql", "file", "redis", "redis cluster"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The backend's name and its url; nothing is stored there."""
    if request.param == "sql":
        return "sql", f"sqlite:///{tmp_path / 'sessions.db'}"
    if request.param == "file":
        return "file", str(tmp_path)
    servers: Server | Cluster = request.getfixturevalue(
        "cluster" if "cluster" in request.param else "valkey"
    )
    for server in servers.primaries if isinstance(servers, Cluster) else [servers]:
        server.ask("FLUSHALL")
    return "redis", servers.url


@pytest.fixture
def tracker(store: tuple[str, str]) -> Iterator[SessionTracker]:
    with SessionTracker(backend=store[0], url=store[1]) as tracker:
        tracker.start(Tally(key="tally"))
        yield tracker


@pytest.fixture
def run(store: tuple[str, str]) -> Iterator[Run]:
    """Starts a process in a role; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(role: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, str(WORK), role, *store, *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def in_line(tracker: SessionTracker) -> int:
    """How many wait for the tally's lock: one more asks, sees who is ahead, and leaves."""
    store = tracker._store(Tally)
    address, ticket = store.binding.address("tally", None, None), new_id()
    outcome = store.locking.ask(Acquire(address, ticket, 1_000))
    store.locking.ask(Release(address, ticket))
    assert isinstance(outcome, Queued)
    return outcome.ahead


def until_in_line(tracker: SessionTracker, count: int) -> None:
    deadline = time.monotonic() + 30
    while in_line(tracker) != count:
        assert time.monotonic() < deadline, f"{count} never came to wait"
        time.sleep(0.01)


def test_no_increment_is_lost(tracker: SessionTracker, run: Run) -> None:
    processes = [run("increment", TASKS, TIMES) for _ in range(PROCESSES)]

    assert [line(process) for process in processes] == ["done"] * PROCESSES
    assert [process.wait() for process in processes] == [0] * PROCESSES
    tally = tracker.get(Tally, "tally")
    assert tally.count == PROCESSES * TASKS * TIMES
    assert tally.version == 1 + tally.count


def test_a_killed_holders_lock_passes_on_when_its_lease_is_over(
    tracker: SessionTracker, run: Run
) -> None:
    lease = 1.5

    def passed_on() -> float:
        holder = run("hold", f"{lease}s")
        assert line(holder) == "held"
        waiter = run("wait")
        assert line(waiter) == "waiting"
        until_in_line(tracker, 1)
        killed = time.time()
        holder.kill()
        return float(line(waiter).removeprefix("had ")) - killed

    # At most the whole lease was left when the holder died.
    in_time(passed_on, lease + 0.25)


def test_a_killed_waiter_costs_the_next_one_claim_at_most(
    tracker: SessionTracker, run: Run
) -> None:
    claim = 1.5  # one and a half of the second after which a waiter looks again

    def passed_on() -> float:
        with tracker.lock(Tally, "tally"):
            first = run("wait")
            assert line(first) == "waiting"
            until_in_line(tracker, 1)
            second = run("wait")
            assert line(second) == "waiting"
            until_in_line(tracker, 2)
            first.kill()
            first.wait()
        released = time.time()
        return float(line(second).removeprefix("had ")) - released

    in_time(passed_on, claim + 0.25)
