"""Listing a type's sessions in pages, and removing what expired."""

from __future__ import annotations

import pytest

from ..contract import Capability, new_id
from ..operations import (
    FOREVER,
    Acquire,
    Address,
    Delete,
    Deleted,
    Finish,
    Found,
    Granted,
    Item,
    Missing,
    Page,
    Read,
    Reap,
    Reaped,
    Release,
    Released,
    Renew,
    Saved,
    Scan,
    Start,
)
from .harness import LONG, SCOPE, Store, new_address

pytestmark = pytest.mark.needs(Capability.SCAN)


def scan(store: Store, kind: str, *, finished: bool = False, limit: int = 7) -> list[Item]:
    items: list[Item] = []
    cursor = ""
    for _ in range(1_000):
        page = store.expect(Scan(kind, finished, cursor, limit), Page)
        items += page.items
        cursor = page.cursor
        if not cursor:
            return items
    raise AssertionError("the scan does not end")


def start(store: Store, address: Address, idle: int = 0) -> Found:
    operation = Start(address, new_id(), address.key.encode(), owner="alice", idle=idle)
    return Found(store.expect(operation, Saved).meta, operation.payload)


@pytest.mark.parametrize("scope", ["", SCOPE])
@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 40])
def test_every_session_is_listed_once(store: Store, scope: str, count: int) -> None:
    kind = new_address().type
    expected: dict[Address, Found] = {}
    for n in range(count):
        place = Address(kind, scope, f"k{n}")
        expected[place] = start(store, place)
    items = scan(store, kind)
    assert len(items) == count
    assert {item.address: Found(item.meta, item.payload) for item in items} == expected


def test_active_and_finished_are_listed_apart(store: Store) -> None:
    kind = new_address().type
    for n in range(10):
        place = Address(kind, "", f"k{n}")
        start(store, place)
        if n % 2:
            store.expect(Finish(place, new_id(), FOREVER), Found)
        if n % 4 == 3:
            start(store, place)
    active = [item.address.key for item in scan(store, kind)]
    assert sorted(active) == ["k0", "k2", "k3", "k4", "k6", "k7", "k8"]
    finished = scan(store, kind, finished=True)
    assert sorted(item.address.key for item in finished) == ["k1", "k3", "k5", "k7", "k9"]
    assert all(item.meta.finished for item in finished)


def test_other_types_are_not_listed(store: Store) -> None:
    kind = new_address().type
    start(store, Address(kind, "", "kone"))
    start(store, Address(kind + "_x", "", "kone"))
    start(store, Address(kind[:-1], "", "kone"))
    start(store, Address(kind.upper(), "", "kone"))
    assert [item.address for item in scan(store, kind)] == [Address(kind, "", "kone")]


def test_what_expired_or_went_is_not_listed(store: Store) -> None:
    kind = new_address().type
    start(store, Address(kind, "", "kstays"))
    start(store, Address(kind, "", "kwent"))
    store.expect(Delete(Address(kind, "", "kwent"), new_id()), Deleted)
    start(store, Address(kind, "", "kdone"))
    store.expect(Finish(Address(kind, "", "kdone"), new_id(), store.tick), Found)
    start(store, Address(kind, "", "kexpired"), idle=store.tick)
    store.elapse(1)
    assert [item.address.key for item in scan(store, kind)] == ["kstays"]
    assert scan(store, kind, finished=True) == []


def test_a_scan_among_changes_lists_what_stays(store: Store) -> None:
    kind = new_address().type
    for n in range(30):
        start(store, Address(kind, "", f"k{n:02}"))
    listed: list[str] = []
    cursor = ""
    for n in range(1_000):
        page = store.expect(Scan(kind, cursor=cursor, limit=4), Page)
        listed += [item.address.key for item in page.items]
        cursor = page.cursor
        if not cursor:
            break
        if n < 5:
            store.expect(Delete(Address(kind, "", f"k{n * 6:02}"), new_id()), Deleted)
            start(store, Address(kind, "", f"knew{n}"))
    stays = {f"k{n:02}" for n in range(30)} - {f"k{n * 6:02}" for n in range(5)}
    assert stays <= set(listed)
    old = [key for key in listed if not key.startswith("knew")]
    assert len(old) == len(set(old)), "a session is listed twice"


def _reap(store: Store, limit: int) -> int:
    """Reap until nothing is left to remove: how many went."""
    total = 0
    for _ in range(100_000):
        count = store.expect(Reap(limit), Reaped).count
        total += count
        if count == 0:
            return total
    raise AssertionError("the reaping does not end")


def test_reaping_removes_what_expired_and_nothing_else(store: Store) -> None:
    kind = new_address().type
    _reap(store, 1_000)
    live = start(store, Address(kind, "", "klive"), idle=100 * store.tick)
    start(store, Address(kind, "", "kdone"))
    done = store.expect(Finish(Address(kind, "", "kdone"), new_id(), FOREVER), Found)
    for n in range(20):
        start(store, Address(kind, "", f"k{n}"), idle=store.tick)
    both = Address(kind, "", "kboth")
    start(store, both)
    kept = store.expect(Finish(both, new_id(), FOREVER), Found)
    start(store, both, idle=store.tick)
    store.elapse(1)
    _reap(store, 3)
    assert store.expect(Reap(), Reaped).count == 0
    assert store.expect(Read(Address(kind, "", "klive")), Found) == live
    assert store.expect(Read(Address(kind, "", "kdone"), finished=True), Found) == done
    assert store.expect(Read(both, finished=True), Found) == kept
    for n in range(20):
        store.expect(Read(Address(kind, "", f"k{n}")), Missing)
    assert {item.address.key for item in scan(store, kind)} == {"klive"}


def test_reaping_keeps_to_its_limit(store: Store) -> None:
    kind = new_address().type
    _reap(store, 1_000)
    for n in range(10):
        start(store, Address(kind, "", f"k{n}"), idle=store.tick)
    store.elapse(1)
    assert store.expect(Reap(3), Reaped).count <= 3


def test_reaping_leaves_locks_and_tokens_alone(both: Store, address: Address) -> None:
    held = Address(address.type, "", "kheld")
    holder = new_id()
    last = 0
    for _ in range(5):  # many at one moment: the token runs ahead of a clock that stands still
        ticket = new_id()
        last = both.expect(Acquire(address, ticket, LONG), Granted).token
        both.expect(Release(address, ticket), Released)
    for place in (address, held):
        start(both, place, idle=both.tick)
    token = both.expect(Acquire(held, holder, LONG), Granted).token
    both.elapse(1)
    _reap(both, 1_000)
    both.expect(Renew(held, holder, token, LONG), Granted)
    assert both.expect(Acquire(address, new_id(), LONG), Granted).token > last
