"""Counting up by tasks and by threads, among whatever trouble a test makes meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any

from sessiontracker import (
    AsyncSessionTracker,
    BackendUnavailableError,
    LockLostError,
    LockNotAcquiredError,
    OutcomeUnknownError,
    Session,
    SessionTracker,
    StaleSessionError,
)
from tests.paced import Watch

WORKERS = 2
LOCKED, BY_VERSION = KEYS = "locked", "by-version"
PATIENCE = 60.0  # s
LATEST = 20.0  # s, to ask for a lock, to wait for it, to save: five each, and some more

NOT_DONE = (BackendUnavailableError, StaleSessionError, LockNotAcquiredError)
PERHAPS_DONE = (OutcomeUnknownError, LockLostError)


class Tally(Session):
    count: int = 0


class Score:
    """What those who count up were told."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.perhaps: Counter[str] = Counter()
        self.slowest = 0.0
        self._mutex = threading.Lock()

    def add(self, key: str, began: float, error: Exception | None) -> None:
        with self._mutex:
            self.slowest = max(self.slowest, monotonic() - began)
            self.done[key] += error is None
            self.perhaps[key] += isinstance(error, PERHAPS_DONE)

    def until_all_go_on(self, times: int = 10) -> None:
        """Each tally is counted up so many times more."""
        enough = {key: self.done[key] + times for key in KEYS}
        deadline = monotonic() + PATIENCE
        while any(self.done[key] < enough[key] for key in KEYS):
            assert monotonic() < deadline, "nothing is counted any more"
            sleep(0.01)


async def by_tasks(url: str, prefix: str, score: Score, is_over: threading.Event) -> None:
    async with AsyncSessionTracker(backend="sql", url=url, table_prefix=prefix) as tracker:

        async def under_the_lock() -> None:
            async with tracker.get_locked(Tally, LOCKED, lease="2s", wait="5s") as tally:
                tally.count += 1

        async def by_version() -> None:
            tally = await tracker.get(Tally, BY_VERSION)
            tally.count += 1
            await tracker.update(tally)

        async def count_up(key: str, how: Callable[[], Any]) -> None:
            while not is_over.is_set():
                began = monotonic()
                try:
                    await how()
                except (*NOT_DONE, *PERHAPS_DONE) as error:
                    score.add(key, began, error)
                else:
                    score.add(key, began, None)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(count_up(LOCKED, under_the_lock))
                group.create_task(count_up(BY_VERSION, by_version))


def by_threads(url: str, prefix: str, score: Score, is_over: threading.Event) -> None:
    with SessionTracker(backend="sql", url=url, table_prefix=prefix) as tracker:

        def under_the_lock() -> None:
            with tracker.get_locked(Tally, LOCKED, lease="2s", wait="5s") as tally:
                tally.count += 1

        def by_version() -> None:
            tally = tracker.get(Tally, BY_VERSION)
            tally.count += 1
            tracker.update(tally)

        def count_up(key: str, how: Callable[[], None]) -> None:
            while not is_over.is_set():
                began = monotonic()
                try:
                    how()
                except (*NOT_DONE, *PERHAPS_DONE) as error:
                    score.add(key, began, error)
                else:
                    score.add(key, began, None)

        with ThreadPoolExecutor(2 * WORKERS) as pool:
            ways = [(LOCKED, under_the_lock), (BY_VERSION, by_version)] * WORKERS
            for each in [pool.submit(count_up, *way) for way in ways]:
                each.result()


def count_among(url: str, prefix: str, trouble: Callable[[], None]) -> None:
    """Count up by tasks and by threads, amid ``trouble``: all that was said to be done is there,
    and nothing twice. Only what `NOT_DONE` and `PERHAPS_DONE` name has been raised."""
    with SessionTracker(backend="sql", url=url, table_prefix=prefix) as tracker:
        for key in KEYS:
            tracker.start(Tally(key=key))
    scores, is_over = [Score(), Score()], threading.Event()

    def work_by_tasks() -> None:
        asyncio.run(by_tasks(url, prefix, scores[0], is_over))

    def until_all_go_on() -> None:
        for score in scores:
            score.until_all_go_on()

    with Watch() as watch, ThreadPoolExecutor(2) as pool:
        working = [
            pool.submit(work_by_tasks),
            pool.submit(by_threads, url, prefix, scores[1], is_over),
        ]
        try:
            until_all_go_on()
            trouble()
            until_all_go_on()  # by itself
        finally:
            is_over.set()
            for each in working:
                each.result()
    with SessionTracker(backend="sql", url=url, table_prefix=prefix) as tracker:
        for key in KEYS:
            count, done = tracker.get(Tally, key).count, sum(each.done[key] for each in scores)
            assert done <= count <= done + sum(each.perhaps[key] for each in scores), key
    assert max(score.slowest for score in scores) < LATEST + watch.stood
