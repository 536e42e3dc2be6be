"""The life of a session, without async and await: python examples/quickstart_sync.py"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sessiontracker import Session, SessionTracker


class Counter(Session):
    count: int = 0


def main() -> None:
    with SessionTracker() as tracker:
        tracker.start(Counter(key="visits"))

        def visit(_: int) -> None:
            with tracker.get_locked(Counter, "visits") as counter:
                counter.count += 1

        with ThreadPoolExecutor(max_workers=8) as threads:
            list(threads.map(visit, range(100)))  # threads share a tracker

        print("counted: ", tracker.get(Counter, "visits"))
        tracker.finish(Counter, "visits")
        print("finished:", tracker.get_finished(Counter, "visits"))


if __name__ == "__main__":
    main()
