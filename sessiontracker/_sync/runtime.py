"""What threads offer the rest of ``_sync``. By hand; ``_async`` has its twin of an event loop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic, sleep

from ..contract import Asked
from ..operations import NoAnswer, Outcome

__all__ = ["Event", "Interrupt", "Lane", "Signal", "Tasks", "monotonic", "sleep"]

Event = threading.Event


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
    """The tracker's own work. A thread cannot be cancelled, so its caller does it at once."""

    def start(self, work: Callable[[], None]) -> None:
        work()

    def close(self, timeout: float) -> None:
        """There is nothing under way."""


class Interrupt:
    """A thread cannot be interrupted: its next call raises instead."""

    __slots__ = ()

    def fire(self) -> None:
        """Nothing: the lock says that it is lost when it is next used."""

    def end(self, error: BaseException | None) -> bool:
        return False


class _Call:
    """One thread's operation: ``turn`` says that its outcome is there, or that it leads."""

    __slots__ = ("operation", "outcome", "turn")

    def __init__(self, operation: Asked) -> None:
        self.operation = operation
        self.outcome: Outcome | None = None
        self.turn: threading.Event | None = None


class Lane:
    """One batch in flight at a time; what other threads ask meanwhile gathers.

    The thread that finds the lane idle takes a batch there itself, and passes the lead on
    to the first that has gathered: one thread alone pays for no other.
    """

    __slots__ = ("_busy", "_execute", "_limit", "_mutex", "_pending")

    def __init__(self, execute: Callable[[Sequence[Asked]], list[Outcome]], limit: int) -> None:
        self._execute = execute
        self._limit = limit
        self._mutex = threading.Lock()
        self._pending: deque[_Call] = deque()
        self._busy = False

    def ask(self, operation: Asked) -> Outcome:
        call = _Call(operation)
        with self._mutex:
            self._pending.append(call)
            leads = not self._busy
            if leads:
                self._busy = True
            else:
                call.turn = threading.Event()
        if not leads:
            assert call.turn is not None
            call.turn.wait()
        if call.outcome is None:
            self._lead()
        assert call.outcome is not None
        return call.outcome

    def _lead(self) -> None:
        """Take one batch there, the caller's own operation first; then pass the lead on."""
        with self._mutex:
            pending = self._pending
            batch = [pending.popleft() for _ in range(min(len(pending), self._limit))]
        outcomes: Sequence[Outcome] = [NoAnswer("interrupted")] * len(batch)
        try:
            outcomes = self._execute([call.operation for call in batch])
        except Exception as error:
            outcomes = [NoAnswer(repr(error))] * len(batch)
        finally:
            for call, outcome in zip(batch, outcomes, strict=True):
                call.outcome = outcome
                if call.turn is not None:
                    call.turn.set()
            with self._mutex:
                following = self._pending[0].turn if self._pending else None
                self._busy = following is not None
            if following is not None:
                following.set()

    def close(self) -> None:
        """Nothing to stop: whoever waits leads in turn."""
