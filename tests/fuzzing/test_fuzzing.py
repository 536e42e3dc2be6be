"""A few inputs for each target, by default; ``nox -s fuzz`` is a million."""

from __future__ import annotations

import logging
import time
from random import Random

import pytest

from sessiontracker.errors import InvalidKeyError

from .harness import Target, run
from .targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_only_errors_of_ours(name: str) -> None:
    with TARGETS[name]() as target:
        report = run(target, 0, range(target.few))
    assert not report.failures, report.failures[0].trace
    assert sum(report.outcomes.values()) == target.few


class Toy(Target):
    """Refuses, fails, and takes its time."""

    name, share, patience = "toy", 1, 0.001

    def attempt(self, random: Random) -> None:
        self.made = random.randrange(4)
        if self.made == 0:
            raise KeyError("not ours")
        if self.made == 1:
            raise InvalidKeyError("ours, and it says why")
        if self.made == 2:
            raise InvalidKeyError("")
        if self.made == 3:
            time.sleep(10 * self.patience)


def test_what_is_not_ours_is_found_and_can_be_made_again() -> None:
    log = logging.getLogger("sessiontracker")
    level = log.level
    report = run(Toy(), 0, range(40))
    assert log.level == level
    assert not report.is_sound
    kinds = {failure.what.partition("(")[0]: failure for failure in report.failures}
    assert {"KeyError", "InvalidKeyError", "TimeoutError"} <= kinds.keys()
    assert report.outcomes["InvalidKeyError"] > 0
    again = Toy()
    with pytest.raises(KeyError, match="not ours"):
        again.attempt(Random(f"toy/0/{kinds['KeyError'].number}"))
