"""Nothing is left of what was done, and what would creep is noticed: in a few seconds.

An hour of it, on all stores, is ``nox -s endurance``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from sessiontracker import SessionTracker

from .campaign import Run, drained, picture, report, run
from .leaks import LEAKS as KINDS
from .process import config_of
from .stores import store_of
from .verdict import Sample, Stored, judge, judge_stored, left
from .work import TYPES, Cart

MIB = 2**20
STEADY = Sample("during", 0.0, 60 * MIB, 10, 4, 2, 3, 0)


def samples(seen: Callable[[int], dict[str, Any]], **ended: dict[str, Any]) -> list[Sample]:
    """Of an hour, one a minute: ``seen`` says how the one of each minute differs."""
    during = [
        replace(STEADY, time=60.0 * minute, done=1_000 * minute, **seen(minute))
        for minute in range(61)
    ]
    before = replace(STEADY, when="before", resident=30 * MIB, files=3, connections=0, tasks=0)
    closed = replace(before, when="closed", done=during[-1].done, odd=during[-1].odd)
    return [
        before,
        *during,
        replace(closed, **ended.get("closed", {})),
        replace(before, when="after", **ended.get("after", {})),
    ]


def warming_up(minute: int) -> dict[str, Any]:
    """Memory that grows at first, and what is under way at one moment or another."""
    return {
        "resident": 60 * MIB + min(minute, 20) * MIB + minute % 2 * MIB,
        "tasks": 2 + (minute % 7 == 3),
    }


def test_a_process_that_is_steady_is_not_blamed() -> None:
    assert judge(samples(warming_up)) == []


def test_memory_is_flat_within_five_percent_of_the_half() -> None:
    assert judge(samples(lambda minute: {"resident": 60 * MIB + minute * MIB // 11})) == []
    [found] = judge(samples(lambda minute: {"resident": 60 * MIB + minute * MIB // 8}))
    assert "resident memory grew by 5." in found


LEAKS: dict[str, tuple[Callable[[int], dict[str, Any]], dict[str, Any], str]] = {
    "memory": (lambda minute: {"resident": 60 * MIB + minute * MIB // 3}, {}, "resident memory"),
    "connections": (lambda minute: {"connections": 4 + minute // 20}, {}, "connections"),
    "tasks": (lambda minute: {"tasks": 2 + minute // 10}, {}, "tasks"),
    "threads": (lambda minute: {"threads": 3 + (minute > 40)}, {}, "threads"),
    "files": (lambda minute: {"files": 10 + minute // 30}, {}, "files"),
    "entries in memory": (lambda _: {}, {"closed": {"entries": 3}}, "3 entries are left"),
    "a task of a closed tracker": (lambda _: {}, {"closed": {"tasks": 1}}, "closed"),
    "a thread in the end": (lambda _: {}, {"after": {"threads": 4}}, "threads after all"),
    "errors": (lambda minute: {"odd": {"OSError": 2 * minute}}, {}, "OSError"),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_what_leaks_is_told(leak: str) -> None:
    seen, ended, told = LEAKS[leak]
    [found] = judge(samples(seen, **ended))
    assert told in found


def test_one_that_did_not_end_is_told() -> None:
    assert "it did not end" in left(samples(warming_up)[:-1])


def test_what_a_store_keeps_is_told() -> None:
    during = [Stored(60.0 * minute, 1_000 + 50 * minute, 2) for minute in range(61)]  # more is done
    after = Stored(90.0, 0, 0)
    assert judge_stored(during, after) == []
    [left] = judge_stored(during, replace(after, entries=3))
    assert "3 entries are left" in left
    [open] = judge_stored(during, replace(after, connections=1))
    assert "1 connections to the server that nobody uses" in open
    more = [replace(each, connections=2 + (each.time > 1_800)) for each in during]
    assert "3 connections" in judge_stored(more, after)[0]
    for few in range(4):  # a run may be over soon
        assert judge_stored(during[:few], after) == []


def test_what_is_kept_for_ever_is_found_in_the_end(tmp_path: Path) -> None:
    with store_of("sqlite", tmp_path / "place") as store:
        with SessionTracker(config_of(store), types=TYPES) as tracker:
            assert drained({"sqlite": store}, 0.1)["sqlite"].entries == 0
            tracker.start(Cart(), idle_timeout="off", absolute_timeout="off")
        assert drained({"sqlite": store}, 0.1)["sqlite"].entries == 1


def test_each_leak_of_a_process_is_found(tmp_path: Path) -> None:
    """In real processes: of memory, connections, tasks and threads."""
    short: dict[str, Any] = {"seconds": 0.0, "every": 0.1, "rate": 80}
    waits: dict[str, Any] = {"patience": 0.0, "settling": 0.0}
    [store] = run(["memory"], tmp_path, **short, **waits, leaks=list(KINDS))
    verdict = store.verdict()
    for side, kinds in (("async", KINDS), ("sync", KINDS.keys() - {"task"})):
        told = " ".join(verdict[side])
        assert all(kind in told for kind in kinds), (side, told)


def test_a_picture_says_what_is_wrong() -> None:
    stored = [Stored(60.0 * minute, 1_000, 2) for minute in range(62)]
    leaking = samples(LEAKS["memory"][0])
    run = Run("place", {"async": samples(warming_up), "sync": leaking}, stored)
    drawn = ET.fromstring(picture(run))
    told = " ".join(text.text or "" for text in drawn.iter("{http://www.w3.org/2000/svg}text"))
    assert "resident memory grew" in told
    assert "entries stored" in told


def test_nothing_is_left_of_what_was_done(tmp_path: Path) -> None:
    """Of everything, by each of four clients, and then as it comes."""
    short: dict[str, Any] = {"seconds": 0.0, "every": 0.1, "rate": 80}
    found = run(["memory", "sqlite"], tmp_path, **short, patience=0.0)
    for store in found:
        for side, seen in store.samples.items():
            assert left(seen) == [], (store.name, side, report(store))
            assert seen[-2].done > 60
            assert not seen[-2].odd, (tmp_path / f"{store.name}-{side}.log").read_text()
