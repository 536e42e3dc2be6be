"""Tests of times that really pass, on a machine that may stand still meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

__all__ = ["Watch", "attempts", "in_time"]

_TRIES = 5
_TICK = 0.005  # s


def in_time(measure: Callable[[], float], limit: float) -> None:
    """What ``measure`` gives, in s, is ``limit`` at most, once in a few times: a busy machine is
    late now and then, what is wrong is late each time."""
    took = [measure()]
    while min(took) > limit and len(took) < _TRIES:
        took.append(measure())
    assert min(took) <= limit, took


def attempts(stands: float) -> Iterator[_Attempt]:
    """Tries of what multiplies its times by a pace, of 1 at first::

        for attempt in attempts(stands=0.2):
            with attempt as pace:
                ...

    If it fails, and this process stood still for longer than it ``stands`` (in s, at a pace of 1),
    it is tried again at twice the pace.
    """
    for number in range(_TRIES):
        attempt = _Attempt(2.0**number, stands, is_last=number == _TRIES - 1)
        yield attempt
        if attempt.succeeded:
            return


class Watch:
    """Sees for how long this process ``stood`` still at a time, in s, at most, while entered."""

    def __init__(self) -> None:
        self.stood = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def _look(self) -> None:
        before = time.monotonic()
        while not self._is_over.wait(_TICK):
            now = time.monotonic()
            self.stood = max(self.stood, now - before)
            before = now

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


class _Attempt:
    succeeded = False

    def __init__(self, pace: float, stands: float, *, is_last: bool) -> None:
        self._pace = pace
        self._stands = stands * pace
        self._is_last = is_last
        self._watch = Watch()

    def __enter__(self) -> float:
        self._watch.__enter__()
        return self._pace

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._watch.__exit__()
        self.succeeded = error is None
        stood_still = self._watch.stood > self._stands
        return isinstance(error, Exception) and stood_still and not self._is_last
