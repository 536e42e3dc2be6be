"""Renewing the leases of the locks that are held, at a third of each."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial

from ..lock import SessionLock
from ..operations import Address, Granted, Lost, Renew
from .asking import AsyncAsker
from .runtime import Alarm, AsyncEvent, AsyncSignal, AsyncTasks, monotonic, sleep

__all__ = ["AsyncHeld", "AsyncRenewals"]

_PAUSE = 0.05


class AsyncHeld:
    """A lock that is held, with what its renewal needs."""

    __slots__ = ("address", "alarm", "asker", "keep", "lease", "lock", "over", "renew_at")

    def __init__(
        self,
        lock: SessionLock[AsyncSignal],
        asker: AsyncAsker,
        address: Address,
        lease: int,
        keep: int,
        sent: float,
    ) -> None:
        self.lock = lock
        self.asker = asker
        self.address = address
        self.lease = lease  # ms
        self.keep = keep  # ms
        self.renew_at = sent + lease / 3000
        self.alarm: Alarm | None = None
        self.over = False


class AsyncRenewals:
    """All locks that a tracker holds, and the one worker that renews them.

    Locks of one lease come due in the order in which they were taken, so that each lease
    has a queue of its own and a lock that is let go in time costs no timer.
    """

    def __init__(self, tasks: AsyncTasks) -> None:
        self._tasks = tasks
        self._queues: dict[int, dict[AsyncHeld, None]] = {}
        self._mutex = threading.Lock()
        self._changed = AsyncEvent()
        self._serving = False
        self._closed = False

    def add(self, held: AsyncHeld) -> None:
        with self._mutex:
            queue = self._queues.setdefault(held.lease, {})
            queue[held] = None
            if len(queue) > 1:
                return
            serve, self._serving = not self._serving, True
        if serve:
            self._tasks.serve(self._serve)
        else:
            self._changed.set()

    def remove(self, held: AsyncHeld) -> None:
        with self._mutex:
            held.over = True  # a renewal that is under way does not bring it back
            self._queues[held.lease].pop(held, None)
        if held.alarm is not None:
            held.alarm.cancel()

    def all(self) -> list[AsyncHeld]:
        """Every lock that is held and not just being renewed."""
        return [held for queue in self._queues.values() for held in queue]

    async def _serve(self) -> None:
        while not self._closed:
            due, pause = self._due(monotonic())
            for group in _by_asker(due):
                self._tasks.start(partial(self._renew, group))
            await self._changed.wait(0.0 if due else pause)
            self._changed.clear()

    def _due(self, now: float) -> tuple[list[AsyncHeld], float | None]:
        """What is to be renewed now, and for how long nothing else is (None: for ever)."""
        due: list[AsyncHeld] = []
        following: list[float] = []
        with self._mutex:
            for queue in self._queues.values():
                while queue:
                    held = next(iter(queue))
                    if held.renew_at > now:
                        following.append(held.renew_at - now)
                        break
                    del queue[held]
                    due.append(held)
        return due, min(following, default=None)

    async def _renew(self, group: list[AsyncHeld]) -> None:
        """Renew until each lease is prolonged, refused, or over."""
        for held in group:
            if held.alarm is None:
                held.alarm = Alarm(held.lock._lose)
            held.alarm.set(held.lock._deadline)
        while group:
            sent = monotonic()
            outcomes = await group[0].asker.ask_all(
                [
                    Renew(
                        held.address,
                        held.lock._hold.ticket,
                        held.lock._hold.token,
                        held.lease,
                        held.keep,
                    )
                    for held in group
                ]
            )
            again: list[AsyncHeld] = []
            for held, outcome in zip(group, outcomes, strict=True):
                if type(outcome) is Granted:
                    self._prolong(held, sent)
                elif type(outcome) is Lost or held.lock.expires_in == 0.0:
                    held.lock._lose()
                elif not held.over:
                    again.append(held)
            group = again
            if group:
                await sleep(_PAUSE)

    def _prolong(self, held: AsyncHeld, sent: float) -> None:
        with self._mutex:
            if held.over:
                return
            # Counted from before the request: the store's lease ends later than ours.
            held.lock._prolong(sent + held.lease / 1000)
            held.renew_at = sent + held.lease / 3000
            queue = self._queues[held.lease]
            queue[held] = None
            first = len(queue) == 1
        if held.alarm is not None:
            held.alarm.set(held.lock._deadline)
        if first:
            self._changed.set()

    def close(self) -> None:
        """Renew no more; the worker ends."""
        self._closed = True
        self._changed.set()


def _by_asker(due: Iterable[AsyncHeld]) -> list[list[AsyncHeld]]:
    groups: dict[AsyncAsker, list[AsyncHeld]] = {}
    for held in due:
        groups.setdefault(held.asker, []).append(held)
    return list(groups.values())
