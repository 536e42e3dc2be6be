"""What an event loop offers the rest of ``_async``. By hand; ``_sync`` has its twin of threads."""

from __future__ import annotations

import asyncio
from asyncio import Future, Task
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from time import monotonic
from typing import Any

from ..contract import Asked
from ..operations import NoAnswer, Outcome

__all__ = ["AsyncEvent", "AsyncLane", "AsyncSignal", "AsyncTasks", "Interrupt", "monotonic", "sleep"]

sleep = asyncio.sleep


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
        """Begin ``work`` without waiting for it."""
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, timeout: float) -> None:
        """Wait for what is under way, ``timeout`` seconds at most; then cancel it."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(set(self._tasks), timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)


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
        loop = asyncio.get_running_loop()
        future: Future[Outcome] = loop.create_future()
        self._pending.append((operation, future))
        if self._idle is not None:
            _resolve(self._idle)
            self._idle = None
        elif self._runner is None:
            self._runner = loop.create_task(self._run())
        return await future

    async def _run(self) -> None:
        pending = self._pending
        while True:
            if not pending:
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
            batch = [pending.popleft() for _ in range(min(len(pending), self._limit))]
            outcomes: Sequence[Outcome]
            try:
                outcomes = await self._execute([operation for operation, _ in batch])
            except BaseException as error:
                outcomes = [NoAnswer(repr(error))] * len(batch)
                if not isinstance(error, Exception):
                    self._deliver(batch, outcomes)
                    raise
            self._deliver(batch, outcomes)

    def _deliver(
        self, batch: list[tuple[Asked, Future[Outcome]]], outcomes: Sequence[Outcome]
    ) -> None:
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)

    async def close(self) -> None:
        """Stop; what is still waiting gets no answer."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.cancel()
            await asyncio.wait([runner])
        self._idle = None
        left = list(self._pending)
        self._pending.clear()
        self._deliver(left, [NoAnswer("the tracker was closed")] * len(left))
