"""Clocks of servers that are set while clients work: an hour ahead, an hour back.

A store's clock says when leases and sessions end, so that what ends early or late by it does so;
whatever it says, no update is lost, tokens rise, and nobody waits longer than by his own clock.
Every store, and more often, is ``nox -s kills``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from clocks import LIBRARY, Clock
from redis_servers import until
from sessiontracker import (
    LockLostError,
    LockNotAcquiredError,
    OwnedSession,
    SessionNotFoundError,
    SessionTracker,
)
from sessiontracker.contract import new_id
from sessiontracker.operations import Acquire, Locked

from .places import FULL, OWN, config_of
from .victim import Counts, Victim
from .victims import Tally

pytestmark = pytest.mark.skipif(
    LIBRARY is None,
    reason="NOT with servers' clocks that jump: libfaketime is missing, install faketime",
)
HOUR = 3_600
SERVERS = list(OWN) if FULL else ["valkey"]
CLIENTS, JUMPS = (4, 20) if FULL else (2, 4)


class Login(OwnedSession):
    device: str = ""


@contextmanager
def opened(name: str, folder: Path, **settings: Any) -> Iterator[tuple[Any, SessionTracker, Clock]]:
    """A configuration of a server, a tracker on it, and the server's clock."""
    with Clock() as clock, config_of(name, folder, clock=clock, **settings) as config:
        config["operation_timeout"] = "60s"  # however busy the machine is
        with SessionTracker(config) as tracker:
            yield config, tracker, clock


def jump(tracker: SessionTracker, clock: Clock, ahead: int) -> None:
    """Set the clock. A Redis goes by what it read some ms ago, so wait until it is seen."""

    def is_seen() -> bool:
        return all(is_near(tracker.start(Tally()).started_at, ahead) for _ in range(5))

    clock.set(ahead)
    until(is_seen, "the clock that was set")


def is_near(time: datetime, ahead: int) -> bool:
    """Whether ``time`` is about so many seconds ahead of now."""
    return abs((time - datetime.now(UTC)).total_seconds() - ahead) < HOUR / 4


@pytest.mark.parametrize("name", SERVERS)
def test_no_increment_is_lost(name: str, tmp_path: Path) -> None:
    random, counts = Random(name), Counts(tmp_path / "counts")
    places = [*random.choices([HOUR, 0, -HOUR], k=JUMPS - 3), HOUR, -HOUR, 0]
    with opened(name, tmp_path, lock_lease="5s") as (config, tracker, clock):
        tracker.start(Tally(key="tally"))

        def last_counted() -> datetime:
            return tracker.get(Tally, "tally", touch=False).updated_at

        with ExitStack() as stack:
            clients = [
                stack.enter_context(Victim("count", config, counts.new(), mode=mode))
                for mode in ("async", "sync") * (CLIENTS // 2)
            ]
            for ahead in places:
                time.sleep(random.uniform(0, 0.5))
                clock.set(ahead)
                goal = counts.acknowledged + 2 * CLIENTS
                until(lambda goal=goal: counts.acknowledged >= goal, f"at {ahead}: more counted")
                until(lambda ahead=ahead: is_near(last_counted(), ahead), "a clock that is seen")
            assert all(client.lives for client in clients)
        tally = tracker.get(Tally, "tally")
        print(
            f"{name}: {counts.acknowledged} acknowledged, {tally.count} counted, "
            f"{counts.unknown} unknown, {len(places)} jumps"
        )
        assert counts.acknowledged <= tally.count <= counts.acknowledged + counts.unknown
        assert tally.version == 1 + tally.count
        assert not counts.fallen


@pytest.mark.parametrize("name", SERVERS)
def test_tokens_rise(name: str, tmp_path: Path) -> None:
    with opened(name, tmp_path) as (_, tracker, clock):
        tokens = []
        for ahead in (0, HOUR, 0, -HOUR, 0, HOUR, -HOUR, 0):
            jump(tracker, clock, ahead)
            for _ in range(3):
                with tracker.lock(Tally, "tokens") as lock:
                    tokens.append(lock.token)
        assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("name", SERVERS)
def test_a_lease_ends_at_once_when_the_clock_is_set_ahead(name: str, tmp_path: Path) -> None:
    with opened(name, tmp_path, lock_lease="30s") as (_, tracker, clock):
        tracker.start(Tally(key="tally"))
        with pytest.raises(LockLostError), tracker.get_locked(Tally, "tally") as tally:
            tally.count = 1
            jump(tracker, clock, HOUR)
            with tracker.lock(Tally, "tally", wait="0s"):
                pass
        assert tracker.get(Tally, "tally").count == 0


@pytest.mark.parametrize("name", SERVERS)
def test_who_lives_lets_go_of_a_lock_after_the_clock_is_set_back(name: str, tmp_path: Path) -> None:
    with opened(name, tmp_path, lock_lease="30s") as (_, tracker, clock):
        tracker.start(Tally(key="tally"))
        with tracker.get_locked(Tally, "tally") as tally:
            tally.count = 1
            jump(tracker, clock, -HOUR)
        with tracker.get_locked(Tally, "tally", wait="0s") as tally:
            assert tally.count == 1


@pytest.mark.parametrize("name", SERVERS)
def test_the_dead_keep_a_lock_until_the_clock_has_caught_up(name: str, tmp_path: Path) -> None:
    with opened(name, tmp_path, lock_lease="30s") as (config, tracker, clock):
        with Victim("hold", config, "kept") as holder:
            assert holder.hear() == "held"
        jump(tracker, clock, -HOUR)
        # Who waits goes by a clock of his own.
        with pytest.raises(LockNotAcquiredError) as found, tracker.lock(Tally, "kept", wait="1s"):
            pass
        assert found.value.waited < HOUR / 10
        jump(tracker, clock, 60)
        with tracker.lock(Tally, "kept"):
            pass


@pytest.mark.parametrize("name", SERVERS)
def test_a_renewal_after_the_clock_is_set_back_lasts_a_lease(name: str, tmp_path: Path) -> None:
    with opened(name, tmp_path, lock_lease="6s") as (config, tracker, clock):
        with tracker.lock(Tally, "renewed") as lock:
            ask = Acquire(lock._address, new_id(), 1, queue=False)

        def is_renewed() -> bool:
            told = tracker._store(Tally).locking.ask(ask)
            return isinstance(told, Locked) and told.expires_in <= 6_000

        with Victim("hold", config, "renewed") as holder:
            assert holder.hear() == "held"
            jump(tracker, clock, -HOUR)
            until(is_renewed, "a renewal")
        with tracker.lock(Tally, "renewed"):  # soon, though it is dead
            pass


@pytest.mark.parametrize("name", SERVERS)
def test_sessions_expire_by_what_the_clock_says(name: str, tmp_path: Path) -> None:
    with opened(name, tmp_path, idle_timeout="30m") as (_, tracker, clock):
        tracker.start(Tally(key="tally"))
        first = tracker.start(Login(owner="alice", device="first"))
        jump(tracker, clock, HOUR)
        with pytest.raises(SessionNotFoundError):
            tracker.get(Tally, "tally")
        assert tracker.list_sessions(Login, "alice") == []
        with pytest.raises(SessionNotFoundError):
            tracker.update(first)
        tracker.start(Tally(key="tally", count=1))
        second = tracker.start(Login(owner="alice", device="second"))
        for ahead in (0, -HOUR, HOUR):
            jump(tracker, clock, ahead)
            assert tracker.get(Tally, "tally", touch=False).count == 1
            listed = [each.device for each in tracker.list_sessions(Login, "alice")]
            assert "second" in listed
            assert tracker.count_sessions(Login, "alice") == len(listed)
        second.device = "the second"
        tracker.update(second)
        jump(tracker, clock, 2 * HOUR)
        assert tracker.count_sessions(Login, "alice") == 0
