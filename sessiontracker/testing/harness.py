"""One way to drive both kinds of backend: a test asks a `Store`, and never awaits.

An asynchronous backend runs in an event loop of its own, in a thread of its own, so
that a test may ask it from many threads, as it asks a blocking one.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

from msgspec.structs import replace

from ..contract import Asked, AsyncBackend, Backend, BackendOptions, BackendPlugin, new_id
from ..operations import (
    Acquire,
    Address,
    Granted,
    Hold,
    Locked,
    NoAnswer,
    Outcome,
    Ping,
    Pong,
    Queued,
    Release,
    Released,
    Unavailable,
    repeat,
)

__all__ = [
    "LONG",
    "PATIENCE",
    "SCOPE",
    "Clock",
    "Loop",
    "Mode",
    "Store",
    "TooSlowError",
    "at_once",
    "await_grant",
    "hold",
    "lasts",
    "new_address",
    "take",
    "try_to_take",
]

Mode = Literal["async", "sync"]
T = TypeVar("T")

PATIENCE = 60.0
"""After so many seconds, what has not happened will not happen."""

VIRTUAL_TICK = 10_000

LONG = 3_600_000
"""In ms: a lease or a timeout that does not end while a test goes on."""

SCOPE = "c2NvcGUgb2YgMTI4IGJpdA"
"""As an owner's: 128 bits, here the same for all."""


class TooSlowError(Exception):
    """This machine stood still for longer than the test's margin, so it says nothing."""


class Clock:
    """The store's clock in the hands of a test: µs since 1970; it stands still until moved."""

    def __init__(self) -> None:
        self.now = time.time_ns() // 1000

    def __call__(self) -> int:
        return self.now


class Loop:
    """An event loop in a thread of its own; any thread may run a coroutine there."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True, name="conformance loop")
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, coroutine: Coroutine[Any, Any, T], patience: float = PATIENCE) -> T:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(patience)
        except TimeoutError:
            future.cancel()
            raise

    def close(self) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


class Store:
    """An open backend. Times are in ms of the store's clock."""

    def __init__(
        self,
        plugin: BackendPlugin,
        options: BackendOptions,
        mode: Mode,
        *,
        clock: Clock | None,
        tick: int,
    ) -> None:
        self.plugin = plugin
        self.options = options
        self.mode: Mode = mode
        self.clock = clock
        self._tick = tick if clock is None else VIRTUAL_TICK
        self._goes_by_time = False
        self._passed = 0.0  # s, which a test let pass
        if clock is not None:
            options = replace(options, options={**options.options, "clock": clock})
        self.loop: Loop | None = None
        self._async: AsyncBackend | None = None
        self._sync: Backend | None = None
        if mode == "sync":
            self._sync = plugin.open_sync(options)
            self._sync.open()
        else:
            self.loop = Loop()
            try:
                self._async = self.loop.run(_opened(plugin, options))
            except BaseException:
                self.loop.close()
                raise
        self._begun = time.monotonic()

    @property
    def backend(self) -> AsyncBackend | Backend:
        backend = self._async or self._sync
        assert backend is not None
        return backend

    def close(self) -> None:
        if self._sync is not None:
            self._sync.close()
        if self.loop is not None:
            assert self._async is not None
            self.loop.run(self._async.close())
            self.loop.close()

    @property
    def skew(self) -> int:
        """How much earlier than asked for a lease ends for its holder, at most.

        Where the store has no clock of its own, those of its clients may differ.
        """
        return round(1000 * float(getattr(self.backend, "max_clock_skew", 0.0)))

    # Asking

    def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        """As many outcomes as ``operations``, which go in batches of the backend's size."""
        outcomes: list[Outcome] = []
        size = self.backend.batch
        for first in range(0, len(operations), size):
            batch = operations[first : first + size]
            answers = self._execute(batch)
            assert len(answers) == len(batch), (
                f"a batch of {len(batch)} operations was answered by {len(answers)} outcomes"
            )
            outcomes += answers
        return outcomes

    def _execute(self, batch: Sequence[Asked]) -> list[Outcome]:
        if self._sync is not None:
            return self._sync.execute(batch)
        assert self.loop is not None
        assert self._async is not None
        return self.loop.run(_executed(self._async, batch))

    def ask(self, operation: Asked) -> Outcome:
        """The outcome, asked for again, as a tracker does, while the store cannot answer."""
        begun = time.monotonic()
        outcome = self.execute([operation])[0]
        while isinstance(outcome, (Unavailable, NoAnswer)):
            waited = time.monotonic() - begun
            assert waited < PATIENCE, f"{outcome} for {waited:.0f} s, to {operation}"
            time.sleep(0.01)
            sent = operation
            if isinstance(outcome, NoAnswer) and hasattr(operation, "since"):
                sent = self.repeated(operation, 1 + int((time.monotonic() - begun) * 1000))
            outcome = self.execute([sent])[0]
        return outcome

    def repeated(self, operation: Any, ago: int) -> Any:
        """``operation`` as it is sent again now, the first time having been ``ago`` ms ago."""
        return repeat(operation, self.now() - ago)

    def expect(self, operation: Asked, kind: type[T]) -> T:
        """The outcome, which must be of this ``kind``."""
        outcome: Any = self.ask(operation)
        assert type(outcome) is kind, f"{kind.__name__} is expected, not {outcome}, to {operation}"
        return outcome

    def wait(self, ticket: int, timeout: float) -> None:
        if self._sync is not None:
            self._sync.wait(ticket, timeout)
        else:
            assert self.loop is not None
            assert self._async is not None
            self.loop.run(self._async.wait(ticket, timeout))

    # Time

    @property
    def tick(self) -> int:
        """The unit of a test's timeouts and leases: long if ``clock`` moves time, short if it
        has to pass."""
        self._goes_by_time = True
        return self._tick

    @property
    def was_disturbed(self) -> bool:
        """Whether more time passed than a test that goes by it has let pass: what it found then
        may be this machine's doing."""
        late = time.monotonic() - self._begun - self._passed
        return self.clock is None and self._goes_by_time and late > self._margin

    @property
    def _margin(self) -> float:
        """In s: a part of a tick that makes no difference."""
        return self._tick / 3000

    def now_us(self) -> int:
        """The store's clock, in µs."""
        return self.expect(Ping(), Pong).now

    def now(self) -> int:
        return self.now_us() // 1000

    def elapse(self, ticks: float) -> None:
        """Let so many ticks pass on the store's clock, and hardly any more."""
        ms = int(ticks * self.tick)
        if self.clock is not None:
            self.clock.now += ms * 1000
            return
        until = self.now() + ms
        while (left := until - self.now()) > 0:
            time.sleep(left / 1000)
        self._passed += ms / 1000
        late = self.now() - until
        if late / 1000 > self._margin:
            raise TooSlowError(
                f"{ms} ms took {late} ms too long: run on a calmer machine, or with a longer --tick"
            )


async def _opened(plugin: BackendPlugin, options: BackendOptions) -> AsyncBackend:
    backend = plugin.open_async(options)
    await backend.open()
    return backend


async def _executed(backend: AsyncBackend, batch: Sequence[Asked]) -> list[Outcome]:
    """By `send` where there is one, as a tracker has it executed."""
    if backend.send is None:
        return await backend.execute(batch)
    outcomes: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
    backend.send(batch, outcomes.set_result)
    return await outcomes


# What tests are made of ------------------------------------------------------


def new_address(key: str = "kone", scope: str = "") -> Address:
    """An address that no test has used before: its type is new."""
    return Address(f"kit_{new_id():x}", scope, key)


def hold(ticket: int, granted: Granted) -> Hold:
    return Hold(ticket, granted.token)


def await_grant(store: Store, operation: Acquire) -> Granted:
    """Wait for a lock as a tracker does: ask, sleep until a hint or the next look, ask again."""
    begun = time.monotonic()
    outcome = store.ask(operation)
    while isinstance(outcome, Queued):
        assert time.monotonic() - begun < PATIENCE, f"waited for {PATIENCE} s: {outcome}"
        store.wait(operation.ticket, min(outcome.look_in / 1000, store.backend.look_every))
        outcome = store.ask(operation)
    assert isinstance(outcome, Granted), f"Granted is expected, not {outcome}"
    return outcome


def lasts(store: Store, granted: Granted, lease: int) -> bool:
    """Whether the lease that was granted is as long as was asked for."""
    return max(0, lease - store.skew) <= granted.expires_in <= lease


def at_once(*calls: Callable[[], T]) -> list[T]:
    """What ``calls`` return, each made in a thread of its own, all begun at one moment."""
    barrier = threading.Barrier(len(calls))

    def begin(call: Callable[[], T]) -> T:
        barrier.wait(PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(begin, call) for call in calls]]


def take(store: Store, address: Address, *, lease: int = LONG, holder: str = "") -> tuple[int, int]:
    """Take a free lock: its ticket and its token."""
    ticket = new_id()
    granted = store.expect(Acquire(address, ticket, lease, holder, queue=False), Granted)
    return ticket, granted.token


def try_to_take(store: Store, address: Address) -> bool:
    """Whether the lock is free; it is let go again."""
    ticket = new_id()
    outcome = store.ask(Acquire(address, ticket, LONG, queue=False))
    if type(outcome) is Locked:
        return False
    assert type(outcome) is Granted, outcome
    store.expect(Release(address, ticket), Released)
    return True
