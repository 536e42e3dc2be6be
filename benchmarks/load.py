"""Many waiters, many locks, many sessions in one process: what each costs, beside fewer of them.

    python -m benchmarks.load [waiters|one_line|held|sessions …] [--on STORE …] [--share 0.1]

With ``scripts`` on PYTHONPATH. Each line is a process of its own, on a store of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys

from .load_measures import MEASURES, Figures
from .load_places import PLACES, place_of

__all__: list[str] = []

COUNTS: dict[str, dict[str, tuple[int, int]]] = {
    "waiters": dict.fromkeys(("memory", "valkey"), (1_000, 10_000)),
    "one_line": dict.fromkeys(("memory", "valkey"), (100, 1_000)),
    "held": {
        **dict.fromkeys(("memory", "valkey"), (10_000, 100_000)),
        **dict.fromkeys(("sqlite", "postgresql", "mariadb"), (1_000, 10_000)),
    },
    "sessions": dict.fromkeys(PLACES, (10_000, 1_000_000)),
}
"""How many of each, on which store: some, and many."""


def measured(measure: str, store: str, count: int) -> Figures:
    """In a process of its own."""
    command = [sys.executable, "-m", "benchmarks.load", "--one", measure, store, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    figures: Figures = json.loads(done.stdout)
    return figures


async def one(measure: str, store: str, count: int) -> None:
    with place_of(store) as place:
        figures = await MEASURES[measure](place, count)
    print(json.dumps(figures))


def table(measure: str, stores: list[str], share: float) -> int:
    """How many of its lines could not be had."""
    heading, failed = "", 0
    for store, counts in COUNTS[measure].items():
        if store not in stores:
            continue
        for count in (max(1, round(count * share)) for count in counts):
            try:
                figures = measured(measure, store, count)
            except subprocess.CalledProcessError as error:  # the others are had all the same
                print(f"{measure} {store} {count:,}: {error}", flush=True)
                failed += 1
                continue
            if not heading:
                heading = "".join(f" {name} |" for name in figures)
                print(f"\n| {measure} | how many |{heading}\n|{'---|' * (len(figures) + 2)}")
            cells = "".join(f" {_shown(value)} |" for value in figures.values())
            print(f"| {store} | {count:,} |{cells}", flush=True)
    return failed


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument("--on", nargs="*", choices=PLACES, default=list(PLACES))
    parser.add_argument("--share", type=float, default=1.0, help="of how many, for a quick look")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one is not None:
        measure, store, count = asked.one
        asyncio.run(one(measure, store, int(count)))
        return 0
    unknown = sorted(set(asked.measures) - set(MEASURES))
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(MEASURES)}")
    failed = sum(table(name, asked.on, asked.share) for name in asked.measures or MEASURES)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
