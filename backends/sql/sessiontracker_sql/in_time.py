"""Connecting within a time: drivers that block count it in whole seconds, or step by step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["in_time"]

T = TypeVar("T")


def in_time(make: Callable[[], T], timeout: float, drop: Callable[[T], None]) -> T:
    """What ``make`` makes, in a thread of its own; if that takes longer than ``timeout`` seconds,
    it is dropped as soon as it is there.

    Raises: TimeoutError; what ``make`` raises.
    """
    made: Future[T] = Future()

    def work() -> None:
        try:
            result = make()
        except BaseException as error:
            if made.set_running_or_notify_cancel():
                made.set_exception(error)
            return
        if made.set_running_or_notify_cancel():
            made.set_result(result)
        else:
            drop(result)

    threading.Thread(target=work, name="sessiontracker connecting", daemon=True).start()
    try:
        return made.result(timeout)
    except BaseException:
        if made.cancel() or made.exception() is not None:
            raise
        drop(made.result())  # it came in the very moment in which nobody waited any longer
        raise
