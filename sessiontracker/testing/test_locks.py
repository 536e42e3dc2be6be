"""Locks are leases with a fencing token: exclusive, exact, and only their holder's."""

from __future__ import annotations

from functools import partial

from ..contract import new_id
from ..operations import (
    Acquire,
    Address,
    Granted,
    Locked,
    Lost,
    Queued,
    Release,
    Released,
    Renew,
)
from .harness import LONG, Store, at_once, lasts, take, try_to_take


def test_a_lock_is_exclusive(locks: Store, address: Address) -> None:
    take(locks, address, holder="web-1:7")
    locked = locks.expect(Acquire(address, new_id(), LONG, queue=False), Locked)
    assert locked.holder == "web-1:7"
    assert 0 < locked.expires_in <= LONG
    queued = locks.expect(Acquire(address, new_id(), LONG), Queued)
    assert (queued.holder, queued.ahead) == ("web-1:7", 0)
    assert queued.look_in > 0


def test_a_lock_needs_no_session_and_locks_its_own_key_alone(
    locks: Store, address: Address
) -> None:
    take(locks, address)
    assert try_to_take(locks, Address(address.type, "", "ktwo"))
    assert try_to_take(locks, Address(address.type + "2", "", address.key))


def test_a_grant_lasts_as_long_as_was_asked_for(locks: Store, address: Address) -> None:
    granted = locks.expect(Acquire(address, new_id(), 12_345), Granted)
    assert lasts(locks, granted, 12_345)
    assert granted.found is None


def test_a_token_is_the_stores_clock_or_above(locks: Store, address: Address) -> None:
    before = locks.now_us()
    _, token = take(locks, address)
    assert type(token) is int
    assert token >= before
    assert token < 2**63


def test_tokens_rise_with_every_grant(locks: Store, address: Address) -> None:
    last = 0
    for _ in range(20):
        ticket, token = take(locks, address)
        assert token > last, "a later holder has no higher token"
        last = token
        locks.expect(Release(address, ticket), Released)


def test_tokens_rise_through_expiry(locks: Store, address: Address) -> None:
    _, first = take(locks, address, lease=locks.tick)
    locks.elapse(1)
    _, second = take(locks, address, lease=locks.tick)
    assert second > first, "the token fell when the lease expired"
    locks.elapse(1)
    assert take(locks, address)[1] > second


def test_tokens_rise_where_they_are_ahead_of_the_clock(locks: Store, address: Address) -> None:
    # Each grant within one microsecond of a clock that stands still is one above the last.
    tokens: list[int] = []
    for _ in range(300):
        ticket, token = take(locks, address, lease=locks.tick)
        tokens.append(token)
        locks.expect(Release(address, ticket), Released)
    locks.elapse(1)
    tokens.append(take(locks, address)[1])
    assert tokens == sorted(set(tokens))


def test_a_holders_repeat_keeps_its_token(locks: Store, address: Address) -> None:
    ticket, token = take(locks, address)
    again = locks.expect(Acquire(address, ticket, LONG), Granted)
    assert again.token == token
    assert lasts(locks, again, LONG)


def test_renewal_prolongs_the_lease(locks: Store, address: Address) -> None:
    ticket, token = take(locks, address, lease=3 * locks.tick)
    locks.elapse(2)
    renewed = locks.expect(Renew(address, ticket, token, 3 * locks.tick), Granted)
    assert renewed.token == token
    assert lasts(locks, renewed, 3 * locks.tick)
    locks.elapse(2)
    assert not try_to_take(locks, address), "a renewed lease ran out"
    locks.elapse(1)
    assert try_to_take(locks, address)


def test_renewal_may_shorten_the_lease(locks: Store, address: Address) -> None:
    ticket, token = take(locks, address)
    locks.expect(Renew(address, ticket, token, locks.tick), Granted)
    locks.elapse(1)
    assert try_to_take(locks, address)


def test_a_lock_of_another_is_not_renewed(locks: Store, address: Address) -> None:
    ticket, token = take(locks, address, lease=2 * locks.tick)
    for other_ticket, other_token in [
        (new_id(), token),
        (ticket, token + 1),
        (ticket, token - 1),
        (ticket, 0),
        (new_id(), token + 1),
    ]:
        locks.expect(Renew(address, other_ticket, other_token, LONG), Lost)
    locks.elapse(2)
    assert try_to_take(locks, address), "a refused renewal prolonged the lease"


def test_a_lease_that_ran_out_is_not_renewed(locks: Store, address: Address) -> None:
    ticket, token = take(locks, address, lease=locks.tick)
    locks.elapse(1)
    locks.expect(Renew(address, ticket, token, LONG), Lost)
    assert try_to_take(locks, address), "renewing a lease that had run out made one"


def test_renewal_never_makes_a_lease(locks: Store, address: Address) -> None:
    locks.expect(Renew(address, new_id(), 1, LONG), Lost)
    assert try_to_take(locks, address)
    ticket, token = take(locks, address)
    locks.expect(Release(address, ticket), Released)
    locks.expect(Renew(address, ticket, token, LONG), Lost)
    assert try_to_take(locks, address)


def test_a_former_holder_does_not_renew_its_successor(locks: Store, address: Address) -> None:
    ticket, token = take(locks, address, lease=locks.tick)
    locks.elapse(1)
    later, later_token = take(locks, address, lease=2 * locks.tick)
    locks.expect(Renew(address, ticket, token, LONG), Lost)
    locks.expect(Renew(address, ticket, later_token, LONG), Lost)
    locks.expect(Renew(address, later, later_token, LONG), Granted)


def test_a_lock_of_another_is_not_released(locks: Store, address: Address) -> None:
    ticket, token = take(locks, address)
    locks.expect(Release(address, new_id()), Lost)
    assert not try_to_take(locks, address), "somebody else released the lock"
    locks.expect(Renew(address, ticket, token, LONG), Granted)


def test_a_former_holder_does_not_release_its_successor(locks: Store, address: Address) -> None:
    ticket, _ = take(locks, address, lease=locks.tick)
    locks.elapse(1)
    later, token = take(locks, address)
    locks.expect(Release(address, ticket), Lost)
    locks.expect(Renew(address, later, token, LONG), Granted)


def test_a_released_lock_is_free_at_once(locks: Store, address: Address) -> None:
    ticket, _ = take(locks, address)
    locks.expect(Release(address, ticket), Released)
    assert try_to_take(locks, address)


def test_of_takers_at_one_moment_one_wins(locks: Store, address: Address) -> None:
    tickets = [new_id() for _ in range(12)]
    calls = [Acquire(address, ticket, LONG, queue=False) for ticket in tickets]
    outcomes = at_once(*(partial(locks.ask, call) for call in calls))
    winners = [outcome for outcome in outcomes if type(outcome) is Granted]
    assert len(winners) == 1, f"{len(winners)} of 12 hold one lock"
    assert all(type(outcome) in (Granted, Locked) for outcome in outcomes)


def test_the_holders_name_may_be_any_text(locks: Store, address: Address) -> None:
    name = "wëb-1:'\"\\;--\u0000\U0001f512 {x}"
    take(locks, address, holder=name)
    assert locks.expect(Acquire(address, new_id(), LONG, queue=False), Locked).holder == name
