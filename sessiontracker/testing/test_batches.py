"""Many operations at once: as many answers, in order, each for itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from ..contract import Asked, Capability, new_id
from ..operations import (
    FOREVER,
    Acquire,
    Address,
    Delete,
    Deleted,
    Failed,
    Finish,
    Found,
    Granted,
    InProgress,
    IsFinished,
    Locked,
    Lost,
    Missing,
    Outcome,
    Page,
    Ping,
    Pong,
    Read,
    Release,
    Released,
    Renew,
    Resume,
    Saved,
    Scan,
    Stale,
    Stamp,
    Start,
    Touch,
    Write,
)
from .harness import LONG, SCOPE, Store, at_once, new_address


def _beside(address: Address, n: int) -> Address:
    return Address(address.type, address.scope, f"k{n}")


def _kinds(outcomes: list[Outcome]) -> list[type[Outcome]]:
    return [type(outcome) for outcome in outcomes]


def test_an_empty_batch(store: Store) -> None:
    assert store.execute([]) == []


def test_answers_come_in_the_order_of_the_questions(store: Store, address: Address) -> None:
    places = [_beside(address, n) for n in range(60)]
    starts = [Start(place, new_id(), b"%d" % n) for n, place in enumerate(places)]
    outcomes = store.execute(starts)
    assert [type(o) is Saved and o.meta.life for o in outcomes] == [start.id for start in starts]
    mixed = [places[n * 37 % 60] for n in range(60)]
    outcomes = store.execute([Read(place) for place in mixed])
    payloads = [type(o) is Found and o.payload for o in outcomes]
    assert payloads == [b"%d" % (n * 37 % 60) for n in range(60)]


@pytest.mark.parametrize("scope", ["", SCOPE])
def test_one_slots_operations_take_effect_in_order(store: Store, scope: str) -> None:
    address = new_address("kone", scope)
    a, b, c, d, e = (new_id() for _ in range(5))
    batch: list[Asked] = [
        Read(address),
        Start(address, a, b"one"),
        Start(address, new_id(), b"other"),
        Write(address, b, Stamp(a, 1, a), b"two"),
        Write(address, new_id(), Stamp(a, 1, a), b"late"),
        Write(address, c, Stamp(a, 2, b), b"three"),
        Read(address),
        Touch(address, a),
        Finish(address, d, FOREVER),
        Read(address),
        Read(address, finished=True),
        Resume(address, e),
        Read(address),
        Delete(address, new_id()),
        Read(address),
    ]
    outcomes = store.execute(batch)
    assert _kinds(outcomes) == [
        *(Missing, Saved, InProgress, Saved, Stale, Saved, Found, Saved),
        *(Found, IsFinished, Found, Found, Found, Deleted, Missing),
    ]
    read, resumed = outcomes[6], outcomes[12]
    assert isinstance(read, Found)
    assert read.payload == b"three"
    assert read.meta.stamp == Stamp(a, 3, c)
    assert isinstance(resumed, Found)
    assert resumed.meta.stamp == Stamp(a, 5, e)


def test_one_locks_operations_take_effect_in_order(locks: Store, address: Address) -> None:
    first, second = new_id(), new_id()
    outcomes = locks.execute(
        [
            Acquire(address, first, LONG),
            Acquire(address, second, LONG, queue=False),
            Renew(address, second, 1, LONG),
            Release(address, second),
            Release(address, first),
            Acquire(address, second, LONG, queue=False),
            Release(address, second),
        ]
    )
    assert _kinds(outcomes) == [Granted, Locked, Lost, Lost, Released, Granted, Released]


@pytest.mark.parametrize("scope", ["", SCOPE])
def test_neighbours_in_one_batch_do_not_mix(store: Store, scope: str) -> None:
    address = new_address("kone", scope)
    places = [_beside(address, n) for n in range(20)]
    starts = [Start(place, new_id(), b"%d" % n) for n, place in enumerate(places)]
    metas = [o.meta for o in store.execute(starts) if isinstance(o, Saved)]
    assert len(metas) == 20
    batch: list[Asked] = []
    for n, (place, meta) in enumerate(zip(places, metas, strict=True)):
        batch.append(Write(place, new_id(), meta.stamp, b"%d+" % n))
        if n % 2:
            batch.append(Delete(place, new_id()))
    store.execute(batch)
    outcomes = store.execute([Read(place) for place in places])
    for n, outcome in enumerate(outcomes):
        if n % 2:
            assert type(outcome) is Missing
        else:
            assert isinstance(outcome, Found)
            assert outcome.payload == b"%d+" % n


def test_a_refusal_harms_no_neighbour(store: Store, address: Address) -> None:
    places = [_beside(address, n) for n in range(8)]
    metas = [store.expect(Start(place, new_id(), b"one"), Saved).meta for place in places]
    batch: list[Asked] = [
        Write(places[0], new_id(), metas[0].stamp, b"two"),
        Write(places[1], new_id(), Stamp(1, 1, 1), b"bad"),
        Write(places[2], new_id(), metas[2].stamp, b"two"),
        Start(places[3], new_id(), b"bad"),
        Finish(places[4], new_id(), FOREVER),
        Resume(_beside(address, 99), new_id()),
        Delete(places[5], new_id()),
        Touch(places[6]),
        Ping(),
        Read(places[7]),
    ]
    outcomes = store.execute(batch)
    assert _kinds(outcomes) == [
        *(Saved, Stale, Saved, InProgress, Found),
        *(Missing, Deleted, Saved, Pong, Found),
    ]
    payloads = [
        outcome.payload if isinstance(outcome, Found) else type(outcome)
        for outcome in store.execute([Read(place) for place in places])
    ]
    assert payloads == [b"two", b"one", b"two", b"one", IsFinished, Missing, b"one", b"one"]


def test_a_key_that_no_store_can_hold_harms_no_neighbour(store: Store, address: Address) -> None:
    # No tracker sends one; a lone surrogate cannot be encoded.
    bad = Start(Address(address.type, "", "k\ud800"), new_id(), b"bad")
    good = [Start(_beside(address, n), new_id(), b"%d" % n) for n in range(6)]
    batch: list[Asked] = [*good[:3], bad, *good[3:]]
    outcomes = store.execute(batch)
    assert type(outcomes.pop(3)) in (Saved, Failed)
    assert _kinds(outcomes) == [Saved] * 6
    for n, start in enumerate(good):
        assert store.expect(Read(start.address), Found).payload == b"%d" % n


@pytest.mark.needs(Capability.SCAN)
def test_what_concerns_the_whole_store_may_stand_among_others(
    store: Store, address: Address
) -> None:
    batch: list[Asked] = [
        Start(address, new_id(), b"one"),
        Scan(address.type),
        Ping(),
        Read(address),
    ]
    outcomes = store.execute(batch)
    assert _kinds(outcomes) == [Saved, Page, Pong, Found]


def _unlike(answers: Sequence[object], expected: Sequence[object]) -> Sequence[object]:
    """The first places where they differ: pytest's own diff of long lists takes minutes."""
    assert len(answers) == len(expected)
    pairs = enumerate(zip(answers, expected, strict=True))
    return [(at, answer, right) for at, (answer, right) in pairs if answer != right][:3]


@pytest.mark.parametrize("scope", ["", SCOPE])
def test_a_thousand_operations(store: Store, scope: str) -> None:
    address = new_address("kone", scope)
    places = [_beside(address, n) for n in range(250)]
    batch: list[Asked] = []
    for n, place in enumerate(places):
        life, write = new_id(), new_id()
        batch += [
            Start(place, life, b"%d" % n),
            Write(place, write, Stamp(life, 1, life), b"%d+" % n),
            Write(place, new_id(), Stamp(life, 1, life), b"late"),
            Read(place),
        ]
    outcomes = store.execute(batch)
    assert not _unlike(_kinds(outcomes), [Saved, Saved, Stale, Found] * 250)
    payloads = [outcome.payload for outcome in outcomes if isinstance(outcome, Found)]
    assert not _unlike(payloads, [b"%d+" % n for n in range(250)])


def test_batches_at_one_moment(store: Store, address: Address) -> None:
    batches = [
        [Start(_beside(address, n), new_id(), b"%d" % lane) for n in range(30)] for lane in range(6)
    ]
    answers = at_once(*(partial(store.execute, batch) for batch in batches))
    for n in range(30):
        winners = [lane for lane in range(6) if type(answers[lane][n]) is Saved]
        losers = [lane for lane in range(6) if type(answers[lane][n]) is InProgress]
        assert len(winners) == 1, f"{len(winners)} starts of one key were let in"
        assert len(losers) == 5
        assert store.expect(Read(_beside(address, n)), Found).payload == b"%d" % winners[0]
