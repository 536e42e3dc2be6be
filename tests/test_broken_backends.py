"""The conformance kit fails every backend that is broken, in the test that is meant for it.

Each is asked what is meant for it, and the walk; all of the kit is in ``nox -s conformance``.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sessiontracker.backend import Capability
from sessiontracker.testing.harness import Store
from tests.broken import BROKEN, SOUND, ClocklessTwin, Twin


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, as if they were installed."""
    info = tmp_path / "broken_backends-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-backends\nVersion: 1\n")
    entries = [f"{kind.name()} = {kind.__module__}:{kind.__name__}" for kind in KINDS]
    (info / "entry_points.txt").write_text("\n".join(["[sessiontracker]", *entries, ""]))
    monkeypatch.syspath_prepend(str(tmp_path))


KINDS: list[type[Twin]] = [*SOUND, *BROKEN]


class Failures:
    """What a run of the kit came to."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid.rpartition("/")[2])
        elif report.when == "call":
            self.passed += 1


def run_kit(kind: type[Twin], tmp_path: Path, *arguments: str) -> Failures:
    """Run the kit within this process, without this run's own settings and plugins."""
    settings = tmp_path / "pytest.ini"
    settings.write_text("[pytest]\n")
    failures = Failures()
    own = ["-c", str(settings), "--rootdir", str(tmp_path), "-q", "--tb=no", "--show-capture=no"]
    # The last of these would collect all garbage of this process, several times.
    without = ("cacheprovider", "asyncio", "timeout", "xdist", "unraisableexception")
    off = [word for name in without for word in ("-p", f"no:{name}")]
    kit = ["-p", "sessiontracker.testing.plugin", "--pyargs", "sessiontracker.testing"]
    pytest.main([*own, *off, *kit, "--backend", kind.name(), *arguments], plugins=[failures])
    return failures


ALL_OF_IT = "SESSIONTRACKER_ALL_OF_THE_KIT" in os.environ
QUICK = "not storms and not sync-processes"

NEVER_DRAWN = {
    "a-day-at-most": "the walk's timeouts are shorter",
    "cuts-payloads-at-a-zero": "its payloads are plain",
}


def test_there_are_enough() -> None:
    assert len(BROKEN) >= 60
    assert all(kind.meant for kind in BROKEN)


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.name())
def test_it_fails_in_the_test_that_is_meant_for_it(kind: type[Twin], tmp_path: Path) -> None:
    answers_otherwise = "apply" in vars(kind) and kind.name() not in NEVER_DRAWN
    walks = "120" if answers_otherwise else "0"
    file = kind.meant.partition(".py")[0]
    chosen = QUICK if ALL_OF_IT else f"({file} or test_model) and {QUICK}"
    came = run_kit(kind, tmp_path, "--mode", "sync", "--seed", "1", "--walks", walks, "-k", chosen)
    assert any(name == kind.meant or name.startswith(kind.meant + "[") for name in came.failed)
    # The walk finds whatever answers otherwise than the machine.
    assert any(name.startswith("test_model.py") for name in came.failed) == answers_otherwise
    # What is not broken passes: of all of the kit, most.
    assert came.passed > (5 * len(came.failed) if ALL_OF_IT else 0), came.failed


# Without a clock that is moved, what takes time is left to the conformance run.
TIMELESS = ("--tick", "50", "-k", "not expiry and not locks and not waiting and not retries")


@pytest.mark.parametrize("kind", SOUND, ids=lambda kind: kind.name())
def test_the_unbroken_ones_pass(kind: type[Twin], tmp_path: Path) -> None:
    has_clock = Capability.CLOCK in kind.capabilities
    came = run_kit(kind, tmp_path, *(() if has_clock else TIMELESS))
    assert came.failed == set()
    assert came.passed > 100


TIMED = ("--tick", "50", "--mode", "sync", "-k", "test_each_session_expires_by_itself")


@pytest.mark.parametrize("late", [0.06, None])
def test_what_a_busy_machine_was_too_slow_for_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: float | None
) -> None:
    """In s; None: no time passes, which is not the machine's fault, and is told."""
    ticks: list[int] = []
    elapse = Store.elapse

    def badly(store: Store, count: float) -> None:
        ticks.append(store.tick)
        if late is not None:
            elapse(store, count)
            time.sleep(late)

    monkeypatch.setattr(Store, "elapse", badly)
    came = run_kit(ClocklessTwin, tmp_path, *TIMED)
    if late is None:
        assert len(came.failed) == 1
    else:
        assert (came.failed, came.passed) == (set(), 1)
        assert ticks[0] == 50
        assert ticks[-1] >= 200
