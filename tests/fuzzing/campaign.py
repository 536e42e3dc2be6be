"""A campaign: so many inputs, shared among the targets; one line a target, failures are kept.

``python -m tests.fuzzing.campaign --inputs 1000000 --seed 1`` tries all that is there,
``… payloads keys`` these alone, and ``--replay build/fuzzing/payloads-1-77.json`` one input again.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from pathlib import Path
from random import Random

from .harness import Report, Target, run
from .targets import TARGETS

__all__ = ["main"]

_ADDRESS_SPACE = 8 * 2**30  # a bomb is an error, and not the end of the machine
_KEPT_OF_A_TARGET = 100


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--inputs", type=int, default=10_000, help="for all targets together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", type=Path, metavar="FILE")
    chosen = parser.parse_args(arguments)
    for name in chosen.targets:
        if name not in TARGETS:
            parser.error(f"there is no target {name!r}: there is {', '.join(TARGETS)}")
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, resource.RLIM_INFINITY))
    if chosen.replay is not None:
        return _replay(chosen.replay)
    targets = [TARGETS[name]() for name in chosen.targets or TARGETS]
    reports = [
        _report(target, chosen.seed, count) for target, count in _shared(targets, chosen.inputs)
    ]
    total = sum(report.inputs for report in reports)
    failed = sum(len(report.failures) for report in reports)
    grown = [report.target for report in reports if report.growth > report.may_grow]
    print(
        f"all: {total:,} inputs, {failed} failures{', GROWN: ' if grown else ''}{', '.join(grown)}"
    )
    return 0 if all(report.is_sound for report in reports) else 1


def _shared(targets: list[Target], inputs: int) -> list[tuple[Target, int]]:
    """How many of the ``inputs`` each takes."""
    whole = sum(target.share for target in targets)
    counts = [max(1, inputs * target.share // whole) for target in targets]
    counts[0] += max(0, inputs - sum(counts))
    return list(zip(targets, counts, strict=True))


def _report(target: Target, seed: int, count: int) -> Report:
    with target:
        report = run(target, seed, range(count), ends=True)
    print(report, flush=True)
    for failure in report.failures[:_KEPT_OF_A_TARGET]:
        print(f"  {failure.keep()}: {failure.what}", flush=True)
    return report


def _replay(path: Path) -> int:
    kept = json.loads(path.read_text())
    with TARGETS[kept["target"]]() as target:
        try:
            outcome = target.attempt(Random(f"{target.name}/{kept['seed']}/{kept['number']}"))
        finally:
            print(f"{target.name}: {target.made!r}")
    print(f"came to {outcome or 'taken'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
