"""Durations: exact, and refused with a hint."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiontracker.durations import duration_ms, parse_duration, show_duration
from sessiontracker.errors import ConfigurationError
from sessiontracker.operations import FOREVER

DAY = 86_400_000


@pytest.mark.parametrize(
    "value,ms",
    [
        ("30m", 1_800_000),
        ("14d", 14 * DAY),
        ("1h30m", 5_400_000),
        ("90s", 90_000),
        ("250ms", 250),
        ("1m5ms", 60_005),
        ("1d2h3m4s5ms", DAY + 7_384_005),
        ("1.5h", 5_400_000),
        ("0.1s", 100),
        (" 30m ", 1_800_000),
        ("0s", 0),
        ("off", None),
        ("OFF", None),
        (None, None),
        (0, 0),
        (90, 90_000),
        (0.1, 100),
        (2.675, 2_675),
        (timedelta(days=14), 14 * DAY),
        (timedelta(days=14, microseconds=1_000), 14 * DAY + 1),
        (timedelta(milliseconds=FOREVER), FOREVER),
        (FOREVER // 1000, FOREVER // 1000 * 1000),
    ],
)
def test_a_duration_is_exact_in_milliseconds(value: object, ms: int | None) -> None:
    assert parse_duration(value, path="x") == ms


@pytest.mark.parametrize(
    "value,message",
    [
        ("30 minits", '"30 minits" is not a duration: write "30m", "1h30m" or "off"'),
        ("", '"" is not a duration'),
        ("30m1h", '"30m1h" is not a duration'),
        ("1m1m", "is not a duration"),
        ("1mm", "is not a duration"),
        ("1e3s", "is not a duration"),
        ("-5m", "is not a duration"),
        ("٣m", "is not a duration"),
        ("90", 'say of what, as in "90s" or "90m"'),
        (True, "True is not a duration"),
        ([30], "is not a duration"),
        (float("nan"), "nan is not a duration"),
        (float("inf"), "inf is not a duration"),
        (-1, "-1 is negative"),
        (-0.5, "is negative"),
        (timedelta(days=-1), "is negative"),
        (timedelta.min, "is negative"),
        (timedelta.max, "is longer than any store can count"),
        (10**20, "is longer than any store can count"),
        pytest.param(10**5000, "a huge int is longer than any store can count", id="huge"),
        (1e300, "is longer than any store can count"),
        ("104249992d", "is longer than any store can count"),
        ("9" * 99 + "d", "is longer than any store can count"),
        ("9" * 999 + "d", "is not a duration"),
        (1e-9, "is shorter than a millisecond"),
        ("0.1ms", "is shorter than a millisecond"),
        (timedelta(microseconds=1), "is shorter than a millisecond"),
    ],
)
def test_what_is_no_duration_says_what_to_write(value: object, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_duration(value, path="defaults.idle_timeout in s.toml")
    text = str(caught.value)
    assert text.startswith("defaults.idle_timeout in s.toml: ")
    assert message in text
    assert len(text) < 300
    assert "\n" not in text


def test_zero_is_allowed_only_where_it_makes_sense() -> None:
    assert duration_ms(0, "wait", zero=True) == 0
    assert duration_ms("5m", "idle_timeout") == 300_000
    assert duration_ms(None, "idle_timeout") is None
    values: list[Any] = [0, "0s", timedelta(0), "0m0s"]
    for value in values:
        with pytest.raises(ConfigurationError, match=r"lease: .* would end at once"):
            duration_ms(value, "lease")


@given(st.integers(0, FOREVER))
def test_what_is_shown_is_read_as_the_same(ms: int) -> None:
    assert parse_duration(show_duration(ms), path="x") == ms


@given(st.timedeltas(timedelta(0), timedelta(milliseconds=FOREVER)))
def test_a_timedelta_is_never_off_by_more_than_half_a_millisecond(value: timedelta) -> None:
    if timedelta(0) < value <= timedelta(microseconds=500):
        return
    ms = parse_duration(value, path="x")
    assert ms is not None
    assert abs(timedelta(milliseconds=ms) - value) <= timedelta(microseconds=500)


def test_off_is_shown_as_off() -> None:
    assert show_duration(None) == "off"
