"""What fails is told, unless this process stood still meanwhile."""

from __future__ import annotations

import pytest

from tests.paced import attempts, in_time


def test_a_failure_that_is_nobody_elses_is_told_at_once() -> None:
    paces: list[float] = []
    with pytest.raises(AssertionError):
        for attempt in attempts(stands=1e9):
            with attempt as pace:
                paces.append(pace)
                raise AssertionError
    assert paces == [1]


def test_whoever_stood_still_is_asked_again_at_twice_the_pace_but_not_for_ever() -> None:
    paces: list[float] = []
    with pytest.raises(AssertionError):
        for attempt in attempts(stands=0.1):
            with attempt as pace:
                attempt._watch.stood = pace
                paces.append(pace)
                raise AssertionError
    assert paces == [1, 2, 4, 8, 16]


def test_what_succeeds_is_tried_once() -> None:
    paces: list[float] = []
    for attempt in attempts(stands=0.1):
        with attempt as pace:
            paces.append(pace)
    assert paces == [1]


def test_what_is_late_each_time_is_told() -> None:
    late = iter([3.0, 1.0])
    in_time(lambda: next(late), 2.0)
    with pytest.raises(AssertionError):
        in_time(lambda: 3.0, 2.0)
