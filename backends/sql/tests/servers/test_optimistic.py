"""Rows that others write between our reading and our writing: driven step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import sleep
from typing import Any

import pytest

from sessiontracker.backend import operations as kinds
from sessiontracker_sql._sync.backend import ServerBackend
from sessiontracker_sql._sync.connections import Connections
from sessiontracker_sql.servers import server_of
from sessiontracker_sql.talk import Pause, Query, ServerError
from sessiontracker_sql.work import Done, carry_out

from .conftest import Admin, options_of

PAYLOAD = b"payload"
LONG = 3_600_000


def one(backend: ServerBackend, operation: Any) -> Any:
    [outcome] = backend.execute([operation])
    return outcome


def releases_nothing(releases: object, now: object) -> Iterator[Any]:
    """As a server that reads first, whatever is asked of it."""
    yield from ()
    return {}


class Slow:
    """A client that is held up whenever it has read what it is about to write."""

    def __init__(self, url: str, prefix: str) -> None:
        options = options_of(url, table_prefix=prefix)
        self.server: Any = server_of(options)
        self.server.can_save = lambda operation: False
        self.server.release = releases_nothing
        self._connections = Connections(self.server, options)
        self.queries = 0

    def execute(
        self, steps: list[kinds.Operation], meanwhile: Callable[[], object]
    ) -> list[kinds.Outcome]:
        """The outcomes of ``steps``; ``meanwhile`` happens before the first time it writes."""
        return self._connections.hold(self._held_up(steps, meanwhile)).outcomes

    def _held_up(self, steps: list[kinds.Operation], meanwhile: Callable[[], object]) -> Any:
        talk = carry_out(self.server, steps)
        self.queries = 0
        try:
            said = next(talk)
            while True:
                if isinstance(said, Query):
                    self.queries += 1
                    if self.queries == 2:
                        meanwhile()
                try:
                    answer: Any = yield said
                except ServerError as error:
                    said = talk.throw(error)
                else:
                    said = next(talk) if isinstance(said, Pause) else talk.send(answer)
        except StopIteration as end:
            done: Done = end.value
            return done

    def close(self) -> None:
        self._connections.close()


@pytest.fixture
def slow(url: str, prefix: str, backend: ServerBackend) -> Iterator[Slow]:
    slow = Slow(url, prefix)
    yield slow
    slow.close()


def start(address: kinds.Address, id: int = 1, idle: int = 60_000) -> kinds.Start:
    return kinds.Start(address, id, PAYLOAD, idle=idle)


def test_what_nobody_is_at_takes_two_round_trips(slow: Slow, address: kinds.Address) -> None:
    [saved] = slow.execute([start(address)], lambda: None)
    assert isinstance(saved, kinds.Saved)
    assert slow.queries == 2
    [found] = slow.execute([kinds.Read(address)], lambda: None)
    assert isinstance(found, kinds.Found)
    assert slow.queries == 1


def test_a_write_that_came_between_is_not_lost(
    slow: Slow, backend: ServerBackend, address: kinds.Address
) -> None:
    stamp = one(backend, start(address)).meta.stamp
    other = kinds.Write(address, 2, stamp, b"another's")
    [outcome] = slow.execute([kinds.Write(address, 3, stamp, b"ours")], lambda: one(backend, other))
    assert outcome == kinds.Stale(2)
    assert one(backend, kinds.Read(address)).payload == b"another's"


def test_of_two_starts_of_a_new_key_one_is_in_progress(
    slow: Slow, backend: ServerBackend, address: kinds.Address
) -> None:
    [outcome] = slow.execute([start(address, 1)], lambda: one(backend, start(address, 2)))
    assert isinstance(outcome, kinds.InProgress)
    assert outcome.found.meta.life == 2


def test_a_key_that_went_and_came_again_is_another(
    slow: Slow, backend: ServerBackend, address: kinds.Address, admin: Admin, prefix: str
) -> None:
    stamp = one(backend, start(address, 1)).meta.stamp

    def replaced() -> None:
        admin.execute(f"DELETE FROM {prefix}keys")
        one(backend, start(address, 2))

    [outcome] = slow.execute([kinds.Write(address, 3, stamp, b"ours")], replaced)
    assert outcome == kinds.Stale(1, same_life=False)


def test_a_lease_that_runs_out_before_it_is_written_is_lost(
    slow: Slow, backend: ServerBackend, address: kinds.Address
) -> None:
    stamp = one(backend, start(address)).meta.stamp
    granted = one(backend, kinds.Acquire(address, 7, lease=200))
    lock = kinds.Hold(7, granted.token)
    [outcome] = slow.execute([kinds.Write(address, 2, stamp, b"ours", lock)], lambda: sleep(0.25))
    assert outcome == kinds.Lost()
    assert one(backend, kinds.Read(address)).payload == PAYLOAD


def test_a_session_that_expires_before_it_is_written_is_not_revived(
    slow: Slow, backend: ServerBackend, address: kinds.Address
) -> None:
    stamp = one(backend, start(address, idle=200)).meta.stamp
    [outcome] = slow.execute([kinds.Write(address, 2, stamp, b"ours")], lambda: sleep(0.25))
    assert outcome == kinds.Missing()


def test_neighbours_of_a_row_that_changed_are_written_once(
    slow: Slow, backend: ServerBackend, address: kinds.Address
) -> None:
    places = [kinds.Address("checkout", "", f"k{n}") for n in range(8)]
    stamps = [one(backend, start(place)).meta.stamp for place in places]
    writes: list[kinds.Operation] = [
        kinds.Write(place, 100 + n, stamp, b"ours")
        for n, (place, stamp) in enumerate(zip(places, stamps, strict=True))
    ]
    other = kinds.Write(places[3], 2, stamps[3], b"another's")
    outcomes = slow.execute(writes, lambda: one(backend, other))
    assert [type(each) for each in outcomes] == [
        kinds.Stale if n == 3 else kinds.Saved for n in range(8)
    ]
    assert {each.meta.version for each in outcomes if isinstance(each, kinds.Saved)} == {2}


def test_a_slide_gives_way(slow: Slow, backend: ServerBackend, address: kinds.Address) -> None:
    one(backend, start(address))
    before = one(backend, kinds.Read(address)).meta
    read = kinds.Read(address, slide=True, touch_every=0)
    sleep(0.01)
    [outcome] = slow.execute([read], lambda: one(backend, kinds.Touch(address)))
    assert isinstance(outcome, kinds.Found)
    assert outcome.meta.slid > before.slid  # as the other left it
    assert slow.queries == 3
