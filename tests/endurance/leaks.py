"""What a process may leak, on purpose: a little each time. See `process.Plan`."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

from .work import World

__all__ = ["LEAKS"]

_leaked: list[Any] = []


def memory(world: World) -> None:
    _leaked.append(b"leak" * 2**21)  # written, and so resident


def connection(world: World) -> None:
    _leaked.append(socket.socketpair())


def task(world: World) -> None:
    """Of an event loop, if one runs."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    _leaked.append(loop.create_task(asyncio.sleep(3600)))


def thread(world: World) -> None:
    threading.Thread(target=threading.Event().wait, daemon=True).start()


LEAKS: dict[str, Callable[[World], None]] = {
    each.__name__: each for each in (memory, connection, task, thread)
}
