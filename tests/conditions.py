"""Conditions that come true sooner or later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["eventually", "until"]

_PATIENCE = 60.0  # s
_PAUSE = 0.002


async def until(condition: Callable[[], object], what: str = "it never came to that") -> None:
    """Wait for it, in an event loop. Raises: AssertionError, with ``what`` never was."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(_PAUSE)


def eventually(condition: Callable[[], object], what: str = "it never came to that") -> None:
    """Wait for it, in a thread. Raises: AssertionError, with ``what`` never was."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(_PAUSE)
