"""Faulted histories: one line each. What is not legal is kept, and drawn."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from .checker import Illegal, Rolled, UndecidedError, check
from .drawing import draw
from .history import UNKNOWN, Call, read_calls
from .model import ERRORS
from .order import Overtaken, overtaken, read_looks, waited
from .processes import Processes
from .shrinking import shrunk
from .stores import STORES, Fault, NotHereError, Store, store_of
from .timing import Timeouts
from .workload import Plan

__all__ = ["History", "run"]

EXPECTED = {*ERRORS, "ok", "unknown", "BackendUnavailableError"}
TIMEOUTS = (0.1, 0.3), (0.3, 1.0), (0.1, 0.3)  # s: idle, absolute, of finished ones
ENOUGH = 20  # kills, of which one must have lost something


class History(NamedTuple):
    """What one seed came to."""

    seed: int
    calls: list[Call]
    faults: Counter[str]
    illegal: Illegal | None
    undecided: bool
    strange: list[Call]
    rollbacks: Sequence[Rolled] = ()
    """What may have lost what was acknowledged."""
    has_lost: bool = False
    """Whether it is legal only because of that."""
    plan: Plan | None = None
    overtaken: Overtaken | None = None
    waited: int = 0
    """How many waited for a lock and did not stand still, whose turn was judged."""

    @property
    def is_legal(self) -> bool:
        is_ordered = self.illegal is None and not self.undecided
        return is_ordered and not self.strange and self.overtaken is None

    @property
    def done(self) -> int:
        """How many calls did what was asked."""
        return sum(call.is_ok for call in self.calls)

    @property
    def unknown(self) -> int:
        return sum(call.answer.what == UNKNOWN for call in self.calls)

    @property
    def is_telling(self) -> bool:
        """Whether enough was done for anything to have gone wrong."""
        return self.done > len(self.calls) // 10

    @property
    def verdict(self) -> str:
        if self.is_legal:
            return "legal" if self.is_telling else "EMPTY"
        return "UNDECIDED" if self.undecided else "ILLEGAL"


def plan_of(random: Random, store: Store) -> Plan:
    plan = Plan(
        lease=random.choice((0.5, 1.0)),
        keys=random.choice((2, 3)),
        jumps=store.own_clock and random.random() < 0.5,
    )
    if random.random() < 0.6:
        return plan
    idle, absolute, retention = (random.choice((0.0, *each)) for each in TIMEOUTS)
    plan = replace(plan, idle=idle, absolute=absolute, retention=retention, back=0.2)
    return replace(plan, each=20)  # so that they come back soon


def run(store: Store, name: str, seed: int, folder: Path, calls: int = 2_000) -> History:
    """One history on ``store``, in which it is the only one of its ``name``."""
    random = Random(seed)
    folder.mkdir(parents=True)
    plan = plan_of(random, store)
    config = {
        "backends": {"place": store.options(f"{name}{seed}")},
        "operation_timeout": "4s",
        "defaults": {"storage": "place", **plan.defaults},
    }
    clients = Processes(config, plan, folder, seed, store.processes)
    struck: Counter[str] = Counter()
    rollbacks: list[Rolled] = []
    try:
        faults: dict[str, Fault] = (
            {}
            if store.calm
            else {"kill -9": clients.kill, "SIGSTOP": clients.freeze, **store.faults}
        )
        done, at = 0, time.monotonic()
        while done < calls or (faults and sum(struck.values()) < 3):
            time.sleep(random.uniform(0.1, 0.6))
            if done and faults:
                fault = random.choice(sorted(faults))
                lost = faults[fault](random)
                struck[fault] += 1
                if lost is not None:
                    rollbacks.append(lost)
            before, done = done, clients.done()
            if done > before:
                at = time.monotonic()
            elif time.monotonic() - at > 120:
                raise TimeoutError(f"no call in two minutes, after {done}: {folder}")
        clients.end()
    finally:
        clients.stop()
    found = read_calls(sorted(folder.glob("*.jsonl")))
    history = judged(seed, found, struck, rollbacks, plan.timeouts)._replace(plan=plan)
    if not store.is_fair:
        return history
    # A queue is lost in a failover as anything else is.
    lost = min((each.since for each in rollbacks), default=time.monotonic_ns())
    looks = [each for each in read_looks(sorted(folder.glob("*.looks"))) if each.came < lost]
    return history._replace(overtaken=overtaken(looks), waited=waited(looks))


def judged(
    seed: int,
    calls: list[Call],
    struck: Counter[str],
    rollbacks: Iterable[Rolled] = (),
    timeouts: Timeouts = Timeouts(),  # noqa: B008
) -> History:
    strange = [call for call in calls if call.answer.what not in EXPECTED]
    rollbacks = list(rollbacks)
    illegal, undecided = _checked(calls, timeouts, rollbacks)
    has_lost = bool(rollbacks) and _checked(calls, timeouts, [])[0] is not None
    return History(seed, calls, struck, illegal, undecided, strange, rollbacks, has_lost)


def _checked(
    calls: list[Call], timeouts: Timeouts, rollbacks: list[Rolled]
) -> tuple[Illegal | None, bool]:
    """What is illegal, and whether that could not be told."""
    try:
        return check(calls, timeouts, rollbacks), False
    except UndecidedError:
        return None, True


def campaign(name: str, seeds: range, kept: Path) -> int:
    """Histories on the store ``name``: how many are not as they must be."""
    bad = losses = lost = turns = 0
    sizes: list[int] = []
    with tempfile.TemporaryDirectory() as temporary, store_of(name, Path(temporary)) as store:
        for seed in seeds:
            folder = Path(temporary) / str(seed)
            began = time.monotonic()
            history = run(store, name, seed, folder)
            took = time.monotonic() - began
            sizes.append(len(history.calls))
            losses += len(history.rollbacks)
            lost += history.has_lost
            turns += history.waited
            if not (history.is_legal and history.is_telling):
                bad += 1
                _keep(history, name, folder, kept)
            faults = ", ".join(f"{count} {fault}" for fault, count in history.faults.items())
            print(
                f"{name} {seed}: {history.verdict}, {len(history.calls)} calls, "
                f"{history.done} done, {history.unknown} unknown, {took:.1f} s; {faults}"
                f"{_of_time(history.plan)}"
                f"{'; what was acknowledged is lost' if history.has_lost else ''}",
                flush=True,
            )
    what = f", {lost} with acknowledged writes lost in {losses} kills" if losses else ""
    what += f", {turns} waiters' turns" if turns else ""
    print(
        f"{name}: {len(sizes)} histories of {min(sizes)} calls or more, {sum(sizes)} in all{what}, "
        f"{bad} not legal",
        flush=True,
    )
    if losses >= ENOUGH and not lost:
        print(f"{name}: nothing was lost in {losses} kills: the faults are not hard enough")
        bad += 1
    return bad


def _of_time(plan: Plan | None) -> str:
    if plan is None:
        return ""
    expiry = "; sessions expire" if any(plan.timeouts[:3]) else ""
    return f"; clocks jump{expiry}" if plan.jumps else expiry


class _Known(msgspec.Struct):
    """What judges a history that is kept, beside its calls."""

    plan: Plan | None
    rollbacks: list[tuple[int, int, frozenset[str]]]


def _keep(history: History, name: str, folder: Path, kept: Path) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    copy = kept / f"{name}-{history.seed}"
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    keys = {call.key for call in history.calls}
    rollbacks = [
        (each.since, each.at, frozenset(key for key in keys if key in each.keys))
        for each in history.rollbacks
    ]
    (copy / "known.json").write_bytes(msgspec.json.encode(_Known(history.plan, rollbacks)))
    _show(history, copy.with_suffix(".html"), f"{name}, seed {history.seed}")


def _show(history: History, picture: Path, title: str) -> None:
    illegal = history.illegal
    if illegal is not None:
        print(illegal.key, illegal.call, illegal.states)
        timeouts = Timeouts() if history.plan is None else history.plan.timeouts
        small = shrunk(illegal, timeouts, history.rollbacks)
        print(f"{len(small.calls)} calls of {len(illegal.calls)} on the key show it: {picture}")
        picture.write_text(draw(small, title))
    if history.overtaken is not None:
        print(history.overtaken)
    for call in history.strange[:3]:
        print(call)


def again(folder: Path) -> int:
    """Judge a history that was kept once more; whether it is not as it must be."""
    known = msgspec.json.decode((folder / "known.json").read_bytes(), type=_Known)
    timeouts = Timeouts() if known.plan is None else known.plan.timeouts
    calls = read_calls(sorted(folder.glob("*.jsonl")))
    rollbacks = [Rolled(*each) for each in known.rollbacks]
    history = judged(0, calls, Counter(), rollbacks, timeouts)._replace(plan=known.plan)
    print(f"{folder}: {history.verdict}")
    _show(history, folder.with_suffix(".html"), str(folder))
    return not history.is_legal


def _store(name: str) -> str:
    if name not in STORES:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(STORES)}")
    return name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="*", type=_store, metavar="STORE")
    parser.add_argument("--histories", type=int, default=100, help="of each store")
    parser.add_argument("--first", type=int, default=1, help="the first one's seed")
    parser.add_argument("--kept", type=Path, default=Path("build/robustness"))
    parser.add_argument("--again", type=Path, nargs="+", default=[], help="folders of kept ones")
    asked = parser.parse_args()
    if asked.again:
        return max(map(again, asked.again))
    seeds = range(asked.first, asked.first + asked.histories)
    bad = 0
    for name in asked.stores or STORES:
        try:
            bad += campaign(name, seeds, asked.kept)
        except NotHereError as error:
            print(error)
        except Exception:  # the other stores are tried all the same
            traceback.print_exc()
            bad += 1
    if bad:
        print(f"{bad} histories are not as they must be: see {asked.kept.resolve()}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
