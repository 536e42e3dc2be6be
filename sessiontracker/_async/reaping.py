"""Reaping from time to time, for as long as a tracker is open."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable

from ..operations import Failed, Reaped
from .asking import AsyncAsker
from .runtime import AsyncEvent, AsyncTasks

__all__ = ["AsyncReaper"]

_log = logging.getLogger("sessiontracker")
_AT_ONCE = 1_000  # sessions


class AsyncReaper:
    """Has each backend remove what expired, about every so many seconds.

    Processes that began together do not reap together: no interval is quite like another.
    """

    def __init__(self, tasks: AsyncTasks, askers: Iterable[AsyncAsker], every: float) -> None:
        self._askers = list(askers)
        self._every = every
        self._closing = AsyncEvent()
        tasks.start(self._serve)

    async def _serve(self) -> None:
        while self._askers:
            await self._closing.wait(self._every * random.uniform(0.5, 1.5))
            for asker in list(self._askers):
                if self._closing.is_set():
                    return
                await self._reap(asker)

    async def _reap(self, asker: AsyncAsker) -> None:
        """Reap until little is left. What goes wrong is nobody's call's, so it is logged."""
        while not self._closing.is_set():
            outcome = await asker.reap(_AT_ONCE)
            if type(outcome) is Reaped and outcome.count == _AT_ONCE:
                continue
            if type(outcome) is Failed:
                _log.warning("backend %r does not reap: %s", asker.name, outcome.error)
                self._askers.remove(asker)
            elif type(outcome) is not Reaped and not self._closing.is_set():
                _log.warning("backend %r: nothing was reaped now: %s", asker.name, outcome)
            return

    def close(self) -> None:
        """Reap no more."""
        self._closing.set()
