"""An owner's slot in the server: how many keys there are, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from sessiontracker.contract import new_id
from sessiontracker.keys import new_scope
from sessiontracker.operations import (
    FOREVER,
    Acquire,
    Address,
    Delete,
    Ended,
    EndOwner,
    Finish,
    Found,
    FoundShared,
    Granted,
    Limit,
    LimitReached,
    Listed,
    ListOwner,
    Missing,
    Operation,
    Outcome,
    Read,
    ReadShared,
    Release,
    Released,
    Resume,
    Rotate,
    Saved,
    SavedShared,
    Start,
    Touch,
    WriteShared,
)

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

Ask = Callable[[Operation], Outcome]


class Owner:
    """One that no test has used before, and the server's keys of it."""

    def __init__(self, ask: Ask, client: Any, prefix: str) -> None:
        self.ask = ask
        self.address = Address("login", new_scope(), "")
        self._client = client
        self._begin = f"{prefix}login:{{{self.address.scope}}}"

    def at(self, key: str) -> Address:
        return Address(self.address.type, self.address.scope, key)

    def name(self, end: str) -> str:
        return f"{self._begin}:{end}"

    def start(self, key: str, idle: int = HOUR, **more: Any) -> Saved:
        outcome = self.ask(Start(self.at(key), new_id(), b"x", "alice", idle=idle, **more))
        assert isinstance(outcome, Saved), outcome
        return outcome

    def share(self, keep: int = HOUR) -> None:
        outcome = self.ask(WriteShared(self.address, new_id(), 0, 0, b"dark", keep))
        assert isinstance(outcome, SavedShared), outcome

    def left(self) -> dict[str, int]:
        """For how many minutes, rounded up, each of the keys will be there; -1: for ever."""
        ends = ("ah", "ap", "fh", "fp", "lh", "o")
        left = {end: self._client.pttl(self.name(end)) for end in ends}
        return {name: -1 if ms == -1 else -(-ms // MINUTE) for name, ms in left.items() if ms != -2}


@pytest.fixture
def owner(ask: Ask, client: Any, prefix: str) -> Owner:
    return Owner(ask, client, prefix)


def test_an_owner_s_keys_are_few_and_last_as_long_as_the_longest_session(owner: Owner) -> None:
    owner.start("ka", HOUR)
    owner.start("kb", 3 * HOUR)
    owner.start("kc", 2 * HOUR)
    assert owner.left() == {"ah": 180, "ap": 180}
    owner.start("kd", 0)
    assert owner.left() == {"ah": -1, "ap": -1}


def test_when_the_longest_has_gone_the_keys_go_sooner(owner: Owner) -> None:
    owner.start("ka", HOUR)
    owner.start("kb", 3 * HOUR)
    owner.start("kc", 0)
    owner.share(MINUTE)
    assert owner.left() == {"ah": -1, "ap": -1, "o": -1}
    assert isinstance(owner.ask(Finish(owner.at("kc"), new_id(), 2 * HOUR)), Found)
    assert owner.left() == {"ah": 180, "ap": 180, "fh": 120, "fp": 120, "o": 180}
    owner.ask(Delete(owner.at("kb"), new_id()))
    left = owner.left()
    assert left.pop("lh") in (1, 2)  # the deed, for a minute, and a second more
    assert left == {"ah": 60, "ap": 60, "fh": 120, "fp": 120, "o": 120}
    assert isinstance(owner.ask(EndOwner(owner.address, new_id(), 4 * HOUR)), Ended)
    left = owner.left()
    assert left.pop("lh") <= 241
    assert left == {"fh": 240, "fp": 240, "o": 240}
    assert owner.ask(EndOwner(owner.address, new_id())) == Ended(2)
    assert max(owner.left().values()) <= 2


def test_those_who_started_in_the_same_moment_are_listed_by_their_keys(
    owner: Owner, client: Any
) -> None:
    for key in ("kc", "ka", "kd", "kb"):
        owner.start(key)
    heads = owner.name("ah")
    client.hset(heads, mapping=dict.fromkeys(("ka", "kb", "kc"), client.hget(heads, "ka")))
    client.hset(heads, "kd", b"no session")
    listed = owner.ask(ListOwner(owner.address))
    assert isinstance(listed, Listed)
    assert [item.address.key for item in listed.items] == ["ka", "kb", "kc"]


def test_who_is_kept_stays_as_they_were_when_all_others_go(owner: Owner) -> None:
    owner.share(MINUTE)
    for key, idle in ("ka", HOUR), ("kb", 3 * HOUR), ("kc", 0):
        owner.start(key, idle)
        owner.ask(Finish(owner.at(key), new_id(), idle or FOREVER))
        owner.start(key, 2 * idle)
    ticket = new_id()
    assert isinstance(owner.ask(Acquire(owner.at("ka"), ticket, MINUTE)), Granted)
    kept = [Read(owner.at("ka")), Read(owner.at("ka"), finished=True)]
    before = [owner.ask(read) for read in kept]
    assert owner.ask(EndOwner(owner.address, new_id(), keep="ka")) == Ended(4)
    assert [owner.ask(read) for read in kept] == before
    left = owner.left()
    assert left.pop("lh") <= 122  # as long as the session, and a second more
    assert left == {"ah": 120, "ap": 120, "fh": 60, "fp": 60, "o": 120}
    assert isinstance(owner.ask(Release(owner.at("ka"), ticket)), Released)
    assert owner.ask(EndOwner(owner.address, new_id(), keep="ka")) == Ended(0)


@pytest.mark.parametrize("retention", [None, 0, HOUR])
def test_more_are_ended_at_once_than_a_command_of_a_script_can_name(
    owner: Owner, client: Any, retention: int | None
) -> None:
    owner.start("ka")
    head, payload = client.hget(owner.name("ah"), "ka"), client.hget(owner.name("ap"), "ka")
    names = [f"k{number}" for number in range(9_000)]
    client.hset(owner.name("ah"), mapping=dict.fromkeys(names, head))
    client.hset(owner.name("ap"), mapping=dict.fromkeys(names, payload))
    end = EndOwner(owner.address, new_id(), retention, keep="ka")
    assert owner.ask(end) == owner.ask(end) == Ended(9_000)
    assert client.hkeys(owner.name("ah")) == client.hkeys(owner.name("ap")) == [b"ka"]
    finished = 9_000 if retention else 0
    assert client.hlen(owner.name("fh")) == client.hlen(owner.name("fp")) == finished
    assert owner.ask(EndOwner(owner.address, new_id())) == Ended(finished + 1)


def test_a_session_that_slides_takes_what_is_shared_along(owner: Owner) -> None:
    owner.start("ka", 2 * HOUR)
    owner.share(MINUTE)
    meta = owner.start("kb", HOUR).meta
    assert owner.left() == {"ah": 120, "ap": 120, "o": 120}
    owner.start("kc", 3 * HOUR)
    assert owner.left() == {"ah": 180, "ap": 180, "o": 180}
    owner.ask(Rotate(owner.at("kb"), new_id(), meta.stamp, b"y", "kd"))
    owner.ask(Delete(owner.at("kc"), new_id()))
    assert owner.left()["ah"] == 120
    assert isinstance(owner.ask(Touch(owner.at("ka"))), Saved)
    assert owner.left()["ah"] == 120


def test_a_lock_lasts_as_long_as_its_token(owner: Owner) -> None:
    ticket = new_id()
    owner.start("ka", MINUTE)
    acquire = Acquire(owner.at("ka"), ticket, MINUTE, keep=2 * HOUR)
    assert isinstance(owner.ask(acquire), Granted)
    owner.ask(Release(owner.at("ka"), ticket))
    left = owner.left()
    assert left.pop("lh") in (121, 122)  # two hours, a minute, and a second more
    assert left == {"ah": 1, "ap": 1}
    owner.ask(Delete(owner.at("ka"), new_id()))
    assert owner.left().keys() == {"lh"}


def test_who_makes_room_for_nothing_is_kept_by_nothing(owner: Owner) -> None:
    owner.start("ka", DAY)
    owner.start("kb", HOUR, limit=Limit(1, finish_oldest=True))
    left = owner.left()
    assert left.pop("lh") in (1, 2)
    assert left == {"ah": 60, "ap": 60}
    one_more = Start(owner.at("kc"), new_id(), b"", limit=Limit(1))
    assert owner.ask(one_more) == LimitReached(1)
    assert isinstance(owner.ask(Finish(owner.at("kb"), new_id(), DAY)), Found)
    assert isinstance(owner.ask(Resume(owner.at("kb"), new_id(), limit=Limit(1))), Found)
    assert {name: owner.left()[name] for name in ("ah", "ap")} == {"ah": 60, "ap": 60}


def test_what_expired_is_removed_when_another_begins(
    open_backend: Callable[..., Any], any_url: str, client: Any, prefix: str
) -> None:
    """After the minute for which it is remembered."""
    now = time.time_ns() // 1000
    backend = open_backend(any_url, clock=lambda: now)
    owner = Owner(lambda operation: backend.execute([operation])[0], client, prefix)
    for number in range(20):
        owner.start(f"k{number}", 1_000)
        now += 10_000_000
    assert client.hlen(owner.name("ah")) == client.hlen(owner.name("ap")) == 6


def test_for_ever_is_for_ever(owner: Owner) -> None:
    owner.start("ka", 0)
    owner.ask(Finish(owner.at("ka"), new_id(), FOREVER))
    owner.share(FOREVER)
    assert owner.left() == {"fh": -1, "fp": -1, "o": -1}
    assert owner.ask(EndOwner(owner.address, new_id())) == Ended(1)
    assert owner.left()["o"] == -1


def test_reading_what_is_not_there_leaves_nothing(owner: Owner) -> None:
    assert owner.ask(Read(owner.at("ka"), slide=True)) == Missing()
    assert owner.ask(ListOwner(owner.address)) == Listed([])
    assert owner.ask(ReadShared(owner.address)) == FoundShared(None)
    assert owner.ask(EndOwner(owner.address, new_id())) == Ended(0)
    assert owner.left() == {}
