"""What an event loop offers the rest of ``_async``. By hand; ``_sync`` has its twin of threads."""

from __future__ import annotations

import asyncio
from asyncio import Future, Task
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from time import monotonic
from typing import Any

from ..contract import Asked, AsyncBackend, BackendOptions, BackendPlugin
from ..operations import NoAnswer, Outcome, Unavailable

__all__ = [
    "Alarm",
    "AsyncEvent",
    "AsyncLane",
    "AsyncSignal",
    "AsyncTasks",
    "Interrupt",
    "current",
    "monotonic",
    "open_backend",
    "sleep",
]

sleep = asyncio.sleep


def current() -> object:
    """Who is running: two calls by the same task give the same object."""
    return asyncio.current_task()


def open_backend(plugin: BackendPlugin, options: BackendOptions) -> AsyncBackend:
    """The plugin's backend for this side of the house, not yet connected."""
    return plugin.open_async(options)


class AsyncEvent:
    """A flag that one task waits for, with a time limit in seconds."""

    __slots__ = ("_flag", "_waiter")

    def __init__(self) -> None:
        self._flag = False
        self._waiter: Future[None] | None = None

    def is_set(self) -> bool:
        return self._flag

    def set(self) -> None:
        self._flag = True
        if self._waiter is not None:
            _resolve(self._waiter)

    def clear(self) -> None:
        self._flag = False

    async def wait(self, timeout: float | None = None) -> bool:
        if self._flag:
            return True
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = None if timeout is None else loop.call_later(timeout, _resolve, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        return self._flag


def _resolve(waiter: Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class AsyncSignal:
    """Something that happens once: true after that, and awaited by any number of tasks."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def __await__(self) -> Generator[Any, None, None]:
        yield from self._event.wait().__await__()

    def set(self) -> None:
        self._event.set()


class AsyncTasks:
    """The tracker's own tasks: kept alive, and waited for when it closes."""

    def __init__(self) -> None:
        self._tasks: set[Task[Any]] = set()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin ``work`` without waiting for it; close() does."""
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def serve(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin ``work`` that ends by itself when it is told to."""
        self.start(work)

    async def close(self, timeout: float) -> None:
        """Wait for what is under way, ``timeout`` seconds at most; then cancel it."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(set(self._tasks), timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)


class Alarm:
    """Calls back at a point in monotonic time, unless it is moved or cancelled before."""

    __slots__ = ("_call", "_timer")

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float) -> None:
        self.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(at - monotonic(), self._call)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Interrupt:
    """Cancels the task that made it when told to, once, and tells that cancellation apart."""

    __slots__ = ("_cancelling", "_fired", "_task")

    def __init__(self) -> None:
        self._task: Task[Any] | None = asyncio.current_task()
        self._cancelling = 0 if self._task is None else self._task.cancelling()
        self._fired = False

    def fire(self) -> None:
        if self._task is not None and not self._fired:
            self._fired = True
            self._task.cancel()

    async def end(self, error: BaseException | None) -> bool:
        """Over: whether ``error`` is this interrupt's own cancellation, and nobody else's."""
        task, self._task = self._task, None
        if not self._fired or task is None:
            return False
        own = task.uncancel() <= self._cancelling
        if isinstance(error, asyncio.CancelledError):
            return own
        if own:
            try:  # the body ended before the cancellation reached it
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                pass
        return False


class AsyncLane:
    """One batch in flight at a time; what is asked meanwhile, or within a tick, gathers.

    An operation that was handed over is carried out, also if its caller is cancelled.
    """

    __slots__ = ("_execute", "_idle", "_limit", "_pending", "_runner")

    def __init__(
        self, execute: Callable[[Sequence[Asked]], Coroutine[Any, Any, list[Outcome]]], limit: int
    ) -> None:
        self._execute = execute
        self._limit = limit
        self._pending: deque[tuple[Asked, Future[Outcome]]] = deque()
        self._idle: Future[None] | None = None
        self._runner: Task[None] | None = None

    async def ask(self, operation: Asked) -> Outcome:
        return await self._hand_over(operation)

    async def ask_all(self, operations: Sequence[Asked]) -> list[Outcome]:
        futures = [self._hand_over(operation) for operation in operations]
        return [await future for future in futures]

    def _hand_over(self, operation: Asked) -> Future[Outcome]:
        loop = asyncio.get_running_loop()
        future: Future[Outcome] = loop.create_future()
        self._pending.append((operation, future))
        if self._idle is not None:
            _resolve(self._idle)
            self._idle = None
        elif self._runner is None:
            self._runner = loop.create_task(self._run())
        return future

    async def _run(self) -> None:
        pending = self._pending
        while True:
            if not pending:
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
            batch = [pending.popleft() for _ in range(min(len(pending), self._limit))]
            outcomes: Sequence[Outcome] = ()
            try:
                outcomes = await self._execute([operation for operation, _ in batch])
            except Exception as error:
                outcomes = [NoAnswer(repr(error))] * len(batch)
            finally:
                if len(outcomes) != len(batch):
                    outcomes = [NoAnswer("the backend did not answer")] * len(batch)
                _deliver(batch, outcomes)

    async def close(self) -> None:
        """Stop; what is still waiting gets no answer."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.cancel()
            await asyncio.wait([runner])
        self._idle = None
        left = list(self._pending)
        self._pending.clear()
        _deliver(left, [Unavailable("the tracker was closed")] * len(left))


def _deliver(batch: list[tuple[Asked, Future[Outcome]]], outcomes: Sequence[Outcome]) -> None:
    for (_, future), outcome in zip(batch, outcomes, strict=True):
        if not future.done():
            future.set_result(outcome)
