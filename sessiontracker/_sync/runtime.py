"""What threads offer the rest of ``_sync``. By hand; ``_async`` has its twin of an event loop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic, sleep
from typing import TypeVar

from ..contract import Asked, Backend, BackendOptions, BackendPlugin
from ..operations import NoAnswer, Outcome, Unavailable

__all__ = [
    "Alarm",
    "Caller",
    "Event",
    "Interrupt",
    "Lane",
    "Mutex",
    "Signal",
    "Tasks",
    "all_of",
    "current",
    "monotonic",
    "open_backend",
    "ready",
    "sleep",
]

T = TypeVar("T")
Event = threading.Event
Mutex = threading.Lock
Caller = threading.Thread
current = threading.current_thread


def ready(value: T) -> T:
    """``value``, which is there already."""
    return value


def all_of(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What each of ``calls`` comes to, one after the other."""
    return [call() for call in calls]


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

    def start(self, work: Callable[[], None]) -> None:
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


class _Call:
    """What one thread asks: ``turn`` says that the outcomes are there, or that it leads."""

    __slots__ = ("operations", "outcomes", "turn")

    def __init__(self, operations: Sequence[Asked]) -> None:
        self.operations = operations
        self.outcomes: Sequence[Outcome] | None = None
        self.turn: threading.Event | None = None


class Lane:
    """One batch in flight at a time; what other threads ask meanwhile gathers.

    The thread that finds the lane idle takes a batch there itself, and passes the lead on
    to the first that has gathered: one thread alone pays for no other.
    """

    __slots__ = ("_busy", "_closed", "_execute", "_limit", "_mutex", "_pending", "load")

    def __init__(self, backend: Backend) -> None:
        self._execute = backend.execute
        self._limit = backend.batch
        self._mutex = threading.Lock()
        self._pending: deque[_Call] = deque()
        self._busy = False
        self._closed = False
        self.load = 0
        """How many operations have no outcome yet."""

    def ask(self, operation: Asked) -> Outcome:
        return self._ask((operation,))[0]

    def ask_all(self, operations: Sequence[Asked]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for start in range(0, len(operations), self._limit):
            outcomes += self._ask(operations[start : start + self._limit])
        return outcomes

    def _ask(self, operations: Sequence[Asked]) -> Sequence[Outcome]:
        call = _Call(operations)
        with self._mutex:
            if self._closed:
                return [Unavailable("the tracker was closed")] * len(operations)
            self.load += len(operations)
            self._pending.append(call)
            leads = not self._busy
            if leads:
                self._busy = True
            else:
                call.turn = threading.Event()
        if call.turn is not None:
            try:
                call.turn.wait()
            except BaseException:
                self._withdraw(call)
                raise
        if call.outcomes is None:
            self._lead()
        assert call.outcomes is not None
        return call.outcomes

    def _lead(self) -> None:
        """Take one batch there, the caller's own operations first; then pass the lead on."""
        batch, asked = self._gathered()
        outcomes: Sequence[Outcome] = [NoAnswer("the backend did not answer")] * len(asked)
        try:
            answers = self._execute(asked)
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
                self._pass_on()

    def _pass_on(self) -> None:
        """Give the lead to the first that has gathered. Under the mutex."""
        following = self._pending[0].turn if self._pending else None
        self._busy = following is not None
        if following is not None:
            following.set()

    def _withdraw(self, call: _Call) -> None:
        """An exception struck the thread that waited for ``call``: nobody may wait for it."""
        with self._mutex:
            if call in self._pending:
                first = self._pending[0] is call
                self._pending.remove(call)
                self.load -= len(call.operations)
                if first and call.turn is not None and call.turn.is_set():
                    self._pass_on()

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
