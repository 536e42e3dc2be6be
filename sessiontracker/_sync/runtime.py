"""What threads offer the rest of ``_sync``. By hand; ``_async`` has its twin of an event loop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic, sleep
from typing import TypeVar

from ..contract import Asked, Backend, BackendOptions, BackendPlugin
from ..operations import NoAnswer, Outcome, Unavailable

__all__ = [
    "NOT_ANSWERED",
    "NOT_SENT",
    "Alarm",
    "Caller",
    "Event",
    "Interrupt",
    "Lane",
    "Mutex",
    "Signal",
    "Tasks",
    "Work",
    "all_of",
    "behind",
    "current",
    "heed",
    "monotonic",
    "open_backend",
    "ready",
    "sleep",
]

T = TypeVar("T")
Work = Callable[[], T]
Event = threading.Event
Mutex = threading.RLock  # a signal's handler may close the tracker that is being closed
Caller = threading.Thread
current = threading.current_thread

_CLOSED = "the tracker was closed"
NOT_SENT = "no turn came in time: those before it had no answer"
NOT_ANSWERED = "no answer came in time"


def ready(value: T) -> T:
    """``value``, which is there already."""
    return value


def all_of(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What each of ``calls`` comes to, one after the other."""
    return [call() for call in calls]


def behind(work: Work[T], undo: Work[object] | None = None) -> T:
    """What ``work`` comes to: no thread is cancelled."""
    return work()


def heed() -> None:
    """Nothing: a thread cannot be cancelled."""


def open_backend(plugin: BackendPlugin, options: BackendOptions) -> Backend:
    """The plugin's backend for this side of the house, not yet connected."""
    return plugin.open_sync(options)


class Signal:
    """Something that happens once: true after that, and waited for by any number of threads."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        return self._event.wait(timeout)

    def set(self) -> None:
        self._event.set()


class Tasks:
    """The tracker's own work, and its daemon threads."""

    def __init__(self) -> None:
        self._threads: set[threading.Thread] = set()

    def check(self) -> None:
        """Nothing: threads share a tracker."""

    def start(self, work: Work[None]) -> None:
        """Begin ``work`` without waiting for it; close() does."""
        thread = threading.Thread(
            target=self._run, args=(work,), name="sessiontracker", daemon=True
        )
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:  # no thread can be had any more: the interpreter is ending
            self._threads.discard(thread)
            raise

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self._threads.discard(threading.current_thread())

    def finish(self, work: Work[T]) -> T:
        """What ``work`` comes to: no thread is cancelled."""
        return work()

    def close(self, timeout: float) -> None:
        """Wait for what is under way, ``timeout`` seconds at most."""
        until = monotonic() + timeout
        while self._threads and monotonic() < until:  # what ends may begin more
            for thread in list(self._threads):
                thread.join(max(0.0, until - monotonic()))


class Alarm:
    """Nobody is called back in the middle of a thread: the lock looks at the clock itself."""

    __slots__ = ()

    def __init__(self, call: Callable[[], None]) -> None:
        """``call`` is never called."""

    def set(self, at: float) -> None:
        """Nothing."""

    def cancel(self) -> None:
        """Nothing."""


class Interrupt:
    """A thread cannot be interrupted: its next call raises instead."""

    __slots__ = ()

    def __init__(self, by: Caller) -> None:
        """Who is never interrupted."""

    def fire(self) -> None:
        """Nothing: the lock says that it is lost when it is next used."""

    def end(self, error: BaseException | None) -> bool:
        """It never was."""
        return False


# Of all the time that a caller has
_LONG = 1 / 8  # a batch that takes more may be followed by others
_MUCH = 3 / 4  # who has more than that left goes there himself


class _Call:
    """What one thread asks: ``turn`` says that the outcomes are there, or that it leads."""

    __slots__ = ("operations", "outcomes", "turn", "until")

    def __init__(self, operations: Sequence[Asked], until: float) -> None:
        self.operations = operations
        self.until = until  # in monotonic time: how long it waits
        self.outcomes: Sequence[Outcome] | None = None
        self.turn: threading.Event | None = None


class Lane:
    """One batch in flight at a time; what other threads ask meanwhile gathers.

    The thread that finds the lane idle takes a batch there itself, and passes the lead on
    to the first that has gathered: one thread alone pays for no other. But nobody can be called
    back from there. So where a batch took long, or where there is not much time left, the next one
    goes by a thread of its own, and who asks waits for it no longer than until its time is up.
    """

    __slots__ = (
        "_busy", "_closed", "_execute", "_limit", "_mutex", "_pending", "_stalls", "_timeout",
        "load",
    )  # fmt: skip

    def __init__(self, backend: Backend, timeout: float = inf) -> None:
        self._execute = backend.execute
        self._limit = backend.batch
        self._timeout = timeout
        self._mutex = threading.Lock()
        self._pending: deque[_Call] = deque()
        self._busy = False
        self._stalls = False
        self._closed = False
        self.load = 0
        """How many operations have no outcome yet."""

    def ask(self, operation: Asked, began: float = 0.0) -> Outcome:
        """The outcome of ``operation``, or what has come of it ``timeout`` s after its caller
        ``began`` to wait."""
        return self._ask((operation,), began)[0]

    def ask_all(self, operations: Sequence[Asked], began: float = 0.0) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for start in range(0, len(operations), self._limit):
            part = operations[start : start + self._limit]
            if monotonic() < began + self._timeout:
                outcomes += self._ask(part, began)
            else:
                outcomes += [Unavailable(NOT_SENT)] * len(part)
        return outcomes

    def _ask(self, operations: Sequence[Asked], began: float) -> Sequence[Outcome]:
        call = _Call(operations, began + self._timeout)
        with self._mutex:
            if self._closed:
                return [Unavailable(_CLOSED)] * len(operations)
            self.load += len(operations)
            self._pending.append(call)
            leads, self._busy = not self._busy, True
            if not leads:
                call.turn = threading.Event()
        if not leads and not self._wait(call):
            return self._given_up(call)
        if call.outcomes is None and not self._lead_for(call):
            return self._given_up(call)
        assert call.outcomes is not None
        return call.outcomes

    def _wait(self, call: _Call) -> bool:
        """Wait for the turn of ``call``; whether it came in time."""
        assert call.turn is not None
        try:
            return call.turn.wait(_left(call))
        except BaseException:
            self._withdraw(call)
            raise

    def _given_up(self, call: _Call) -> Sequence[Outcome]:
        """What has come of ``call``, which waits no longer."""
        if self._withdraw(call):
            return [Unavailable(NOT_SENT)] * len(call.operations)
        return call.outcomes or [NoAnswer(NOT_ANSWERED)] * len(call.operations)

    def _lead_for(self, call: _Call) -> bool:
        """Lead, ``call`` being the first; whether it has its outcomes in time."""
        left = _left(call)
        if left is None or (left > self._timeout * _MUCH and not self._stalls):
            self._lead()
            return True
        call.turn = threading.Event()
        thread = threading.Thread(target=self._lead, name="sessiontracker lane", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread can be had any more
            self._lead()
        return self._wait(call)

    def _lead(self) -> None:
        """Take one batch there, the caller's own operations first; then pass the lead on."""
        began = monotonic()
        batch, asked = self._gathered()
        outcomes: Sequence[Outcome] = [NoAnswer("the backend did not answer")] * len(asked)
        try:
            answers = self._execute(asked) if asked else []
            if len(answers) == len(asked):
                outcomes = answers
        except Exception as error:
            outcomes = [NoAnswer(repr(error))] * len(asked)
        finally:
            given = iter(outcomes)
            for call in batch:
                call.outcomes = [next(given) for _ in call.operations]
                if call.turn is not None:
                    call.turn.set()
            with self._mutex:
                self.load -= len(asked)
                if monotonic() - began > self._timeout * _LONG:
                    self._stalls = True
                elif outcomes and not isinstance(outcomes[0], (NoAnswer, Unavailable)):
                    self._stalls = False  # what fails at once may hang the next time
                self._pass_on()

    def _pass_on(self) -> None:
        """Give the lead to the first that has gathered. Under the mutex."""
        following = self._pending[0].turn if self._pending else None
        self._busy = following is not None
        if following is not None:
            following.set()

    def _withdraw(self, call: _Call) -> bool:
        """Its thread waits no longer for ``call``: nobody may wait for that. Whether it was still
        to be sent."""
        with self._mutex:
            if call not in self._pending:
                return False
            first = self._pending[0] is call
            self._pending.remove(call)
            self.load -= len(call.operations)
            if first and call.turn is not None and call.turn.is_set():
                self._pass_on()
            return True

    def _gathered(self) -> tuple[list[_Call], list[Asked]]:
        batch: list[_Call] = []
        asked: list[Asked] = []
        with self._mutex:
            while self._pending and (
                not batch or len(asked) + len(self._pending[0].operations) <= self._limit
            ):
                call = self._pending.popleft()
                batch.append(call)
                asked += call.operations
        return batch, asked

    def close(self) -> None:
        """Take no more. Whoever waits already leads in turn."""
        with self._mutex:
            self._closed = True


def _left(call: _Call) -> float | None:
    """For how many seconds ``call`` may still wait; None: as long as it takes."""
    return None if call.until == inf else max(0.0, call.until - monotonic())
