# Generated from sessiontracker/_async/renewals.py by scripts/generate_sync.py: edit that.
"""Renewing the leases of the locks that are held, at a third of each."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from math import inf

from ..lock import SessionLock
from ..operations import Granted, Lost, Renew
from .asking import Asker
from .runtime import (
    Alarm,
    Caller,
    Event,
    Interrupt,
    Signal,
    Tasks,
    monotonic,
)

__all__ = ["Held", "Renewals"]

_PAUSE = 50  # ms before a renewal that had no answer is tried again
_AT_ONCE = 500  # locks, so that many that come due together leave the others their turns


class Held:
    """A lock that is held, with what its renewal needs. ``by`` is who took it."""

    __slots__ = ("alarm", "asker", "by", "interrupt", "lease", "lock", "over", "queue", "renew_at")

    def __init__(
        self,
        lock: SessionLock[Signal],
        asker: Asker,
        lease: int,
        by: Caller,
        sent: float,
    ) -> None:
        self.lock = lock
        self.asker = asker
        self.lease = lease  # ms
        self.by = by
        self.interrupt = Interrupt(by)
        lock._on_loss = self.interrupt.fire
        self.renew_at = sent + lease / 3000
        self.queue: OrderedDict[Held, None] | None = None
        self.alarm: Alarm | None = None
        self.over = False

    def end(self, error: BaseException | None) -> bool:
        """The block is over: whether ``error`` is what interrupted it, as the lock was lost."""
        self.lock._on_loss = None
        return self.interrupt.end(error)


class Renewals:
    """The locks that a tracker holds in one backend, and the one worker that renews them.

    What waits for the same time comes due in the order in which it began to, so that each
    lease has a queue of its own (and so have failed attempts), and a lock that is let go in
    time costs no timer.
    """

    def __init__(self, tasks: Tasks, asker: Asker) -> None:
        self._tasks = tasks
        self._asker = asker
        self._queues: dict[int, OrderedDict[Held, None]] = {}
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
            if held.queue is not None:
                held.queue.pop(held, None)
        if held.alarm is not None:
            held.alarm.cancel()

    def _put(self, held: Held, delay: int) -> None:
        with self._mutex:
            if held.over or self._closed:
                return
            queue = self._queues.get(delay)
            if queue is None:
                # Its first is found at once, also when those before it have gone.
                queue = self._queues[delay] = OrderedDict()
            held.queue = queue
            queue[held] = None
            serve, self._serving = not self._serving, True
            wake = held.renew_at < self._wakes_at
            if wake:  # also if it is gone again before the worker looks
                self._wakes_at = held.renew_at
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
        """What is to be renewed now: what is left over is due at the next turn."""
        due: list[Held] = []
        with self._mutex:
            for delay, queue in sorted(self._queues.items()):  # short leases first
                while queue and len(due) < _AT_ONCE:
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
                Renew(lock._address, lock._hold.ticket, lock._hold.token, lease, lock._hold.keep)
                for lock, lease in ((held.lock, held.lease) for held in group)
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
