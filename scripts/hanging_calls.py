"""Calls on a server that hangs: each ends within its time, and what it says is so.

Tasks of one tracker and threads of another make them at once, and again while the first have no
answer: some are under way when the server stops, some wait behind those, some must connect.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, NamedTuple

from sessiontracker import (
    AsyncSessionTracker,
    BackendError,
    BackendUnavailableError,
    OutcomeUnknownError,
    Session,
    SessionFinishedError,
    SessionNotFoundError,
    SessionTracker,
    SessionTrackerError,
)

__all__ = ["Call", "calls_while_it_hangs", "longest"]


class Hung(Session):
    count: int = 0


class Call(NamedTuple):
    """What became of one, which ``took`` so many seconds."""

    what: str
    key: str
    took: float
    error: SessionTrackerError | None


_READ = "read"
_CALLS: dict[str, Callable[[Any, str], Any]] = {
    "get": lambda tracker, _: tracker.get(Hung, _READ),
    "get_many": lambda tracker, key: tracker.get_many(Hung, [_READ, key]),
    "start": lambda tracker, key: tracker.start(Hung(key=key)),
    "finish": lambda tracker, key: tracker.finish(Hung, key),
}


async def calls_while_it_hangs(
    config: Mapping[str, Any],
    pause: Callable[[], None],
    resume: Callable[[], None],
    *,
    again: float,
) -> list[Call]:
    """Make ten of each kind, at once, on either side of the house, and once more ``again``
    seconds later; when all have ended, the server goes on, and what they said is compared with
    what there is."""
    made: list[Call] = []
    with SessionTracker(config) as blocking, ThreadPoolExecutor(200) as pool:
        async with AsyncSessionTracker(config) as tracker:
            # Of this time alone: what is unknown may be done at any time.
            task, thread = (f"{side}-{secrets.token_hex(4)}" for side in ("task", "thread"))
            async with AsyncSessionTracker({**config, "operation_timeout": "60s"}) as patient:
                await patient.get_or_start(Hung(key=_READ))
                for side in (task, thread):
                    for number in range(20):
                        await patient.start(Hung(key=f"finish-{side}-{number}"))
            await tracker.get(Hung, _READ)
            blocking.get(Hung, _READ)  # both are connected

            def in_thread(what: str, key: str) -> None:
                began = monotonic()
                error = None
                try:
                    _CALLS[what](blocking, key)
                except SessionTrackerError as raised:
                    error = raised
                made.append(Call(what, key, monotonic() - began, error))

            async def in_task(what: str, key: str) -> None:
                began = monotonic()
                error = None
                try:
                    await _CALLS[what](tracker, key)
                except SessionTrackerError as raised:
                    error = raised
                made.append(Call(what, key, monotonic() - began, error))

            def begin(numbers: range) -> list[Awaitable[None]]:
                loop = asyncio.get_running_loop()
                begun: list[Awaitable[None]] = []
                for number in numbers:
                    for what in _CALLS:
                        begun.append(
                            loop.run_in_executor(pool, in_thread, what, f"{what}-{thread}-{number}")
                        )
                        begun.append(loop.create_task(in_task(what, f"{what}-{task}-{number}")))
                return begun

            pause()
            try:
                calls = begin(range(10))
                await asyncio.sleep(again)
                await asyncio.gather(*calls, *begin(range(10, 20)))
            finally:
                resume()
            for call in made:
                await _compare(tracker, call)
    return made


async def _compare(tracker: AsyncSessionTracker, call: Call) -> None:
    """Whether what ``call`` said is so."""
    if call.what not in ("start", "finish") or isinstance(call.error, OutcomeUnknownError):
        return
    done = call.error is None
    assert done or isinstance(call.error, BackendUnavailableError), call
    there = await _state(tracker, call.key)
    before = SessionNotFoundError if call.what == "start" else None
    after = None if call.what == "start" else SessionFinishedError
    assert there is (after if done else before), (call, there)


async def _state(tracker: AsyncSessionTracker, key: str) -> type[SessionTrackerError] | None:
    async with asyncio.timeout(60):
        while True:
            try:
                await tracker.get(Hung, key)
            except (SessionNotFoundError, SessionFinishedError) as error:
                return type(error)
            except BackendUnavailableError:
                await asyncio.sleep(0.01)  # it goes on any moment now
            else:
                return None


def longest(calls: list[Call]) -> float:
    """For how many seconds the longest of ``calls`` took, all of which must say what they know."""
    for call in calls:
        harmless = call.what in ("get", "get_many")
        known = (BackendUnavailableError,) if harmless else (BackendError,)
        assert isinstance(call.error, known), call
    return max(call.took for call in calls)
