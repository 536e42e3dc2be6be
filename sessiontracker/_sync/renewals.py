# Generated from sessiontracker/_async/renewals.py by scripts/generate_sync.py: edit that.
"""Renewing the leases of the locks that are held, at a third of each."""

from __future__ import annotations

import threading
from functools import partial
from math import inf

from ..lock import SessionLock
from ..operations import Address, Granted, Lost, Renew
from .asking import Asker
from .runtime import Alarm, Event, Signal, Tasks, current, monotonic

__all__ = ["Held", "Renewals"]

_PAUSE = 50  # ms before a renewal that had no answer is tried again


class Held:
    """A lock that is held, with what its renewal needs. ``by`` is who took it."""

    __slots__ = (
        "address",
        "alarm",
        "asker",
        "by",
        "keep",
        "lease",
        "lock",
        "over",
        "queue",
        "renew_at",
    )

    def __init__(
        self,
        lock: SessionLock[Signal],
        asker: Asker,
        address: Address,
        lease: int,
        keep: int,
        sent: float,
    ) -> None:
        self.lock = lock
        self.asker = asker
        self.address = address
        self.by = current()
        self.lease = lease  # ms
        self.keep = keep  # ms
        self.renew_at = sent + lease / 3000
        self.queue: dict[Held, None] = {}
        self.alarm: Alarm | None = None
        self.over = False


class Renewals:
    """The locks that a tracker holds in one backend, and the one worker that renews them.

    What waits for the same time comes due in the order in which it began to, so that each
    lease has a queue of its own (and so have failed attempts), and a lock that is let go in
    time costs no timer.
    """

    def __init__(self, tasks: Tasks, asker: Asker) -> None:
        self._tasks = tasks
        self._asker = asker
        self._queues: dict[int, dict[Held, None]] = {}
        self._mutex = threading.Lock()
        self._changed = Event()
        self._wakes_at = inf  # when the worker looks again by itself
        self._serving = False
        self._closed = False

    def add(self, held: Held) -> None:
        """Renew ``held`` when it is due, until it is removed or lost."""
        self._put(held, held.lease)

    def remove(self, held: Held) -> None:
        with self._mutex:
            held.over = True  # a renewal that is under way does not bring it back
            held.queue.pop(held, None)
        if held.alarm is not None:
            held.alarm.cancel()

    def _put(self, held: Held, delay: int) -> None:
        with self._mutex:
            if held.over or self._closed:
                return
            held.queue = self._queues.setdefault(delay, {})
            held.queue[held] = None
            serve, self._serving = not self._serving, True
            wake = held.renew_at < self._wakes_at
        if serve:
            self._tasks.start(self._serve)
        elif wake:
            self._changed.set()

    def _serve(self) -> None:
        try:
            while not self._closed:
                due = self._due(monotonic())
                if due:
                    self._tasks.start(partial(self._renew, due))
                self._changed.wait(self._pause(monotonic()))
                self._changed.clear()
        finally:
            self._serving = False

    def _due(self, now: float) -> list[Held]:
        """What is to be renewed now."""
        due: list[Held] = []
        with self._mutex:
            for delay, queue in list(self._queues.items()):
                while queue:
                    held = next(iter(queue))
                    if held.renew_at > now:
                        break
                    del queue[held]
                    due.append(held)
                if not queue:
                    del self._queues[delay]
        return due

    def _pause(self, now: float) -> float | None:
        """For how long nothing is due; None: nothing is held."""
        with self._mutex:
            first = min((next(iter(q)).renew_at for q in self._queues.values() if q), default=inf)
            # Having nothing to do, it keeps the time it had: the next lock need not wake it.
            self._wakes_at = first if first < inf or self._wakes_at <= now else self._wakes_at
            return None if self._wakes_at == inf else max(0.0, self._wakes_at - now)

    def _renew(self, group: list[Held]) -> None:
        """Try once; what had no answer comes due again soon."""
        for held in group:
            if held.alarm is None:
                held.alarm = Alarm(held.lock._lose)
            held.alarm.set(held.lock._deadline)
        sent = monotonic()
        outcomes = self._asker.ask_once(
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
        for held, outcome in zip(group, outcomes, strict=True):
            if type(outcome) is Granted:
                self._prolong(held, sent, outcome.expires_in)
            elif type(outcome) is Lost or held.lock.expires_in == 0.0:
                held.lock._lose()
            else:
                held.renew_at = monotonic() + _PAUSE / 1000
                self._put(held, _PAUSE)

    def _prolong(self, held: Held, sent: float, expires_in: int) -> None:
        # Counted from before the request: the store's lease ends later than ours.
        if held.over or not held.lock._prolong(sent + expires_in / 1000):
            return
        if held.alarm is not None:
            held.alarm.set(held.lock._deadline)
        held.renew_at = sent + held.lease / 3000
        self._put(held, held.lease)

    def close(self) -> None:
        """Renew no more; the worker ends."""
        self._closed = True
        self._changed.set()
