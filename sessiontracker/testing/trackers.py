"""The backend under a tracker, as applications use it."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar, cast

import pytest

from ..session import Session
from .subject import Subject

__all__ = ["PLACES", "Basket", "cancel_at", "tracker_config"]

T = TypeVar("T")

PLACES = pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(False, id="locks here", marks=pytest.mark.roles("storage", "locking")),
        pytest.param(True, id="locks elsewhere"),
    ],
)


class Basket(Session, name="kit_basket"):
    """A session for the kit's own use."""

    count: int = 0
    items: list[str] = []


def tracker_config(subject: Subject, locking: Subject | None, *, elsewhere: bool) -> dict[str, Any]:
    """``subject`` in its roles; what is ``elsewhere`` is kept by ``locking``, or by memory."""
    tested = {"use": subject.name, **subject.options}
    other = {"use": "memory"} if locking is None else {"use": locking.name, **locking.options}
    return {
        "backends": {"tested": tested, "other": other},
        "defaults": {
            "storage": "other" if subject.storage is None else "tested",
            "locking": "other" if elsewhere and subject.storage is not None else "tested",
            "lock_lease": "60s",
            "lock_wait": "60s",
        },
    }


async def cancel_at(number: int, coroutine: Coroutine[Any, Any, T]) -> bool:
    """Run ``coroutine``, cancelled at its ``number``-th await; whether it got that far."""
    reached = False

    @types.coroutine
    def counted() -> Generator[Any, Any, T]:
        nonlocal reached
        task = asyncio.current_task()
        assert task is not None
        count = 0
        resume: Any = coroutine.send
        value: Any = None
        while True:
            try:
                waiting = resume(value)
            except StopIteration as end:
                return cast("T", end.value)
            if count == number:
                reached = True
                task.cancel()
            count += 1
            try:
                resume, value = coroutine.send, (yield waiting)
            except BaseException as error:
                resume, value = coroutine.throw, error

    async def run() -> T:
        return await counted()

    try:
        await asyncio.ensure_future(run())
    except asyncio.CancelledError:
        if not reached:
            raise
    return reached
