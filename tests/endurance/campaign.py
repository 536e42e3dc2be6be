"""An hour of everything, on all stores at once: what each process and each store came to.

Samples, pictures and what processes said are kept in build/endurance.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from sessiontracker import SessionTracker

from .drawing import draw, panels_of
from .process import Plan, config_of
from .sides import SIDES
from .stores import STORES, Store, store_of
from .verdict import Sample, Stored, growth, judge, judge_stored
from .work import GONE, TYPES

__all__ = ["Run", "drained", "run"]

PATIENCE = 300.0  # s that a process may take to begin, and to end


class Run(msgspec.Struct):
    """What was seen of one store and of the processes that used it, by side."""

    name: str
    samples: dict[str, list[Sample]]
    stored: list[Stored]
    """While it was used; then, last, when all that was left had time to expire."""

    def verdict(self) -> dict[str, list[str]]:
        """What is wrong: of each process, and of the store."""
        found = {side: judge(samples) for side, samples in self.samples.items()}
        if self.stored:
            *during, after = self.stored
            found["store"] = judge_stored(during, after)
        return found


def run(
    names: Sequence[str],
    kept: Path,
    *,
    seconds: float,
    every: float,
    rate: float,
    warm_up: int = 1,
    patience: float = GONE,
    settling: float = 10.0,
    leaks: Sequence[str] = (),
) -> list[Run]:
    """Use each of the stores named, from an event loop and from threads, all at once.

    A process does ``rate`` scenarios a second, and is counted ``every`` so many seconds. What is
    left after all has ``patience`` s to be gone, and a thread ``settling`` s to end.
    """
    kept.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stores = {
            name: stack.enter_context(store_of(name, temporary / name / "place")) for name in names
        }
        processes: list[subprocess.Popen[bytes]] = []
        for name, store in stores.items():
            for side in SIDES:
                path = kept / f"{name}-{side}.jsonl"
                path.unlink(missing_ok=True)
                plan = Plan(
                    side=side,
                    backends=store.backends,
                    storage=store.storage,
                    locking=store.locking,
                    path=str(path.resolve()),
                    seconds=seconds,
                    every=every,
                    rate=rate,
                    warm_up=warm_up,
                    database=store.database,
                    pids=store.pids,
                    patience=patience,
                    settling=settling,
                    leaks=leaks,
                )
                process = _started(plan, path.with_suffix(".log"))
                stack.callback(_end, process)
                processes.append(process)
        counted = {name: store for name, store in stores.items() if store.count is not None}
        stored = _watch(counted, processes, kept, seconds + patience, every)
        for name, after in drained(counted, patience).items():
            stored[name].append(after)
    return [
        Run(
            name,
            {side: read(kept / f"{name}-{side}.jsonl") for side in SIDES},
            stored.get(name, []),
        )
        for name in names
    ]


def _started(plan: Plan, log: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        # glibc gives threads that allocate at once arenas of their own, up to eight a core, and
        # each keeps what was freed in it: memory that creeps for long, and is nobody's leak.
        "MALLOC_ARENA_MAX": "2",
    }
    command = [sys.executable, "-m", "tests.endurance.process", msgspec.json.encode(plan).decode()]
    with log.open("wb") as said:
        return subprocess.Popen(command, env=environment, stdout=said, stderr=said)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _watch(
    stores: dict[str, Store],
    processes: Sequence[subprocess.Popen[bytes]],
    kept: Path,
    seconds: float,
    every: float,
) -> dict[str, list[Stored]]:
    """What is in the stores, counted until the processes have ended. Raises: RuntimeError."""
    stored: dict[str, list[Stored]] = {name: [] for name in stores}
    last = time.monotonic() + seconds + PATIENCE
    while any(process.poll() is None for process in processes):
        if time.monotonic() > last:
            raise RuntimeError(f"processes do not end: see {kept}/*.log")
        failed = [process.returncode for process in processes if process.returncode]
        if failed:
            raise RuntimeError(f"a process ended with {failed[0]}: see {kept}/*.log")
        time.sleep(every / 2)
        for name, store in stores.items():
            last_seen = [read(kept / f"{name}-{side}.jsonl")[-1:] for side in SIDES]
            working = [each for seen in last_seen for each in seen if each.when == "during"]
            if len(working) == len(SIDES):  # only while both processes work
                now = max(each.time for each in working)
                stored[name].append(_counted(store, now))
    if any(process.returncode for process in processes):
        raise RuntimeError(f"a process failed: see {kept}/*.log")
    return stored


def drained(stores: dict[str, Store], patience: float) -> dict[str, Stored]:
    """What is in ``stores`` when all that nobody uses any more is gone, or ``patience`` is over."""
    began = time.monotonic()

    def are_empty() -> bool:
        return not any(_counted(store, 0.0).entries for store in stores.values())

    def are_left() -> bool:
        return not any(_counted(store, 0.0).connections for store in stores.values())

    with ExitStack() as stack:
        for store in stores.values():  # who has expired things reaped
            stack.enter_context(SessionTracker(config_of(store), types=TYPES))
        _until(are_empty, patience)
        took = time.monotonic() - began
    _until(are_left, patience)  # a server needs a moment to see that somebody has gone
    return {name: _counted(store, took) for name, store in stores.items()}


def _until(condition: Callable[[], bool], patience: float) -> None:
    end = time.monotonic() + patience
    while not condition() and time.monotonic() < end:
        time.sleep(0.2)


def _counted(store: Store, time: float) -> Stored:
    assert store.count is not None
    return Stored(time, *store.count())


def read(path: Path) -> list[Sample]:
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Sample) for line in lines]


def report(found: Run) -> str:
    """A line of a table for each process, and what is wrong with it."""
    lines = []
    verdict = found.verdict()
    for side, samples in found.samples.items():
        during = [sample for sample in samples if sample.when == "during"]
        first, last = during[0], during[-1]
        grown = growth(samples)
        counts = ", ".join(
            f"{getattr(first, name)} → {getattr(last, name)} {name}"
            for name in ("files", "connections", "tasks", "threads")
        )
        odd = "".join(f", {count} {error}" for error, count in last.odd.items())
        lines.append(
            f"{found.name:11}{side:6}{last.done:8} done; {first.resident / 2**20:.1f} → "
            f"{last.resident / 2**20:.1f} MiB, {grown:+.2%} over the second half; {counts}{odd}"
        )
        lines += [f"    WRONG: {each}" for each in verdict[side]]
    if len(found.stored) > 1:
        *seen, after = found.stored
        lines.append(
            f"{found.name:11}store {max(each.entries for each in seen)} entries at most, and "
            f"{after.entries} {after.time:.0f} s after all; {seen[0].connections} → "
            f"{seen[-1].connections} connections, and {after.connections} after all"
        )
    lines += [f"    WRONG: {each}" for each in verdict.get("store", [])]
    return "\n".join(lines)


def picture(found: Run) -> str:
    during = {
        side: [sample for sample in samples if sample.when == "during"]
        for side, samples in found.samples.items()
    }
    wrong = [each for many in found.verdict().values() for each in many]
    title = f"{found.name}: {'; '.join(wrong) or 'steady'}"
    return draw(title, panels_of(during, found.stored[:-1]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="*", metavar="STORE", help=", ".join(STORES))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=6.0, help="scenarios a second, of each")
    parser.add_argument("--every", type=float, default=10.0, help="s from one sample to the next")
    parser.add_argument("--kept", type=Path, default=Path("build/endurance"))
    asked = parser.parse_args()
    unknown = sorted(set(asked.stores) - set(STORES))
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(STORES)}")
    names = asked.stores or list(STORES)
    seconds = asked.minutes * 60
    found = run(names, asked.kept, seconds=seconds, every=asked.every, rate=asked.rate)
    wrong = 0
    for each in found:
        print(report(each), flush=True)
        (asked.kept / f"{each.name}.svg").write_text(picture(each))
        wrong += sum(map(len, each.verdict().values()))
    print(f"{wrong} things are not as they must be" if wrong else "steady", flush=True)
    print(f"pictures: {asked.kept.resolve()}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
