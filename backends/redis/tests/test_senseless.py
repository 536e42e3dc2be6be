"""Answers that no script of ours gives: errors that say what came, and none of Python's own."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import InvalidResponse, MovedError

from sessiontracker.backend import BackendError, OutcomeUnknownError
from sessiontracker.operations import Address, CountOwner, Failed, ListOwner, Locked, Read, Start
from sessiontracker_redis._sync.backend import RedisBackend
from sessiontracker_redis.options import Options
from sessiontracker_redis.slots import ranges, redirection

PLAIN = Address("checkout", "", "kone")
OWNER = Address("login", "c2NvcGUgb2YgMTI4IGJpdA", "")


@pytest.fixture
def closed() -> RedisBackend:
    """Connected to nothing."""
    return RedisBackend(Options(where="backends.hot", url="redis://127.0.0.1:1"))


def told(backend: RedisBackend, operation: Any, reply: Any) -> Any:
    [outcome] = backend._outcomes(backend._packed([operation]), [reply])
    return outcome


def deep(depth: int) -> Any:
    reply: Any = []
    for _ in range(depth):
        reply = [reply]
    return reply


@pytest.mark.parametrize(
    "reply",
    [[], {}, 7, 1.5, True, "text", [99], [[1]], [b"x"], [None], [8, b"web-1", b"soon"], [8], [3],
     [13, b"x"], [10, b"x", 1], [1, 7], [2, None], deep(1_000), b"9" * 19],
)  # fmt: skip
def test_an_answer_of_the_wrong_shape_says_what_came(closed: RedisBackend, reply: Any) -> None:
    failed = told(closed, Start(PLAIN, 1, b""), reply)
    if type(failed).__name__ != "Broken":  # of what is a text it may be that the store has it
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, OutcomeUnknownError)
        assert "backends.hot: the server answered with " in str(failed.error)
        assert len(str(failed.error)) < 600
    failed = told(closed, CountOwner(OWNER), reply)
    assert isinstance(failed, (Failed, Locked))


def test_reading_leaves_nothing_unknown(closed: RedisBackend) -> None:
    for operation in (Read(PLAIN), ListOwner(OWNER), CountOwner(OWNER)):
        failed = told(closed, operation, [77])
        assert isinstance(failed, Failed)
        assert type(failed.error) is BackendError


def test_an_answer_to_several_that_are_one_command(closed: RedisBackend) -> None:
    asked = [Read(PLAIN), Read(Address("checkout", "", "ktwo"))]
    batch = closed._packed(asked)
    assert len(batch.commands) == 1
    for reply in ([], [b"x"], [b"x", b"y", b"z"], 7):
        assert len(closed._outcomes(batch, [reply])) == 2


@pytest.mark.parametrize(
    "reply",
    [
        [7],
        [[0, 16383]],
        [[0, 16383, 7]],
        [[b"a", b"b", [b"h", 1, b"id"]]],
        [[0, 10**12, [b"h", 1, b"id"]]],
        [[5, 3, [b"h", 1, b"id"]]],
        [[-1, 3, [b"h", 1, b"id"]]],
    ],
)
def test_slots_that_are_none(reply: Any) -> None:
    with pytest.raises(InvalidResponse, match="CLUSTER SLOTS"):
        ranges(reply, ("h", 1))


@pytest.mark.parametrize("said", ["MOVED 16384 h:1", "MOVED 99900001 h:1", "MOVED", "MOVED -1 h:1"])
def test_a_redirection_to_no_slot_is_none(said: str) -> None:
    error: Any = MovedError("7 h:1")
    error.args = (said,)
    assert redirection(error, ("h", 1)) is None
