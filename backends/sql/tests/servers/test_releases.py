"""A lock that is let go, alone or with what is saved: in one statement, or as ever."""

from __future__ import annotations

from time import sleep
from typing import Any

import pytest

from sessiontracker.backend import operations as kinds
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql.mysql import MySQL
from sessiontracker_sql.talk import Query
from tests.conditions import eventually

from .conftest import POSTGRESQL, Admin, OpenBackend

HOLDER, WAITER, NEXT, LAST = 7, 8, 9, 10


def one(backend: ServerBackend, operation: Any) -> Any:
    [outcome] = backend.execute([operation])
    return outcome


class Held:
    """A session whose lock HOLDER has, and what it takes to save and to let go."""

    def __init__(self, backend: ServerBackend, address: kinds.Address) -> None:
        self.backend, self.address = backend, address
        self.started = one(backend, kinds.Start(address, 1, b"as it was", idle=60_000))
        granted = one(backend, kinds.Acquire(address, HOLDER, 60_000))
        self.hold = kinds.Hold(HOLDER, granted.token)

    def queue(self, *tickets: int, look_every: int = 60_000) -> None:
        for ticket in tickets:
            acquire = kinds.Acquire(
                self.address, ticket, 60_000, f"of {ticket} ✓", look_every=look_every
            )
            assert isinstance(one(self.backend, acquire), kinds.Queued)

    def release(self, *, life: int = 0, since: int = 0) -> kinds.Release:
        return kinds.Release(self.address, HOLDER, life, since)

    def write(self, *, release: bool = True, hold: kinds.Hold | None = None) -> kinds.Write:
        stamp = self.started.meta.stamp
        return kinds.Write(self.address, 2, stamp, b"new", hold or self.hold, release)


@pytest.fixture
def held(backend: ServerBackend, address: kinds.Address) -> Held:
    return Held(backend, address)


WAYS = pytest.mark.parametrize("way", ["release", "release of a life", "write"])


def let_go(held: Held, way: str) -> Any:
    if way == "write":
        return held.write()
    return held.release(life=held.started.meta.life if way == "release of a life" else 0)


@WAYS
@pytest.mark.parametrize("url", POSTGRESQL, indirect=True)
@pytest.mark.parametrize("waiting", [(), (WAITER,), (WAITER, NEXT, LAST)], ids=len)
def test_it_is_one_statement(
    asked: list[Query], held: Held, prefix: str, way: str, waiting: tuple[int, ...]
) -> None:
    held.queue(*waiting)
    asked.clear()
    outcome = one(held.backend, let_go(held, way))
    assert len([query for query in asked if f"{prefix}keys k" in query.text]) == 1
    assert isinstance(outcome, kinds.Saved if way == "write" else kinds.Released)


@WAYS
def test_who_is_first_in_line_has_the_claim_and_the_others_their_places(
    held: Held, way: str
) -> None:
    held.queue(WAITER, NEXT, LAST)
    one(held.backend, let_go(held, way))
    another = one(held.backend, kinds.Acquire(held.address, 5, 1, queue=False))
    assert another.holder == f"of {WAITER} ✓"
    assert 0 < another.expires_in <= 90_000
    for ticket in (WAITER, NEXT, LAST):
        granted = one(held.backend, kinds.Acquire(held.address, ticket, 60_000))
        assert granted.token > held.hold.token
        assert one(held.backend, kinds.Release(held.address, ticket)) == kinds.Released()
    assert isinstance(one(held.backend, kinds.Acquire(held.address, 5, 1)), kinds.Granted)


@WAYS
def test_the_claim_is_told_to_whom_it_is(held: Held, way: str, backend: ServerBackend) -> None:
    held.queue(WAITER)
    one(backend, let_go(held, way))
    backend.wait(WAITER, 0.0)
    assert WAITER in backend._hints.claimed


@WAYS
def test_who_died_in_line_is_passed_over(held: Held, way: str) -> None:
    held.queue(WAITER, look_every=10)
    held.queue(NEXT)
    sleep(0.05)
    one(held.backend, let_go(held, way))
    assert isinstance(one(held.backend, kinds.Acquire(held.address, NEXT, 1)), kinds.Granted)


def test_what_was_saved_is_there_and_the_lock_is_free(held: Held) -> None:
    saved = one(held.backend, held.write())
    found = one(held.backend, kinds.Read(held.address))
    assert (found.payload, found.meta) == (b"new", saved.meta)
    assert saved.meta.version == 2
    assert one(held.backend, held.write()) == saved  # a repeat
    assert isinstance(one(held.backend, kinds.Acquire(held.address, NEXT, 1)), kinds.Granted)
    assert one(held.backend, kinds.Acquire(held.address, HOLDER, 1)) == kinds.Lost()


def test_who_saves_and_goes_on_keeps_the_lock(held: Held) -> None:
    held.queue(WAITER, NEXT)
    saved = one(held.backend, held.write(release=False))
    assert saved.meta.version == 2
    assert isinstance(
        one(held.backend, kinds.Acquire(held.address, 5, 1, queue=False)), kinds.Locked
    )
    following = kinds.Write(held.address, 3, saved.meta.stamp, b"newer", held.hold, True)
    assert one(held.backend, following).meta.version == 3
    assert isinstance(one(held.backend, kinds.Acquire(held.address, WAITER, 1)), kinds.Granted)


def test_nobody_saves_with_a_lock_that_is_not_its_own(held: Held) -> None:
    for hold in (
        kinds.Hold(HOLDER, 0),
        kinds.Hold(HOLDER, held.hold.token - 1),
        kinds.Hold(HOLDER, held.hold.token + 1),
        kinds.Hold(WAITER, held.hold.token),
    ):
        assert one(held.backend, held.write(hold=hold)) == kinds.Lost()
    assert one(held.backend, kinds.Release(held.address, WAITER)) == kinds.Lost()
    assert one(held.backend, kinds.Read(held.address)).payload == b"as it was"
    assert isinstance(
        one(held.backend, kinds.Acquire(held.address, 5, 1, queue=False)), kinds.Locked
    )


def test_a_claim_is_no_lock_to_save_with(held: Held) -> None:
    held.queue(WAITER)
    one(held.backend, held.release())
    hold = kinds.Hold(WAITER, 0)
    assert one(held.backend, held.write(hold=hold)) == kinds.Lost()
    assert isinstance(one(held.backend, kinds.Acquire(held.address, WAITER, 1)), kinds.Granted)


def test_one_ticket_at_two_places_is_let_go_where_it_has_the_lock(
    held: Held, backend: ServerBackend
) -> None:
    other = kinds.Address("checkout", "", "korder-43")
    one(backend, kinds.Acquire(other, NEXT, 60_000))
    both = [held.release(), kinds.Release(other, HOLDER)]
    assert backend.execute(both) == [kinds.Released(), kinds.Lost()]
    assert isinstance(one(backend, kinds.Acquire(other, 5, 1, queue=False)), kinds.Locked)


@pytest.mark.parametrize("look_every", [-1, 2**63, 2**64])
def test_whoever_waits_harms_nobody_else(held: Held, look_every: int) -> None:
    ticket = 2**63 - 1
    odd = kinds.Acquire(held.address, ticket, 60_000, look_every=look_every)
    elsewhere = kinds.Read(kinds.Address("checkout", "", "k2"))
    _, missing = held.backend.execute([odd, elsewhere])
    assert missing == kinds.Missing()
    assert isinstance(one(held.backend, kinds.Read(held.address)), kinds.Found)
    one(held.backend, held.release())
    one(held.backend, kinds.Release(held.address, ticket))
    assert isinstance(one(held.backend, kinds.Acquire(held.address, NEXT, 1)), kinds.Granted)


def test_a_lease_that_has_lapsed_is_none(backend: ServerBackend, address: kinds.Address) -> None:
    held = Held(backend, address)
    short = one(backend, kinds.Renew(address, HOLDER, held.hold.token, 1))
    assert isinstance(short, kinds.Granted)
    free = kinds.Acquire(address, NEXT, 60_000, queue=False)
    eventually(lambda: isinstance(one(backend, free), kinds.Granted))
    assert one(backend, held.write()) == kinds.Lost()
    assert one(backend, held.release()) == kinds.Lost()
    assert isinstance(one(backend, kinds.Acquire(address, 5, 1, queue=False)), kinds.Locked)


def test_a_life_that_has_ended_is_told_and_the_lock_let_go(held: Held) -> None:
    life = held.started.meta.life
    one(held.backend, kinds.Delete(held.address, 2, lock=held.hold))
    held.queue(WAITER)
    assert one(held.backend, held.release(life=life)) == kinds.Missing()
    assert isinstance(one(held.backend, kinds.Acquire(held.address, WAITER, 1)), kinds.Granted)


def test_many_that_are_let_go_at_once(backend: ServerBackend) -> None:
    many = [Held(backend, kinds.Address("checkout", "", f"korder-{n}")) for n in range(5)]
    for held in many[1:]:
        held.queue(WAITER + 100 * int(held.address.key[-1]), NEXT)
    steps: list[Any] = [held.release() for held in many[:3]] + [held.write() for held in many[3:]]
    outcomes = backend.execute([*steps, kinds.Release(many[0].address, LAST)])
    assert outcomes[:3] == [kinds.Released()] * 3
    assert all(isinstance(each, kinds.Saved) for each in outcomes[3:5])
    assert outcomes[5] == kinds.Lost()
    assert isinstance(one(backend, kinds.Acquire(many[0].address, LAST, 1)), kinds.Granted)
    for held in many[1:]:
        ticket = WAITER + 100 * int(held.address.key[-1])
        assert isinstance(one(backend, kinds.Acquire(held.address, ticket, 1)), kinds.Granted)


@WAYS
def test_a_row_that_a_stranger_has_locked_is_not_waited_for(
    held: Held, way: str, stranger: Admin, prefix: str
) -> None:
    stranger.execute("BEGIN")
    stranger.execute(f"SELECT 1 FROM {prefix}keys FOR UPDATE")
    assert isinstance(one(held.backend, let_go(held, way)), kinds.Unavailable)
    stranger.execute("ROLLBACK")
    done = one(held.backend, let_go(held, way))
    assert isinstance(done, (kinds.Saved, kinds.Released))


@WAYS
@pytest.mark.parametrize("url", POSTGRESQL, indirect=True)
@pytest.mark.parametrize("queue", ["", "00", "ff" * 28, "00" * 27 + "01", "00" * 29])
def test_a_queue_that_is_none_is_told(
    held: Held, way: str, stranger: Admin, prefix: str, queue: str
) -> None:
    stranger.execute(f"UPDATE {prefix}keys SET queue = decode('{queue}', 'hex')")
    assert isinstance(one(held.backend, let_go(held, way)), kinds.Broken)


NOW = 2_000_000_000_000_000


@pytest.mark.parametrize("url", POSTGRESQL, indirect=True)
@pytest.mark.parametrize("looks", [(), (1_000,), (1_001, 3, 70_000), (5, 1_000)], ids=str)
@pytest.mark.parametrize("after", [0, 1_999, 2_001], ids="{} ms".format)
@WAYS
def test_the_server_leaves_what_the_machine_would(
    open_backend: OpenBackend, stranger: Admin, prefix: str, monkeypatch: pytest.MonkeyPatch,
    way: str, looks: tuple[int, ...], after: int,
) -> None:  # fmt: skip
    left: list[Any] = []
    for by_machine in (False, True):
        now = NOW
        backend = open_backend(clock=lambda: now)  # noqa: B023
        if by_machine:
            monkeypatch.setattr(type(backend._server), "can_save", lambda *_: False)
            monkeypatch.setattr(type(backend._server), "release", MySQL.release)
        held = Held(backend, kinds.Address("checkout", "", "korder-42"))
        for ticket, look_every in enumerate(looks, WAITER):
            held.queue(ticket, look_every=look_every)
        now += 1_000 * after + 999
        outcome = one(backend, let_go(held, way))
        rows = stranger.execute(f"SELECT * FROM {prefix}keys")
        names = [row[0] for row in stranger.execute(
            "SELECT column_name FROM information_schema.columns "
            f"WHERE table_name = '{prefix}keys' ORDER BY ordinal_position"
        )]  # fmt: skip
        [row] = [dict(zip(names, row, strict=True)) for row in rows]
        del row["revision"]
        left.append((outcome, row))
        stranger.execute(f"DELETE FROM {prefix}keys")
    assert left[0] == left[1]
