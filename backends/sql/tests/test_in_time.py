"""Connecting within a time: what comes too late is dropped, and nobody waits for it."""

from __future__ import annotations

import threading

import pytest

from sessiontracker_sql.in_time import in_time


def test_what_comes_in_time_is_given() -> None:
    assert in_time(lambda: 7, 30, pytest.fail) == 7


def test_what_goes_wrong_in_time_is_raised() -> None:
    def refuse() -> int:
        raise ConnectionRefusedError("nobody listens")

    with pytest.raises(ConnectionRefusedError, match="nobody listens"):
        in_time(refuse, 30, pytest.fail)


def test_a_timeout_of_its_own_is_raised() -> None:
    def give_up() -> int:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        in_time(give_up, 30, pytest.fail)


@pytest.mark.parametrize("fails", [False, True])
def test_what_comes_too_late_is_dropped(fails: bool) -> None:
    going_on = threading.Event()
    dropped: list[int] = []

    def make() -> int:
        going_on.wait(30)
        if fails:
            raise ConnectionResetError
        return 7

    with pytest.raises(TimeoutError):
        in_time(make, 0.01, dropped.append)
    assert not dropped
    threads = [each for each in threading.enumerate() if "connecting" in each.name]
    going_on.set()
    for thread in threads:
        thread.join(30)
    assert dropped == ([] if fails else [7])
