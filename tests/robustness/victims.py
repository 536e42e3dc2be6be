"""A process to be killed or frozen: run as ``python -m tests.robustness.victims ROLE MODE CONFIG
WORDS…``, the configuration in JSON. It says what it comes to, a line each."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from sessiontracker import (
    AsyncSessionTracker,
    BackendUnavailableError,
    LockError,
    LockLostError,
    OutcomeUnknownError,
    Session,
    SessionTracker,
)
from sessiontracker.contract import new_id
from sessiontracker.operations import Write
from sessiontracker.session import meta_of

from ..trackers import _Awaited

__all__ = ["LATE", "Tally"]

LATE = 1_000
"""What a late write counts for."""


class Tally(Session):
    count: int = 0
    token: int = 0
    """Of the lock under which it was counted last."""


def say(*words: object) -> None:
    print(*words, flush=True)


async def told() -> None:
    """Until there is a line on the input."""
    if not await asyncio.to_thread(sys.stdin.readline):
        raise EOFError


async def count(tracker: Any, path: str) -> None:
    """Count the session up again and again. The file at ``path``, which outlives this process,
    has a letter for each beginning (b), and for its end: acknowledged (a), unknown (u), or
    refused (r); and one (t) where the lock's token was not higher than the last one's."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        os.write(file, b"b")
        try:
            async with tracker.get_locked(Tally, "tally") as tally:
                token = tracker.lock_of(tally).token
                if token <= tally.token:
                    os.write(file, b"t")
                tally.count += 1
                tally.token = token
        except OutcomeUnknownError:
            os.write(file, b"u")
        except (LockError, BackendUnavailableError):
            os.write(file, b"r")
        else:
            os.write(file, b"a")


async def write_late(tracker: Any, prefix: str, number: str) -> None:
    """Hold so many sessions. When told, write each as if the lease still lasted, and leave its
    block. Says what the store answers to the one, what the other raises, and what is counted
    after that."""
    keys = [f"{prefix}{each}" for each in range(int(number))]
    held: dict[str, tuple[Any, Any]] = {}
    are_held, are_written = asyncio.Event(), asyncio.Event()

    async def hold(key: str) -> str:
        while True:
            try:
                async with tracker.get_locked(Tally, key, missing=Tally(key=key)) as tally:
                    held[key] = meta_of(tally).stamp, tracker.lock_of(tally)
                    if len(held) == len(keys):
                        are_held.set()
                    try:
                        await are_written.wait()
                    finally:  # the tracker may find out first
                        await are_written.wait()
            except LockLostError as lost:
                if key in held:
                    return type(lost).__name__
            else:
                return "nothing"

    async with asyncio.TaskGroup() as group:
        holders = [group.create_task(hold(key)) for key in keys]
        await are_held.wait()
        say("held")
        await told()
        answers = [await store_late(tracker, *held[key]) for key in keys]
        are_written.set()
    for key, answer, holder in zip(keys, answers, holders, strict=True):
        say(answer, holder.result(), (await tracker.get(Tally, key)).count)


async def store_late(tracker: Any, stamp: Any, lock: Any) -> str:
    """What the store answers to a write that the tracker itself would not send any more."""
    is_async = not isinstance(tracker, _Awaited)
    store = (tracker if is_async else tracker.tracker)._stores[Tally]
    payload = store.binding.codec.encode(Tally(key="late", count=LATE))
    write = Write(lock._address, new_id(), stamp, payload, lock._hold, release=store.fused)
    asked = store.storage.ask(write)
    return type(await asked if is_async else asked).__name__


async def hold(tracker: Any, key: str) -> None:
    """Hold the lock until told."""
    async with tracker.lock(Tally, key):
        say("held")
        await told()


async def queue(tracker: Any, key: str) -> None:
    """Each time when told, one more waits for the lock, and says when it had it."""

    async def wait() -> None:
        async with tracker.lock(Tally, key):
            say("had", time.monotonic())

    async with asyncio.TaskGroup() as group:
        while True:
            await told()
            group.create_task(wait())


ROLES = {role.__name__: role for role in (count, write_late, hold, queue)}


async def main() -> None:
    role, mode, config, *words = sys.argv[1:]
    try:
        if mode == "async":
            async with AsyncSessionTracker(json.loads(config)) as tracker:
                await ROLES[role](tracker, *words)
        else:
            with SessionTracker(json.loads(config)) as tracker:
                await ROLES[role](_Awaited(tracker), *words)
    except* EOFError:  # who tells has gone
        pass


if __name__ == "__main__":
    asyncio.run(main())
