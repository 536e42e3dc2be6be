"""A disk that is full for a while, beneath trackers on files: what was to be let go meanwhile is
let go once there is room."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessiontracker import AsyncSessionTracker, file
from sessiontracker.blobs import decode
from sessiontracker.state import FREE, Lock
from tests.trackers import Checkout

KEY = "order-42"


class Disk:
    """Refuses to have anything written to it while it is ``full``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self.refused = 0
        real = os.open

        def open(path: Any, flags: int, *more: int) -> int:
            if self.full and Path(path).name == ".new":
                self.refused += 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            return real(path, flags, *more)

        monkeypatch.setattr(file.os, "open", open)


def lock_in(root: Path) -> Lock:
    """The lock of the one key that there is."""
    [path] = root.glob("*/*/[!.]*")
    kind, stripe, rest = path.parts[-3:]
    [key] = decode(f"{kind}-{stripe}{rest}", path.read_bytes()).slot.keys.values()
    return key.lock or FREE


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_who_gives_up_meanwhile_has_left_the_queue_and_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    root = tmp_path / "sessions"
    config = {
        "backends": {"here": {"use": "file", "url": str(root)}},
        "defaults": {"storage": "here"},
    }
    held = asyncio.Event()

    async def hold(tracker: AsyncSessionTracker) -> None:
        async with tracker.lock(Checkout, KEY):
            held.set()
            await asyncio.sleep(60)

    async with AsyncSessionTracker(config) as tracker, AsyncSessionTracker(config) as other:
        holder = asyncio.create_task(hold(tracker))
        await held.wait()
        waiter = asyncio.create_task(hold(other))
        await until(lambda: lock_in(root).queue)
        for task, has_left in (
            (waiter, lambda: not lock_in(root).queue),
            (holder, lambda: lock_in(root).lease is None),
        ):
            disk.full, refused = True, disk.refused
            task.cancel()
            await asyncio.wait([task])
            await until(lambda refused=refused: disk.refused > refused)
            disk.full = False
            await until(has_left)
