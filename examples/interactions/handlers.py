"""An order in five clicks: what the author of a bot writes. Any process may get any click.

A click may come twice: people click twice, and what a dead process did not answer is sent to
another. So every handler first asks the order whether it has the click already.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from sessiontracker import (
    AsyncSessionTracker,
    Session,
    SessionActiveError,
    SessionFinishedError,
    StaleSessionError,
)

# What is stored --------------------------------------------------------------


@dataclass
class Customer:
    name: str
    language: str


@dataclass
class Drink:
    name: str
    size: str = ""
    cents: int = 0


@dataclass
class Step:
    """A click that was handled, and the process that did it."""

    name: str
    process: int


class Order(Session):
    customer: Customer
    drink: Drink | None = None
    payment: str = ""
    receipt: str = ""
    steps: list[Step] = []

    def has(self, click: Click) -> bool:
        return any(step.name == click.step for step in self.steps)

    def note(self, click: Click) -> None:
        self.steps.append(Step(click.step, os.getpid()))


class Tally(Session):
    """What all orders together have come to: one session that every click writes."""

    steps: int = 0
    counted: set[str] = set()

    def count(self, click: Click) -> None:
        name = f"{click.order} {click.step}"
        if name not in self.counted:
            self.counted.add(name)
            self.steps += 1


# What comes in, and who helps ------------------------------------------------


@dataclass
class Click:
    """One step of an interaction, as it arrives: which order, which step, what was chosen."""

    order: str
    step: str
    customer: Customer
    choice: str = ""


class Shop(Protocol):
    """Services elsewhere, each of which takes its time."""

    async def find(self, order: Order, name: str) -> Drink: ...
    async def price(self, order: Order, size: str) -> int: ...
    async def charge(self, order: Order) -> str:
        """Charges an order once, however often it is asked: providers do so by the order's key."""
        ...

    async def print(self, order: Order) -> str: ...


# The five steps --------------------------------------------------------------


async def place(tracker: AsyncSessionTracker, shop: Shop, click: Click) -> Order:
    order = Order(key=click.order, customer=click.customer)
    order.note(click)
    return await tracker.get_or_start(order)


async def pick_item(tracker: AsyncSessionTracker, shop: Shop, click: Click) -> Order:
    async with tracker.get_locked(Order, click.order) as order:
        if not order.has(click):
            order.drink = await shop.find(order, click.choice)
            order.note(click)
    return order


async def pick_size(tracker: AsyncSessionTracker, shop: Shop, click: Click) -> Order:
    """Without a lock: whoever saves first wins, and the other reads again."""
    while True:
        order = await tracker.get(Order, click.order)
        if order.has(click):
            return order
        assert order.drink is not None
        order.drink.cents = await shop.price(order, click.choice)
        order.drink.size = click.choice
        order.note(click)
        try:
            return await tracker.update(order)
        except StaleSessionError:
            continue


async def confirm(tracker: AsyncSessionTracker, shop: Shop, click: Click) -> Order:
    try:
        async with tracker.get_locked(Order, click.order) as order:
            order.payment = await shop.charge(order)
            order.note(click)
            return await tracker.finish(order)  # which saves it, too
    except SessionFinishedError:  # by the click's twin
        return await tracker.get_finished(Order, click.order)


async def print_receipt(tracker: AsyncSessionTracker, shop: Shop, click: Click) -> Order:
    """The order is finished: it is opened again to note its receipt."""
    async with tracker.lock(Order, click.order) as lock:
        try:
            order = await tracker.get_finished(Order, click.order)
            if order.has(click):
                return order
            await tracker.resume(order, lock=lock)
        except SessionActiveError:  # somebody had opened it, and died
            order = await tracker.get(Order, click.order)
        order.receipt = await shop.print(order)
        order.note(click)
        return await tracker.finish(order, lock=lock)


STEPS: dict[str, Callable[[AsyncSessionTracker, Shop, Click], Awaitable[Order]]] = {
    "place": place,
    "item": pick_item,
    "size": pick_size,
    "confirm": confirm,
    "receipt": print_receipt,
}


async def handle(tracker: AsyncSessionTracker, shop: Shop, click: Click) -> Order:
    """Handle a click, as often as it comes, and count it once."""
    order = await STEPS[click.step](tracker, shop, click)
    async with tracker.get_locked(Tally, "today", missing=Tally()) as tally:
        tally.count(click)
    return order
