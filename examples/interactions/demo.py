"""Several processes serve many customers at once, on one SQLite file; one of them is killed.

Every customer clicks through an order in five steps, and every click goes to whichever process
the dispatcher picks, some clicks to two. All that the processes share is the file. At the end,
what is stored is checked; the exit code is 1 if anything is not as it must be.

    python examples/interactions/demo.py

`handlers.py` is what a user of the library writes. `worker.py` is a process that calls it,
`processes.py` such a process from outside, `dispatcher.py` sends them clicks, `screen.py` shows
it all, `checks.py` says whether it went well.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase
from time import monotonic

from checks import check_all
from dispatcher import Dispatcher
from handlers import STEPS, Click, Customer
from processes import Worker
from screen import Progress, Screen, open_screen
from worker import PRICES

from sessiontracker import AsyncSessionTracker

NAMES = ["Ada", "Bela", "Chloé", "Dmitri", "Edda", "Farid", "Grace", "Hồng", "Ines", "Jan"]
DRINKS = ["espresso", "flat white", "mocha", "chai", "cocoa"]
TWICE = 0.2  # of all clicks come twice


def interaction(number: int, total: int) -> list[Click]:
    """The five clicks of a customer who knows what to have."""
    order = f"order-{number:0{len(str(total))}}"
    customer = Customer(random.choice(NAMES), random.choice(["en", "fr", "vi"]))
    choices = {"item": random.choice(DRINKS), "size": random.choice(list(PRICES))}
    return [Click(order, step, customer, choices.get(step, "")) for step in STEPS]


async def play(
    dispatcher: Dispatcher, clicks: Sequence[Click], progress: Progress, pace: float
) -> None:
    """A customer clicks, sees the answer, thinks, clicks on."""
    for click in clicks:
        await asyncio.sleep(random.uniform(0.2, 1.6) * pace)
        times = 2 if random.random() < TWICE else 1
        progress.version = await dispatcher.deliver(click, times=times)
        progress.steps += 1


async def run(options: argparse.Namespace, url: str) -> bool:
    """Whether all that was checked is as it must be."""
    total = options.interactions
    interactions = [interaction(number, total) for number in range(1, total + 1)]
    progress = [Progress(clicks[0].order) for clicks in interactions]
    workers: list[Worker] = []
    screen = open_screen(progress, workers)
    dispatcher = Dispatcher(workers, url, pace=options.pace, kills=options.kills, tell=screen.tell)
    began = monotonic()
    showing = asyncio.create_task(show(screen))
    screen.tell(f"{total} customers; {options.processes} processes are starting")
    try:
        await dispatcher.start(options.processes)
        async with asyncio.TaskGroup() as customers:
            for clicks, how_far in zip(interactions, progress, strict=True):
                customers.create_task(play(dispatcher, clicks, how_far, options.pace))
    finally:
        await dispatcher.stop()
        showing.cancel()
        screen.close()
    print(
        f"\n{total} orders of {len(STEPS)} steps by {len(workers)} processes on one file, "
        f"{monotonic() - began:.1f} s; {dispatcher.repeated} clicks came twice"
    )
    async with AsyncSessionTracker(backend="sql", url=url) as tracker:
        checks = await check_all(tracker, interactions, dispatcher.takeovers, options.kills)
    print("\nWhat is stored in the end:")
    for check in checks:
        print(check)
    passed = all(check.passed for check in checks)
    print("\nAll checks passed." if passed else "\nNOT all checks passed.")
    return passed


async def show(screen: Screen) -> None:
    while True:
        screen.refresh()
        await asyncio.sleep(0.1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--interactions", type=int, default=50, help="customers at once (50)")
    parser.add_argument("--processes", type=int, default=4, help="worker processes (4)")
    parser.add_argument("--kills", type=int, default=1, help="how many of them are killed (1)")
    parser.add_argument("--pace", type=float, default=1.0, help="how slow people are (1)")
    options = parser.parse_args()
    if options.processes < 2 or not 0 <= options.kills <= options.interactions:
        parser.error("at least two processes, and no more kills than interactions")
    if options.processes + options.kills > len(ascii_uppercase):
        parser.error("processes are named by letters: there are not enough for so many")
    return options


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="interactions-") as folder:
        try:
            passed = asyncio.run(run(options, f"sqlite:///{Path(folder, 'orders.db')}"))
        except KeyboardInterrupt:
            return 130
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
