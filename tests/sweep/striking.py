"""A task that is cancelled at one of its suspension points, and how soon it ends then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, NamedTuple

__all__ = ["AT_ONCE", "Moment", "Struck", "struck"]


class Moment(NamedTuple):
    """When, within a suspension, the cancellation strikes: after so many turns of the loop, or
    (`answered`) in the very turn in which what was awaited is there."""

    turns: int = 0
    answered: bool = False

    def __str__(self) -> str:
        return "answered" if self.answered else f"turn {self.turns}"


AT_ONCE = Moment()


class Struck:
    """Awaits ``call``, whose task is cancelled at its ``point``-th suspension, if it comes so far.

    What it saw: ``seen``, how many suspensions there were; ``fired``, whether it struck; ``turns``,
    how many turns of the loop the task went on after that.
    """

    def __init__(self, call: Awaitable[Any], point: int, moment: Moment = AT_ONCE) -> None:
        self._call = call
        self._point = point
        self._moment = moment
        self._task: Any = None
        self.seen = 0
        self.fired = False
        self.turns = 0

    async def run(self) -> Any:
        self._task = asyncio.current_task()
        return await self

    def __await__(self) -> Generator[Any, Any, Any]:
        inner: Any = self._call.__await__()
        go, value = inner.send, None
        while True:
            try:
                waited = go(value)
            except StopIteration as end:
                return end.value
            self.seen += 1
            if self.seen == self._point:
                self._aim(waited)
            try:
                value = yield waited
                go = inner.send
            except BaseException as error:
                go, value = inner.throw, error

    def _aim(self, waited: Any) -> None:
        if not self._moment.answered:
            self._wait(self._moment.turns)
        elif waited is None:  # a turn of the loop is all that it waits for
            asyncio.get_running_loop().call_soon(self._strike)
        else:  # ahead of the task, which is told next
            waited.add_done_callback(self._strike)

    def _wait(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._wait, turns - 1)
        else:
            self._strike()

    def _strike(self, _: Any = None) -> None:
        self.fired = self._task.cancel()
        if self.fired:
            self._count()

    def _count(self) -> None:
        if not self._task.done():
            self.turns += 1
            asyncio.get_running_loop().call_soon(self._count)

    @property
    def is_beyond(self) -> bool:
        """Whether the call ended before it came to the point."""
        return self.seen < self._point


async def struck(call: Awaitable[Any], point: int, moment: Moment = AT_ONCE) -> Struck:
    """What came of cancelling ``call``, once it has ended. Raises: AssertionError, if it was told
    of its cancellation and went on; whatever it raised without."""
    made = Struck(call, point, moment)
    task = asyncio.create_task(made.run())
    await asyncio.wait([task])
    if made.fired:
        assert task.cancelled(), f"the cancellation at {point} ({moment}) was swallowed"
    elif (error := task.exception()) is not None:
        raise error
    return made
