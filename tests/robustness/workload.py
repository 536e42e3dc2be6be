"""What one client does: random calls on few keys, drawn from a seed, each of them recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from msgspec import Struct

from sessiontracker import (
    OutcomeUnknownError,
    Session,
    SessionInProgressError,
    StaleSessionError,
)
from sessiontracker.session import meta_of

from .history import OK, UNKNOWN, Answer, Do, Hold, Recorder, Stamp
from .timing import Timeouts

__all__ = ["Client", "Plan", "Thing"]


class Thing(Session):
    """``value`` says which call wrote it, ``copy`` says so again."""

    value: str = ""
    copy: str = ""


class Plan(Struct, frozen=True):
    """How a history's clients work. Times are in s."""

    keys: int = 3  # at a time
    each: int = 60  # calls of a client, after which it goes on to other keys
    lease: float = 2.0
    wait: float = 3.0
    pause: float = 0.01  # between two calls, at most
    cancelled: float = 0.05  # of all calls
    idle: float = 0.0  # timeouts; 0: none
    absolute: float = 0.0
    retention: float = 0.0
    back: float = 0.0  # of all calls, those on the keys before
    jumps: bool = False  # the clocks of clients

    @property
    def timeouts(self) -> Timeouts:
        return Timeouts(*(round(s * 1e9) for s in (self.idle, self.absolute, self.retention)))

    @property
    def defaults(self) -> dict[str, str]:
        """The same, as it is configured."""
        return {
            name: f"{seconds:g}s" if seconds else "off"
            for name, seconds in (
                ("idle_timeout", self.idle),
                ("absolute_timeout", self.absolute),
                ("finished_retention", self.retention),
            )
        }


WEIGHTS = {
    "start": 20,
    "get": 8,
    "get_finished": 5,
    "touch": 3,
    "update": 16,
    "update_again": 20,  # what was read, or written, a while ago
    "finish": 9,
    "finish_session": 6,
    "resume": 16,
    "delete": 3,
    "lock": 5,
    "get_locked": 18,
}


class Client:
    """One task, or one thread, of a process: it asks one thing after the other."""

    def __init__(
        self, name: str, seed: str, tracker: Any, plan: Plan, recorder: Recorder, threads: bool
    ) -> None:
        self.name = name
        self._random = Random(seed)
        self._tracker = tracker
        self._plan = plan
        self._recorder = recorder
        self._threads = threads
        self._asked = 0
        self._read: dict[str, Thing] = {}

    async def work(self, is_over: Callable[[], bool]) -> None:
        while not is_over():
            await self._step()
            await asyncio.sleep(self._random.uniform(0, self._plan.pause))

    async def _step(self) -> None:
        random, plan = self._random, self._plan
        (do,) = random.choices(list(WEIGHTS), list(WEIGHTS.values()))
        first = self._asked // plan.each * plan.keys
        if plan.back and first and random.random() < plan.back:
            first -= plan.keys
        key = f"k{first + random.randrange(plan.keys)}"
        self._asked += 1
        step = self._locked(key, do) if do in ("lock", "get_locked") else self._simply(key, do)
        if self._threads or random.random() >= plan.cancelled:
            await step
            return
        task = asyncio.create_task(step)
        await self._tick(random.choice((0, 1, 2, 3, 5, 10, 50)))
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass

    @staticmethod
    async def _tick(times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0)

    # One call ----------------------------------------------------------------

    async def _call(
        self,
        do: Do,
        key: str,
        call: Callable[[], Awaitable[Any]],
        **asked: Any,
    ) -> Any:
        """What ``call`` returns; None if it was refused."""
        number = self._recorder.begin(self.name, do, key, **asked)
        try:
            result = await call()
        except BaseException as error:
            self._recorder.end(number, refusal(error))
            if not isinstance(error, Exception):
                raise
            return None
        self._recorder.end(number, answer(result))
        if isinstance(result, Thing):
            self._read[key] = result
        return result

    async def _simply(self, key: str, do: str) -> None:
        tracker = self._tracker
        match do:
            case "start":
                await self._start(key, None)
            case "get":
                await self._call("get", key, lambda: tracker.get(Thing, key))
            case "get_finished":
                await self._call("get_finished", key, lambda: tracker.get_finished(Thing, key))
            case "touch":
                await self._call("touch", key, lambda: tracker.touch(Thing, key))
            case "update":
                thing = await self._call("get", key, lambda: tracker.get(Thing, key))
                if thing is not None:
                    await self._update(key, thing, None)
            case "update_again":
                known = self._read.get(key)
                if known is not None:
                    await self._update(key, known, None)
            case "finish":
                await self._call("finish", key, lambda: tracker.finish(Thing, key))
            case "finish_session":
                known = self._read.get(key)
                if known is not None:
                    await self._finish(key, known, None)
            case "resume":
                await self._call("resume", key, lambda: tracker.resume(Thing, key))
            case "delete":
                known = self._read.get(key)
                if known is not None and self._random.random() < 0.4:
                    stamp = stamp_of(known)
                    await self._call("delete", key, lambda: tracker.delete(known), stamp=stamp)
                else:
                    await self._call("delete", key, lambda: tracker.delete(Thing, key))

    def _value(self) -> str:
        return f"{self.name}/{self._random.getrandbits(40):010x}"

    async def _start(self, key: str, hold: _Held | None) -> None:
        value = self._value()
        thing = Thing(key=key, value=value, copy=value)
        lock = None if hold is None else hold.lock
        await self._call(
            "start",
            key,
            lambda: self._tracker.start(thing, lock=lock),
            value=value,
            hold=None if hold is None else hold.hold,
        )

    async def _update(self, key: str, thing: Thing, held: _Held | None) -> bool:
        """Whether it was saved."""
        stamp = stamp_of(thing)
        thing.value = thing.copy = value = self._value()
        hold = None if held is None else held.hold
        update = self._tracker.update
        asked = {"stamp": stamp, "value": value, "hold": hold}
        return await self._call("update", key, lambda: update(thing), **asked) is not None

    async def _finish(self, key: str, thing: Thing, held: _Held | None) -> None:
        stamp = stamp_of(thing)
        thing.value = thing.copy = value = self._value()
        hold = None if held is None else held.hold
        finish = self._tracker.finish
        await self._call(
            "finish_session", key, lambda: finish(thing), stamp=stamp, value=value, hold=hold
        )

    # A lock, and what is done under it -----------------------------------------

    async def _locked(self, key: str, do: Any) -> None:
        tracker, plan, recorder = self._tracker, self._plan, self._recorder
        enter = tracker.lock if do == "lock" else tracker.get_locked
        lease = round(plan.lease * 1e9)
        taking: int | None = recorder.begin(self.name, do, key, lease=lease)
        assert taking is not None
        taken, leaving = taking, None
        try:
            async with enter(Thing, key, lease=plan.lease, wait=plan.wait) as given:
                thing = given if isinstance(given, Thing) else None
                lock = given if thing is None else tracker.lock_of(thing)
                held = _Held(thing, lock, (taken, lock.token))
                recorder.end(taken, answer(thing, token=lock.token))
                taking = None
                try:
                    await self._hold(key, held)
                except BaseException:
                    leaving = recorder.begin(self.name, "abandon", key, hold=held.hold)
                    raise
                leaving = self._leave(key, held)
        except BaseException as error:
            if taking is not None:
                recorder.end(taking, refusal(error))
            elif leaving is not None:
                recorder.end(leaving, refusal(error))
            if not isinstance(error, Exception):
                raise
        else:
            assert leaving is not None
            recorder.end(leaving, answer(held.thing if held.saves else None))

    async def _hold(self, key: str, held: _Held) -> None:
        """The body of a block."""
        random = self._random
        for _ in range(random.choice((0, 0, 1, 2))):
            await asyncio.sleep(random.uniform(0, self._plan.pause))
            chance = random.random()
            if chance < 0.3:  # anybody's call, which the lock refuses
                await self._simply(key, random.choice(("start", "get", "update", "finish")))
            elif held.thing is None:
                await self._start(key, held)
            elif chance < 0.7:
                held.is_unsure |= not await self._update(key, held.thing, held)
            elif chance < 0.8:
                await self._finish(key, held.thing, held)
                raise _GivenUpError  # whether it has ended, or is still to be saved, is all one
        if random.random() < 0.1:
            raise _GivenUpError

    def _leave(self, key: str, held: _Held) -> int:
        begin = self._recorder.begin
        thing = held.thing
        if thing is None:
            return begin(self.name, "unlock", key, hold=held.hold)
        stamp = stamp_of(thing)
        if self._random.random() < 0.2 and not held.is_unsure:  # nothing is to be saved
            return begin(self.name, "unlock", key, hold=held.hold, stamp=stamp)
        held.saves = True
        thing.value = thing.copy = value = self._value()
        return begin(self.name, "save", key, hold=held.hold, stamp=stamp, value=value)


class _GivenUpError(Exception):
    """The body of a block ends with an exception."""


class _Held:
    """What is held in a block."""

    def __init__(self, thing: Thing | None, lock: Any, hold: Hold) -> None:
        self.thing = thing
        self.lock = lock
        self.hold = hold
        self.is_unsure = False  # it was changed, and that change was not saved
        self.saves = False


# Answers -----------------------------------------------------------------------


def stamp_of(thing: Thing) -> Stamp:
    meta = meta_of(thing)
    assert meta is not None
    return meta.life, meta.version, meta.write


def answer(result: Any, token: int | None = None) -> Answer:
    if isinstance(result, bool):
        return Answer(OK, existed=result)
    if not isinstance(result, Thing):
        return Answer(OK, token=token)
    value = result.value if result.value == result.copy else f"{result.value} and {result.copy}"
    return Answer(OK, stamp_of(result), value, token)


def refusal(error: BaseException) -> Answer:
    if not isinstance(error, Exception) or isinstance(error, OutcomeUnknownError | _GivenUpError):
        return Answer(UNKNOWN)
    name = type(error).__name__
    if isinstance(error, StaleSessionError):
        return Answer(name, version=error.actual)
    if isinstance(error, SessionInProgressError):
        return Answer(name, stamp_of(error.session), error.session.value)
    return Answer(name, message=str(error))
