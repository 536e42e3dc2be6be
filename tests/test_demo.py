"""The demo ends well, its handlers bear repeats and deaths, its checks see what is wrong."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from sessiontracker import AsyncSessionTracker

DEMO = Path(__file__).parent.parent / "examples" / "interactions"
ORDERS = 3


def test_small_and_plain() -> None:
    """Several processes, one killed; without a terminal it speaks in lines."""
    options = ["--interactions=6", "--processes=3", "--kills=1", "--pace=0.1"]
    for _ in range(3):
        result = subprocess.run(
            [sys.executable, str(DEMO / "demo.py"), *options],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            timeout=120,
            check=False,
        )
        failed = re.findall(r"^FAILED .*", result.stdout, re.MULTILINE)
        if len(failed) != 1 or "locks of the dead" not in failed[0]:
            break  # else a busy machine was late to take a lock over
    assert result.returncode == 0, result.stdout + result.stderr
    verdicts = re.findall(r"^(\S+) +(\d+) of +(\d+)  \S", result.stdout, re.MULTILINE)
    assert verdicts == [("ok", count, count) for count in ["6"] * 4 + ["30", "6", "1"]]
    assert result.stdout.count(" killed with the lock of ") == 1
    assert result.stdout.endswith("\nAll checks passed.\n")
    assert "\x1b" not in result.stdout


# Its handlers and checks, in memory ------------------------------------------


class Shop:
    """Services that answer, after the others had a turn."""

    def __init__(self, handlers: Any) -> None:
        self.handlers = handlers

    async def find(self, order: Any, name: str) -> Any:
        await asyncio.sleep(0)
        return self.handlers.Drink(name)

    async def price(self, order: Any, size: str) -> int:
        await asyncio.sleep(0)
        return 290

    async def charge(self, order: Any) -> str:
        await asyncio.sleep(0)
        return f"paid-{order.key}"

    async def print(self, order: Any) -> str:
        await asyncio.sleep(0)
        return f"receipt-{order.key}"


class Played(NamedTuple):
    """A tracker with orders that went through all steps, and the demo's modules."""

    tracker: AsyncSessionTracker
    handlers: Any
    checks: Any
    dispatcher: Any
    interactions: list[list[Any]]

    async def failing(self, *after: float | None) -> list[str]:
        """Which checks fail; ``after``: when each lock of a dead process, 1 s left, was had."""
        takeovers = [self.dispatcher.Takeover("order-1", 1.0, 0.0, late) for late in after]
        checks = await self.checks.check_all(
            self.tracker, self.interactions, takeovers, len(takeovers)
        )
        return [check.what for check in checks if not check.passed]


@pytest_asyncio.fixture
async def played(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Played]:
    """Every click came twice at once."""
    monkeypatch.syspath_prepend(DEMO)
    import checks
    import dispatcher
    import handlers

    async with AsyncSessionTracker() as tracker:
        shop = Shop(handlers)

        async def play(clicks: list[Any]) -> None:
            for click in clicks:
                twice = [handlers.handle(tracker, shop, click) for _ in range(2)]
                await asyncio.gather(*twice)

        interactions = [
            [
                handlers.Click(f"order-{number}", step, handlers.Customer("Ada", "en"), step)
                for step in handlers.STEPS
            ]
            for number in range(ORDERS)
        ]
        await asyncio.gather(*map(play, interactions))
        yield Played(tracker, handlers, checks, dispatcher, interactions)
    for module in ("checks", "dispatcher", "handlers", "processes", "worker"):
        sys.modules.pop(module)


async def test_all_is_well_although_every_click_came_twice(played: Played) -> None:
    assert await played.failing(1.0, 1.2) == []


async def test_a_receipt_that_a_dead_process_had_begun(played: Played) -> None:
    tracker, handlers = played.tracker, played.handlers
    customer = handlers.Customer("Bela", "fr")
    clicks = [handlers.Click("order-x", step, customer, step) for step in handlers.STEPS]
    for click in clicks[:-1]:
        await handlers.handle(tracker, Shop(handlers), click)
    await tracker.resume(handlers.Order, "order-x")
    await handlers.handle(tracker, Shop(handlers), clicks[-1])
    played.interactions.append(clicks)
    assert await played.failing() == []


async def lose_it(played: Played) -> None:
    await played.tracker.delete(played.handlers.Order, "order-1")


async def leave_it_active(played: Played) -> None:
    await played.tracker.resume(played.handlers.Order, "order-1")


async def start_it_again(played: Played) -> None:
    customer = played.handlers.Customer("Ada", "en")
    await played.tracker.start(played.handlers.Order(key="order-1", customer=customer))


async def swap_steps(played: Played) -> None:
    await rewrite(played, lambda order: order.steps.reverse())


async def do_a_step_twice(played: Played) -> None:
    await rewrite(played, lambda order: order.steps.append(order.steps[-1]))


async def change_the_drink(played: Played) -> None:
    await rewrite(played, lambda order: setattr(order.drink, "size", "huge"))


async def save_it_once_too_often(played: Played) -> None:
    await rewrite(played, lambda order: None, saves=5)


async def count_a_step_less(played: Played) -> None:
    async with played.tracker.get_locked(played.handlers.Tally, "today") as tally:
        tally.steps -= 1


async def rewrite(played: Played, change: Callable[[Any], object], *, saves: int = 4) -> None:
    """An order like the first one, but for a change, with a life of as many saves."""
    tracker = played.tracker
    order = await tracker.get_finished(played.handlers.Order, "order-1")
    await tracker.delete(order)
    await tracker.start(order)
    for _ in range(saves):
        await tracker.update(order)
    change(order)
    await tracker.finish(order)


ABOUT_IT = ["finished", "five steps", "version", "chose"]


@pytest.mark.parametrize(
    "sabotage,failing",
    [
        (lose_it, ABOUT_IT),
        (leave_it_active, ABOUT_IT),
        (start_it_again, ["finished"]),
        (swap_steps, ["five steps"]),
        (do_a_step_twice, ["five steps"]),
        (change_the_drink, ["chose"]),
        (save_it_once_too_often, ["version"]),
        (count_a_step_less, ["tally"]),
    ],
)
async def test_what_is_wrong_is_seen(
    played: Played, sabotage: Callable[[Played], Awaitable[None]], failing: list[str]
) -> None:
    await sabotage(played)
    found = await played.failing()
    assert len(found) == len(failing)
    assert all(word in what for word, what in zip(failing, found, strict=True))


async def test_a_lock_that_was_left_is_seen(played: Played) -> None:
    async with played.tracker.lock(played.handlers.Order, "order-1"):
        (found,) = await played.failing()
    assert "locks are free" in found


@pytest.mark.parametrize(
    "after", [pytest.param(1.3, id="late"), pytest.param(0.9, id="early"), None]
)
async def test_a_lock_taken_over_at_the_wrong_time_is_seen(
    played: Played, after: float | None
) -> None:
    (found,) = await played.failing(1.0, after)
    assert "locks of the dead" in found
