"""Clients that are killed while they count: what was acknowledged is there, and nothing twice.

The full size, 10,000 on every store, is ``nox -s kills``.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sessiontracker import SessionTracker

from .places import FULL, SHARED, config_of
from .victim import Counts, Victim
from .victims import Tally

CLIENTS, GOAL, EVERY = (8, 10_000, 2.0) if FULL else (2, 50, 0.4)


@pytest.mark.parametrize("name", SHARED if FULL else ["sqlite"])
def test_no_increment_is_lost_or_counted_twice(name: str, tmp_path: Path) -> None:
    random, counts = Random(name), Counts(tmp_path / "counts")
    with config_of(name, tmp_path, lock_lease="1s") as config, SessionTracker(config) as tracker:
        tracker.start(Tally(key="tally"))
        with ExitStack() as stack:
            clients: list[Victim] = []

            def begin(**more: Any) -> None:
                client = Victim("count", config, counts.new(), **more)
                clients.append(stack.enter_context(client))

            for number in range(CLIENTS):
                begin(mode=("async", "sync")[number % 2])
            killed, before, began = 0, 0, time.monotonic()
            while counts.acknowledged < GOAL or not killed:
                time.sleep(EVERY)
                assert all(client.lives for client in clients)
                if counts.acknowledged > before:  # somebody had the time to begin
                    before = counts.acknowledged
                    clients.pop(random.randrange(CLIENTS)).kill()
                    begin(mode=random.choice(("async", "sync")))
                    killed += 1
            for client in clients:
                client.kill()
        took = time.monotonic() - began
        tally = tracker.get(Tally, "tally")
        print(
            f"{name}: {counts.acknowledged} acknowledged, {tally.count} counted, "
            f"{counts.unknown} unknown, {killed} killed, {took:.0f} s"
        )
        assert counts.acknowledged <= tally.count <= counts.acknowledged + counts.unknown
        assert tally.version == 1 + tally.count
        assert not counts.fallen
        with tracker.get_locked(Tally, "tally"):
            pass  # nobody who died has kept it
