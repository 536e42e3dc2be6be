"""Whoever adds a public call adds it to the sweep."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest

from sessiontracker import AsyncBoundTracker, AsyncSessionTracker, SessionLock

from .calls import CALLS
from .places import place_of
from .scene import set_up
from .sweeping import stage

# What has no await in it, and gives nothing that has.
AT_ONCE = {
    AsyncSessionTracker: {"from_toml", "lock_of"},
    AsyncBoundTracker: {"lock", "get_locked"},
}
ENTERING = {"__aenter__", "__aexit__"}


async def test_every_public_call_is_in_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: set[tuple[type, str]] = set()
    made: set[tuple[type, str]] = set()
    for kind, others in AT_ONCE.items():
        for name in dir(kind):
            if (name.startswith("_") and name not in ENTERING) or name in others:
                continue
            wanted.add((kind, name))
            method = _noting(getattr(kind, name), (kind, name), made)
            monkeypatch.setattr(kind, name, method)
    with place_of("memory", tmp_path) as memory, place_of("sqlite", tmp_path) as sqlite:
        for place, is_bound in ((memory, False), (sqlite, True)):
            async with place.tracker(is_observer=True) as observer:
                for call in CALLS.values():
                    if call.bound is is_bound:
                        await set_up(observer)
                        made_before = set(made)
                        scene = await stage(place, observer, call)
                        made &= made_before  # not what was made to prepare it
                        await call.run(scene)
                        after = set(made)
                        await scene.over()
                        await scene.tracker.close()
                        made &= after
                        place.clear()
    assert made == wanted


def _noting(
    method: Callable[..., Any], what: tuple[type, str], made: set[tuple[type, str]]
) -> Callable[..., Any]:
    @wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        made.add(what)
        return method(*arguments, **named)

    return call


def test_a_lock_has_nothing_to_be_awaited_but_its_loss() -> None:
    members = [getattr(SessionLock, name) for name in dir(SessionLock)]
    assert not any(map(iscoroutinefunction, members))
