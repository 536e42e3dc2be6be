"""What must be true when all is over, computed from what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dispatcher import Takeover
from handlers import STEPS, Click, Order, Tally

from sessiontracker import AsyncSessionTracker, LockNotAcquiredError, SessionError

GRACE = 0.25  # s that a waiter may take to notice that a lease ran out
ROUNDING = 0.01  # s between a process's clock and the store's

# place; item, size and confirm save once each; receipt opens the order again and finishes it.
VERSION = 6


@dataclass
class Check:
    """How many there must be of something, how many there are, and what is wrong with others."""

    what: str
    expected: int
    found: int
    wrong: list[str]

    @property
    def passed(self) -> bool:
        return self.found == self.expected and not self.wrong

    def __str__(self) -> str:
        verdict = "ok" if self.passed else "FAILED"
        line = f"{verdict:8}{self.found:>4} of {self.expected:>3}  {self.what}"
        return "\n".join([line, *(f"{'':21}{problem}" for problem in self.wrong[:5])])


async def check_all(
    tracker: AsyncSessionTracker,
    interactions: Sequence[Sequence[Click]],
    takeovers: Sequence[Takeover],
    kills: int,
) -> list[Check]:
    """``interactions``: the clicks of each. ``kills``: how many processes were to be killed."""
    clicks = {interaction[0].order: interaction for interaction in interactions}
    orders = {key: await _finished(tracker, key) for key in clicks}
    active = {order.key async for order in tracker.scan(Order)}

    def as_chosen(order: Order) -> bool:
        place, item, size, *_ = clicks[order.key]
        drink = order.drink
        return (
            order.customer == place.customer
            and drink is not None
            and (drink.name, drink.size) == (item.choice, size.choice)
            and order.receipt == f"receipt-{order.key}"
        )

    return [
        _each("orders are finished", orders, lambda order: order.key not in active),
        _each(
            "have exactly their five steps, in order",
            orders,
            lambda order: [step.name for step in order.steps] == list(STEPS),
        ),
        _each(
            f"are at version {VERSION}: every save counts, none twice",
            orders,
            lambda order: order.version == VERSION,
        ),
        _each("hold what their customers chose", orders, as_chosen),
        await _counted(tracker, sum(map(len, interactions))),
        await _free(tracker, clicks),
        *([_taken_over(takeovers, kills)] if kills else []),
    ]


async def _finished(tracker: AsyncSessionTracker, key: str) -> Order | None:
    try:
        return await tracker.get_finished(Order, key)
    except SessionError:
        return None


def _each(what: str, orders: dict[str, Order | None], is_right: Callable[[Order], bool]) -> Check:
    wrong = [
        f"{key}: {order or 'not finished'}"
        for key, order in orders.items()
        if order is None or not is_right(order)
    ]
    return Check(what, len(orders), len(orders) - len(wrong), wrong)


async def _counted(tracker: AsyncSessionTracker, steps: int) -> Check:
    tally = await tracker.get(Tally, "today")
    wrong: list[str] = []
    if len(tally.counted) != steps:
        wrong.append(f"the tally names {len(tally.counted)} steps")
    if tally.version != 1 + steps:  # its start, and each step
        wrong.append(f"the tally is at version {tally.version} and not at {1 + steps}")
    return Check("steps are in the tally that all of them write", steps, tally.steps, wrong)


async def _free(tracker: AsyncSessionTracker, keys: Iterable[str]) -> Check:
    held: list[str] = []
    total = 0
    for key in keys:
        total += 1
        try:
            async with tracker.lock(Order, key, wait=0):
                pass
        except LockNotAcquiredError as error:
            held.append(str(error))
    return Check("locks are free again", total, total - len(held), held)


def _taken_over(takeovers: Sequence[Takeover], kills: int) -> Check:
    wrong: list[str] = []
    seen: list[str] = []
    for takeover in takeovers:
        if takeover.after is None:
            wrong.append(f"{takeover.order}: nobody took the lock over")
            continue
        late = takeover.after - takeover.lease_left
        seen.append(f"{late * 1000:.0f} ms")
        if not -ROUNDING <= late <= GRACE:
            wrong.append(f"{takeover.order}: {late * 1000:+.0f} ms from the end of the lease")
    how_late = ", ".join(seen) or "never"
    what = f"locks of the dead had {how_late} after the lease (at most {GRACE * 1000:.0f} ms)"
    return Check(what, kills, len(takeovers) - len(wrong), wrong)
