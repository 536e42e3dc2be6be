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

from .campaign import Run, picture, report, run
from .verdict import Sample, Stored, judge, judge_stored, left

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


LEAKS: dict[str, tuple[Callable[[int], dict[str, Any]], dict[str, Any], str]] = {
    "memory": (lambda minute: {"resident": 60 * MIB + minute * MIB // 3}, {}, "resident memory"),
    "connections": (lambda minute: {"connections": 4 + minute // 20}, {}, "connections"),
    "tasks": (lambda minute: {"tasks": 2 + minute // 10}, {}, "tasks"),
    "threads": (lambda minute: {"threads": 3 + (minute > 40)}, {}, "threads"),
    "files": (lambda minute: {"files": 10 + minute // 30}, {}, "files"),
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


def test_a_store_that_grows_is_told() -> None:
    steady = [Stored(60.0 * minute, 1_000 + minute % 3, 2, 500 * minute) for minute in range(61)]
    assert judge_stored(steady) == []
    growing = [replace(each, entries=each.entries + round(each.time / 3)) for each in steady]
    [grown] = judge_stored(growing)
    assert "stored grew" in grown
    [more] = judge_stored([replace(each, connections=2 + (each.time > 1_800)) for each in steady])
    assert "3 connections" in more


def test_a_store_that_is_used_more_is_not_blamed() -> None:
    def of(minute: int) -> Stored:
        busy = max(0, minute - 45)  # minutes in which twice as much is done
        return Stored(60.0 * minute, 1_000 + 1_000 * (busy > 0), 2, 500 * (minute + busy))

    assert judge_stored([of(minute) for minute in range(61)]) == []


def test_a_picture_says_what_is_wrong() -> None:
    stored = [Stored(60.0 * minute, 1_000, 2, 500 * minute) for minute in range(61)]
    leaking = samples(LEAKS["memory"][0])
    run = Run("place", {"async": samples(warming_up), "sync": leaking}, stored)
    drawn = ET.fromstring(picture(run))
    told = " ".join(text.text or "" for text in drawn.iter("{http://www.w3.org/2000/svg}text"))
    assert "resident memory grew" in told
    assert "entries stored" in told


def test_nothing_is_left_of_what_was_done(tmp_path: Path) -> None:
    """Of everything, by each of four clients, and then as it comes."""
    found = run(["memory", "sqlite"], tmp_path, seconds=0.0, every=0.1, rate=80, warm_up=1)
    for store in found:
        for side, seen in store.samples.items():
            assert left(seen) == [], (store.name, side, report(store))
            assert seen[-2].done > 60
            assert not seen[-2].odd, (tmp_path / f"{store.name}-{side}.log").read_text()
