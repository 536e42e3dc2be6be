"""The life of a session, in memory: python examples/quickstart.py"""

from __future__ import annotations

import asyncio

from sessiontracker import AsyncSessionTracker, Session, SessionFinishedError


class Checkout(Session):
    items: list[str] = []
    paid: bool = False


async def main() -> None:
    async with AsyncSessionTracker() as tracker:
        await tracker.start(Checkout(key="order-42", items=["book"]))

        async with tracker.get_locked(Checkout, "order-42") as checkout:  # nobody else writes
            checkout.paid = True
        print("saved:   ", checkout)

        await tracker.finish(Checkout, "order-42")
        try:
            await tracker.get(Checkout, "order-42")
        except SessionFinishedError as error:
            print("refused: ", error)
        print("finished:", await tracker.get_finished(Checkout, "order-42"))

        print("resumed: ", await tracker.resume(Checkout, "order-42"))


if __name__ == "__main__":
    asyncio.run(main())
