"""Backends made of a store that blocks: one for an event loop, and one for threads."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import TypeVar

from ._async.wakes import AsyncWakes
from ._sync.wakes import Wakes
from .blocking import BlockingStore, Line
from .contract import Answer, Asked, AsyncBackend, Backend
from .operations import Acquire, NoAnswer, Outcome, Release, Unavailable

__all__ = ["AsyncThreadedBackend", "ThreadedBackend"]

T = TypeVar("T")
_Job = Callable[[], None]
_OF_LINES = {Acquire, Release}


# For an event loop -----------------------------------------------------------


class AsyncThreadedBackend(AsyncBackend):
    """A `BlockingStore` for an event loop.

    Whole batches go to one thread, which no caller's cancellation reaches: a batch that was
    handed over is carried out. Who waits is woken at once by what this process does; while
    anybody waits, the same thread looks for what others did.
    """

    def __init__(self, store: BlockingStore) -> None:
        self.look_every = store.look_every
        self.batch = store.batch
        self.send = self._send
        self._store = store
        self.begin_anew()
        _backends.add(self)

    def begin_anew(self) -> None:
        """Without thread and without waiters, as a forked child has to."""
        self._worker: _Worker | None = None
        self._wakes = AsyncWakes()

    def _running(self) -> _Worker:
        if self._worker is None:
            self._worker = _Worker(self._store, self._deliver, self._wake)
        return self._worker

    async def open(self) -> None:
        worker = self._running()
        try:
            await worker.call(self._store.open)
        except BaseException:
            self._worker = None
            worker.leave()
            raise

    async def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()

    def _send(self, operations: Sequence[Asked], answer: Answer) -> None:
        self._running().submit(operations, answer)

    async def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        outcomes: Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._send(operations, partial(_resolve, outcomes))
        return await outcomes

    async def wait(self, ticket: int, timeout: float) -> None:
        await self._wakes.wait(ticket, timeout)

    def _deliver(
        self,
        operations: Sequence[Asked],
        outcomes: list[Outcome],
        claims: Sequence[int],
        answer: Answer,
    ) -> None:
        """A batch is back, in the loop; also if nobody is left to be told its outcomes."""
        for operation, outcome in zip(operations, outcomes, strict=False):
            if isinstance(operation, (Acquire, Release)):
                self._wakes.note(operation, outcome)
        self._wake(claims)
        answer(outcomes)

    def _wake(self, tickets: Iterable[int]) -> None:
        for ticket in tickets:
            self._wakes.wake(ticket)


_Deliver = Callable[[Sequence[Asked], list[Outcome], Sequence[int], Answer], None]


class _Worker:
    """The thread, and what is asked of it in order."""

    def __init__(
        self, store: BlockingStore, deliver: _Deliver, wake: Callable[[Iterable[int]], None]
    ) -> None:
        self._store = store
        self._deliver = deliver
        self._wake = wake
        self._line = Line()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._loop: AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="sessiontracker-store", daemon=True)
        self._thread.start()

    async def call(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises in the thread."""
        loop = asyncio.get_running_loop()
        future: Future[T] = loop.create_future()

        def job() -> None:
            try:
                result = work()
            except Exception as error:
                _tell(loop, _fail, future, error)
            else:
                _tell(loop, _resolve, future, result)

        self._jobs.put(job)
        return await future

    def submit(self, operations: Sequence[Asked], answer: Answer) -> None:
        """Have ``operations`` executed, and ``answer`` called in the loop that runs."""
        loop = self._loop = asyncio.get_running_loop()
        self._jobs.put(partial(self._execute, loop, operations, answer))

    def _execute(
        self, loop: AbstractEventLoop, operations: Sequence[Asked], answer: Answer
    ) -> None:
        outcomes: list[Outcome]
        claims: Sequence[int] = ()
        try:
            outcomes = self._store.execute(operations)
            claims = self._store.claims()
        except Exception as error:
            outcomes = [NoAnswer(f"the store failed: {error!r}")] * len(operations)
        if not claims and _OF_LINES.isdisjoint(map(type, operations)):  # it concerns no line
            _tell(loop, answer, outcomes)
        else:
            _tell(loop, self._deliver, operations, outcomes, claims, answer)
            self._line.note(operations, outcomes)

    async def close(self) -> None:
        try:
            await self.call(self._end)
        finally:
            self._jobs.put(None)
        self._thread.join()  # which has nothing else to do any more

    def leave(self) -> None:
        """As `close`, without waiting for it."""
        self._jobs.put(self._end)
        self._jobs.put(None)

    def _end(self) -> None:
        self._line = Line()  # or looking for those who wait would open the store again
        self._store.close()

    def _run(self) -> None:
        looked = monotonic()
        while True:
            pause = self._line.pause(self._store) if self._line else None
            try:
                job = self._jobs.get(timeout=pause)
            except Empty:
                pass
            else:
                if job is None:
                    return
                job()
                del job  # or its outcomes live on until the next one
            if pause is not None and monotonic() - looked >= pause:
                self._look()
                looked = monotonic()

    def _look(self) -> None:
        found = self._line.look(self._store)
        if found and self._loop is not None:
            _tell(self._loop, self._wake, found)


def _tell(loop: AbstractEventLoop, callback: Callable[..., None], *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:
        pass  # the loop was closed: nobody is left to be told


def _resolve(future: Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: Future[T], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


# For threads ------------------------------------------------------------------


class ThreadedBackend(Backend):
    """A `BlockingStore` for threads: each executes its batch itself, one at a time.

    Who waits is woken at once by what this process does; while anybody waits, one thread
    looks for what others did.
    """

    def __init__(self, store: BlockingStore) -> None:
        self.look_every = store.look_every
        self.batch = store.batch
        self._store = store
        self._closed = False
        self.begin_anew()
        _backends.add(self)

    def begin_anew(self) -> None:
        """Without waiters, and with locks that nobody holds, as a forked child has to."""
        self._mutex = threading.Lock()
        self._wakes = Wakes()
        self._line = Line()
        self._poller: threading.Thread | None = None

    def open(self) -> None:
        with self._mutex:
            self._store.open()
            self._closed = False

    def close(self) -> None:
        with self._mutex:
            self._closed = True
            self._line = Line()
            self._store.close()

    def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        with self._mutex:
            if self._closed:  # by another thread, while this one came here
                return [Unavailable("the backend was closed")] * len(operations)
            outcomes = self._store.execute(operations)
            claims = self._store.claims()
            self._line.note(operations, outcomes)
            for operation, outcome in zip(operations, outcomes, strict=False):
                if isinstance(operation, (Acquire, Release)):
                    self._wakes.note(operation, outcome)
            if self._line and (self._poller is None or not self._poller.is_alive()):
                self._poller = threading.Thread(
                    target=self._poll, name="sessiontracker-poll", daemon=True
                )
                self._poller.start()
        for ticket in claims:
            self._wakes.wake(ticket)
        return outcomes

    def _poll(self) -> None:
        while True:
            sleep(self._line.pause(self._store))
            with self._mutex:
                if not self._line:
                    self._poller = None
                    return
                found = self._line.look(self._store)
            for ticket in found:
                self._wakes.wake(ticket)

    def wait(self, ticket: int, timeout: float) -> None:
        self._wakes.wait(ticket, timeout)


# Forks ------------------------------------------------------------------------

_backends: weakref.WeakSet[AsyncThreadedBackend | ThreadedBackend] = weakref.WeakSet()


def _after_fork() -> None:
    """A child has none of its parent's threads, and the locks that those held for ever."""
    for backend in list(_backends):
        backend.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
