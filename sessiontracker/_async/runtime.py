"""What an event loop offers the rest of ``_async``. By hand; ``_sync`` has its twin of threads."""

from __future__ import annotations

import asyncio
from asyncio import Future, Task
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from functools import partial
from math import inf
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

from ..contract import Answer, Asked, AsyncBackend, BackendOptions, BackendPlugin
from ..errors import SessionTrackerError
from ..operations import NoAnswer, Outcome, Unavailable

__all__ = [
    "NOT_ANSWERED",
    "NOT_SENT",
    "Alarm",
    "AsyncEvent",
    "AsyncLane",
    "AsyncMutex",
    "AsyncSignal",
    "AsyncTasks",
    "Caller",
    "Interrupt",
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
Work = Callable[[], Coroutine[Any, Any, T]]
sleep = asyncio.sleep

_CLOSED = "the tracker was closed"
_TURNS = 5
_GRAIN = 1 / 64  # of all the time that a caller has
NOT_SENT = "no turn came in time: those before it had no answer"
NOT_ANSWERED = "no answer came in time"


Caller = Task[Any] | None
"""Who may hold a lock."""


def current() -> Caller:
    """Who is running: two calls by the same task give the same object."""
    return asyncio.current_task()


def ready(value: T) -> Awaitable[T]:
    """``value``, to be awaited."""
    future: Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


async def all_of(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """What each of ``calls`` comes to, all at once."""
    if len(calls) == 1:
        return [await calls[0]()]
    return await asyncio.gather(*(call() for call in calls))


_behind: set[Task[Any]] = set()


async def behind(
    work: Work[T],
    undo: Work[object] | None = None,
    *,
    among: set[Task[Any]] = _behind,
) -> T:
    """What ``work`` comes to, which is done by a task of its own: to its end, also behind a caller
    who is cancelled meanwhile, and who is told at once.

    With ``undo``, what nobody waits for any more is cancelled; or undone, if it was done just now
    and has come to anything. ``among`` is where the task is until it ends.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work())
    _keep(task, among)
    try:
        await asyncio.wait([task])
    except BaseException:
        if undo is not None and not task.cancel():
            if not task.cancelled() and task.exception() is None and task.result():
                _keep(loop.create_task(undo()), among)
        raise
    try:
        return task.result()
    finally:
        del task  # or its error would keep itself alive


def heed() -> None:
    """Go no further if the task that runs was cancelled, and what it called took no notice.

    Raises: CancelledError.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _keep(task: Task[Any], among: set[Task[Any]]) -> None:
    """A loop by itself does not keep its tasks alive."""
    among.add(task)
    task.add_done_callback(partial(_ended, among))


def _ended(among: set[Task[Any]], task: Task[Any]) -> None:
    among.discard(task)
    if not task.cancelled():
        task.exception()  # if nobody waits for it any more, nobody is to be told


def open_backend(plugin: BackendPlugin, options: BackendOptions) -> AsyncBackend:
    """The plugin's backend for this side of the house, not yet connected."""
    return plugin.open_async(options)


class AsyncMutex:
    """What one task holds at a time, in the loop that runs. One that was held in a loop which is
    over is free."""

    __slots__ = ("_lock", "_loop")

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> None:
        """Raises: SessionTrackerError while it is held in another loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None and self._lock.locked() and not self._loop.is_closed():
                raise _elsewhere()
            self._lock, self._loop = asyncio.Lock(), loop
        await self._lock.acquire()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()


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
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self) -> None:
        """Raises: SessionTrackerError in another event loop than the first that called this."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise _elsewhere()

    def start(self, work: Work[None]) -> None:
        """Begin ``work`` without waiting for it; close() does."""
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, work: Work[T]) -> T:
        """What ``work`` comes to; it is done to its end, also behind a caller who is cancelled."""
        return await behind(work, among=self._tasks)

    async def close(self, timeout: float) -> None:
        """Wait for what is under way, ``timeout`` seconds at most; then cancel it."""
        until = monotonic() + timeout
        while self._tasks and monotonic() < until:  # what ends may begin more
            await asyncio.wait(set(self._tasks), timeout=until - monotonic())
        late = set(self._tasks)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)


def _elsewhere() -> SessionTrackerError:
    return SessionTrackerError(
        "this tracker was opened in another event loop: open one in each loop, inside of "
        "asyncio.run()"
    )


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
    """Cancels the task ``by`` when told to, once, and tells that cancellation apart."""

    __slots__ = ("_cancelling", "_fired", "_task")

    def __init__(self, by: Caller) -> None:
        self._task = by
        self._cancelling = 0 if by is None else by.cancelling()
        self._fired = False

    def fire(self) -> None:
        """Cancel the task, unless it is the one that runs: that one is told by an error."""
        task = self._task
        if task is not None and not self._fired and task is not asyncio.current_task():
            self._fired = task.cancel()

    def end(self, error: BaseException | None) -> bool:
        """Over: whether ``error`` is this interrupt's own cancellation, and nobody else's."""
        task, self._task = self._task, None
        if task is None or not self._fired:
            return False
        own = task.uncancel() <= self._cancelling
        return own and isinstance(error, asyncio.CancelledError)


class AsyncLane:
    """One batch in flight at a time; what is asked meanwhile, or within a tick, gathers.

    An operation that was handed over is carried out, also if its caller is cancelled; unless its
    time was up before it could be sent.
    """

    __slots__ = (
        "_busy", "_closed", "_execute", "_gathered", "_limit", "_loop", "_send", "_sent", "_task",
        "_timeout", "_timer", "_wakes_at",
    )  # fmt: skip

    def __init__(self, backend: AsyncBackend, timeout: float = inf) -> None:
        self._loop = asyncio.get_running_loop()
        self._execute = backend.execute
        self._send = backend.send or self._send_by_task
        self._limit = backend.batch
        self._timeout = timeout
        self._gathered: _Batch = []
        self._sent: _Batch = []
        self._busy = False  # a batch is under way, or about to be
        self._task: Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = inf
        self._closed = False

    @property
    def load(self) -> int:
        """How many operations have no outcome yet."""
        return len(self._gathered) + len(self._sent)

    def ask(self, operation: Asked, began: float = 0.0) -> Future[Outcome]:
        """The outcome of ``operation``, or what has come of it ``timeout`` s after its caller
        ``began`` to wait."""
        if asyncio.get_running_loop() is not self._loop:
            raise _elsewhere()
        future: Future[Outcome] = self._loop.create_future()
        if self._closed:
            future.set_result(Unavailable(_CLOSED))
            return future
        until = began + self._timeout
        self._gathered.append((operation, future, until))
        if until < self._wakes_at:
            self._wake_at(until)
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._flush)
        return future

    async def ask_all(self, operations: Sequence[Asked], began: float = 0.0) -> list[Outcome]:
        futures = [self.ask(operation, began) for operation in operations]
        return [await future for future in futures]

    def _flush(self) -> None:
        """Send what has gathered, as much of it as a batch holds."""
        batch, limit = self._gathered, self._limit
        if not batch:
            self._busy = False
            return
        batch, self._gathered = batch[:limit], batch[limit:]
        self._sent = batch
        answer = partial(self._answered, batch)
        try:
            self._send([operation for operation, _, _ in batch], answer)
        except Exception as error:
            answer([NoAnswer(repr(error))] * len(batch))
        except BaseException:
            answer([])
            raise

    def _answered(self, batch: _Batch, outcomes: Sequence[Outcome]) -> None:
        """``batch`` is back. The next one goes in this very turn of the loop, behind those who
        hear of it and may ask again."""
        if batch is not self._sent:
            return  # a second answer, or one that nobody waits for any more
        self._sent = []
        if not isinstance(outcomes, (list, tuple)) or len(outcomes) != len(batch):
            outcomes = [NoAnswer("the backend did not answer")] * len(batch)
        _deliver(batch, outcomes)
        self._loop.call_soon(self._flush)

    # Time --------------------------------------------------------------------

    def _wake_at(self, until: float) -> None:
        """Look then who has waited long enough: one timer watches over all that is asked."""
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = until
        self._timer = self._loop.call_later(until - monotonic(), self._look, _TURNS)

    def _look(self, turns: int) -> None:
        """Answer those whose time is up. What was sent stays under way, and keeps its place.

        Some turns of the loop later: if it stood still, there may be answers that nobody has heard.
        """
        if turns:
            self._timer = self._loop.call_later(0, self._look, turns - 1)
            return
        now = monotonic()
        late = [asked for asked in self._gathered if asked[2] <= now]
        if late:
            self._gathered = [asked for asked in self._gathered if asked[2] > now]
            _deliver(late, [Unavailable(NOT_SENT)] * len(late))
        late = [asked for asked in self._sent if asked[2] <= now]
        _deliver(late, [NoAnswer(NOT_ANSWERED)] * len(late))
        waiting = [*self._gathered, *(asked for asked in self._sent if asked[2] > now)]
        self._timer, self._wakes_at = None, inf
        until = min((until for _, _, until in waiting), default=inf)
        if until < inf:  # those who follow closely are told together
            self._wake_at(max(until, now + self._timeout * _GRAIN))

    def _send_by_task(self, operations: Sequence[Asked], answer: Answer) -> None:
        """As `AsyncBackend.send`, of a backend that has `execute` alone."""

        async def run() -> None:
            outcomes: list[Outcome]
            try:
                outcomes = await self._execute(operations)
            except Exception as error:
                outcomes = [NoAnswer(repr(error))] * len(operations)
            answer(outcomes)

        self._task = self._loop.create_task(run())
        # Cancelled, with all that its loop runs or by close(), also before it began.
        self._task.add_done_callback(lambda _: answer([]))

    async def close(self) -> None:
        """Stop; what is still waiting gets no answer, and what is asked from now on neither."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        gathered, self._gathered = self._gathered, []
        _deliver(gathered, [Unavailable(_CLOSED)] * len(gathered))
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
        finally:
            sent, self._sent = self._sent, []
            _deliver(sent, [NoAnswer(_CLOSED)] * len(sent))


_Batch = list[tuple[Asked, Future[Outcome], float]]


def _deliver(batch: _Batch, outcomes: Sequence[Outcome]) -> None:
    for (_, future, _), outcome in zip(batch, outcomes, strict=True):
        if not future.done():
            future.set_result(outcome)
