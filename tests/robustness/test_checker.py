"""The checker against the machine: what the machine did is legal, and what it did not is not."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from sessiontracker.machine import apply
from sessiontracker.operations import (
    Deleted,
    Found,
    Granted,
    InProgress,
    Outcome,
    Saved,
    Stale,
)
from sessiontracker.state import EMPTY, Slot
from tests.robustness.checker import Rolled, check, check_key
from tests.robustness.drawing import WRONG, draw
from tests.robustness.history import OK, UNKNOWN, Answer, Call, Do, Hold, Stamp
from tests.robustness.model import ERRORS, operation_of
from tests.robustness.timing import Timeouts

DOS: tuple[Do, ...] = (
    "start",
    "get",
    "get_finished",
    "touch",
    "update",
    "finish",
    "finish_session",
    "resume",
    "delete",
    "get_locked",
    "save",
    "unlock",
)


class Made:
    """A history as several clients at once would have made it on a store that is right."""

    def __init__(self, seed: int, length: int = 60, unknown: float = 0.1) -> None:
        self.random = Random(seed)
        self.slot: Slot = EMPTY
        self.stamps: list[Stamp] = []
        self.holds: list[Hold] = []
        self.calls = [self.call(number, unknown) for number in range(length)]

    def call(self, number: int, unknown: float) -> Call:
        random = self.random
        do = random.choice(DOS)
        at = number * 10  # it takes effect here
        begin, end = at - random.randrange(40), at + random.randrange(1, 40)
        stamp: Stamp | None = None
        hold: Hold | None = None
        if do in ("update", "finish_session", "save"):
            stamp = random.choice(self.stamps[-2:]) if self.stamps else (1, 1, 1)
        if do in ("save", "unlock"):
            hold = self.holds.pop() if self.holds else (number, 1)
        elif do in ("update", "finish", "start") and self.holds and random.random() < 0.5:
            hold = self.holds[-1]
        call = Call(
            number=number,
            client="",
            do=do,
            key="",
            begin=begin,
            end=end,
            stamp=stamp,
            value=f"v{number}" if do in ("start", "update", "finish_session", "save") else None,
            hold=hold,
            lease=10**9 if do == "get_locked" else None,
        )
        # What it did, with the id that it will be known to have had.
        id = random.getrandbits(62) + 1
        done = replace(call, answer=Answer(OK, (0, 0, id)))
        now = 1_000_000 + number
        self.slot, outcome = apply(self.slot, operation_of(done), now)
        answer = answer_of(outcome)
        if isinstance(outcome, Granted):
            self.holds.append((number, outcome.token))
        if answer.stamp is not None:
            self.stamps.append(answer.stamp)
        if random.random() < unknown and do not in ("get_locked", "save", "unlock"):
            return replace(call, end=None, answer=Answer(UNKNOWN))
        return replace(call, answer=answer)


def answer_of(outcome: Outcome) -> Answer:
    found = outcome
    if isinstance(outcome, (Granted, InProgress)):
        found = outcome.found
    stamp = value = None
    if isinstance(found, (Found, Saved)):
        stamp = (found.meta.life, found.meta.version, found.meta.write)
    if isinstance(found, Found):
        value = found.payload.decode()
    names = {kind: name for name, kind in reversed(ERRORS.items())}
    return Answer(
        names.get(type(outcome), OK),
        stamp,
        value,
        outcome.token if isinstance(outcome, Granted) else None,
        outcome.actual if isinstance(outcome, Stale) else None,
        outcome.existed if isinstance(outcome, Deleted) else None,
    )


@pytest.mark.parametrize("seed", range(150))
def test_what_the_machine_did_is_legal(seed: int) -> None:
    assert check_key(Made(seed).calls) is None


def test_what_the_machine_would_not_have_answered_is_illegal() -> None:
    """Of single answers that are made up, nearly all contradict the others."""
    caught = tried = 0
    for seed in range(150):
        made = Made(seed, unknown=0.05)
        told = [call for call in made.calls if call.answer.stamp and call.do == "get"]
        if not told:
            continue
        call = made.random.choice(told)
        assert call.answer.stamp is not None
        life, version, write = call.answer.stamp
        wrong = replace(call.answer, stamp=(life, version + made.random.choice((-1, 1)), write))
        calls = [replace(each, answer=wrong) if each is call else each for each in made.calls]
        tried += 1
        caught += check_key(calls) is not None
    assert tried > 30
    assert caught == tried


def call(number: int, do: Do, begin: int, what: str, stamp: Stamp | None = None) -> Call:
    value = "v" if stamp else None
    return Call(
        number=number, client="", do=do, key="", begin=begin, end=begin + 5, value=value,
        answer=Answer(what, stamp, value),
    )  # fmt: skip


LOST = [call(0, "start", 0, OK, (7, 1, 7)), call(1, "get", 50, "SessionNotFoundError")]


def test_what_a_failover_lost_is_lost_in_it_alone() -> None:
    illegal = check(LOST)
    assert illegal is not None
    assert illegal.call is LOST[1]
    assert WRONG in draw(illegal, "lost")
    assert check_key(LOST, rollbacks=[Rolled(0, 30, frozenset([""]))]) is None
    # What was done long before is not lost, nor is what is read after it lost again.
    assert check_key(LOST, rollbacks=[Rolled(10, 30, frozenset([""]))]) is not None
    again = [*LOST, call(2, "get", 60, OK, (7, 1, 7))]
    assert check_key(again, rollbacks=[Rolled(0, 30, frozenset([""]))]) is not None


def test_what_expires_is_there_until_then_and_not_afterwards() -> None:
    timeouts = Timeouts(absolute=40, slack=1)
    assert check_key(LOST, timeouts) is None
    too_long = [LOST[0], call(1, "get", 50, OK, (7, 1, 7))]
    assert check_key(too_long, timeouts) is not None
    too_short = [LOST[0], call(1, "get", 30, "SessionNotFoundError")]
    assert check_key(too_short, timeouts) is not None


def test_a_touch_that_does_not_say_what_it_touched_may_have_touched_the_next() -> None:
    calls = [
        call(0, "start", 0, OK, (7, 1, 7)),
        call(1, "start", 43, OK, (8, 1, 8)),
        call(2, "touch", 44, OK),
    ]
    assert check_key(calls, Timeouts(idle=40, slack=1)) is None


@pytest.mark.parametrize(
    "what,is_legal",
    [("BackendUnavailableError", True), (UNKNOWN, True), ("LockNotAcquiredError", False)],
)
def test_who_could_not_ask_any_more_may_be_in_the_queue_yet(what: str, is_legal: bool) -> None:
    """It was queued by an earlier look, and its place is let go behind it; who was refused the
    lock has left the queue in that very step."""
    calls = [
        replace(call(1, "lock", 0, OK), answer=Answer(OK, token=5), lease=10**9),
        call(2, "lock", 10, what),
        replace(call(3, "unlock", 20, OK), hold=(1, 5)),
        call(4, "start", 50, "SessionLockedError"),
    ]
    illegal = check_key(calls)
    assert (illegal is None) == is_legal
    assert is_legal or illegal.call is calls[3]


def test_who_waited_before_a_failover_may_be_in_the_queue_again() -> None:
    calls = [
        replace(call(1, "lock", 0, OK), answer=Answer(OK, token=5), lease=10**9),
        call(2, "lock", 10, "LockNotAcquiredError"),
        replace(call(3, "unlock", 42, OK), hold=(1, 5)),
        call(4, "start", 50, "SessionLockedError"),
    ]
    everything = frozenset([""])
    assert check_key(calls) is not None
    assert check_key(calls, rollbacks=[Rolled(17, 40, everything)]) is not None
    assert check_key(calls, rollbacks=[Rolled(12, 40, everything)]) is None


@pytest.mark.parametrize(
    "life,what,is_legal",
    [((7, 1, 7), "SessionNotFoundError", True), (None, OK, True), ((7, 1, 7), OK, False)],
)
def test_who_waits_once_more_after_a_failover_lets_go_of_that(
    life: Stamp | None, what: str, is_legal: bool
) -> None:
    """The lock that it took since then is lost, and nobody says so: its ticket is known."""
    calls = [
        replace(call(1, "lock", 0, OK), answer=Answer(OK, token=5), lease=10**9),
        replace(call(2, "lock", 8, OK), end=30, answer=Answer(OK, token=6), lease=10**9),
        replace(call(3, "start", 14, OK, (7, 1, 7)), hold=(1, 5)),
        replace(call(4, "unlock", 20, OK), hold=(1, 5)),
        call(5, "get", 42, "SessionNotFoundError"),
        replace(call(6, "unlock", 50, what), hold=(2, 6), stamp=life),
    ]
    everything = frozenset([""])
    assert check_key(calls) is not None
    assert (check_key(calls, rollbacks=[Rolled(12, 40, everything)]) is None) == is_legal
    assert check_key(calls, rollbacks=[Rolled(20, 40, everything)]) is not None


def test_what_a_failover_undoes_may_then_be_refused() -> None:
    """It was done without an answer, asked for once more, and refused by those who came before."""
    calls = [
        call(1, "start", 0, OK, (7, 1, 7)),
        replace(call(2, "finish", 10, "SessionLockedError"), end=60),
        call(3, "get_finished", 20, OK, (7, 2, 9)),
        replace(call(4, "lock", 42, OK), answer=Answer(OK, token=5), lease=10**9),
    ]
    everything = frozenset([""])
    assert check_key(calls) is not None
    assert check_key(calls, rollbacks=[Rolled(8, 40, everything)]) is None
    # If it is there yet, it is known to be; and if not, it is done no more.
    assert check_key(calls, rollbacks=[Rolled(30, 40, everything)]) is not None
    again = [*calls, call(5, "get_finished", 70, OK, (7, 2, 9))]
    assert check_key(again, rollbacks=[Rolled(8, 40, everything)]) is not None


def test_what_a_failover_undoes_may_then_be_done_otherwise() -> None:
    calls = [
        call(1, "start", 0, OK, (7, 1, 7)),
        replace(call(2, "update", 5, OK, (7, 2, 8)), stamp=(7, 1, 7)),
        replace(call(3, "finish", 12, OK, (7, 2, 9)), end=60),
        call(4, "get_finished", 20, OK, (7, 3, 9)),
    ]
    assert check_key(calls, rollbacks=[Rolled(3, 40, frozenset([""]))]) is None
    assert check_key(calls, rollbacks=[Rolled(11, 40, frozenset([""]))]) is not None
