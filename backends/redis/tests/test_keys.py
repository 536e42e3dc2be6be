"""The names of keys: one hash tag a slot, whatever a user's key looks like."""

from __future__ import annotations

import pytest
from redis.cluster import key_slot

from sessiontracker.operations import Address
from sessiontracker_redis.keys import Keys

ODD = ["korder-42", "k{}", "k}{", "ka}b", "k%7D", "k%", "kö ☃", "k:a", "k*?[x]\\", "k" + "}" * 50]


def tag(name: str) -> str:
    """What Redis Cluster hashes of a name: between the first brace and the next."""
    begin = name.index("{") + 1
    return name[begin : name.index("}", begin)]


@pytest.mark.parametrize("prefix", ["st:", "", "app {1}:"])
@pytest.mark.parametrize("key", ODD)
def test_a_name_tells_its_address_and_its_slot(prefix: str, key: str) -> None:
    keys = Keys(prefix)
    address = Address("checkout", "", key)
    names = keys.of(address)
    assert len(set(names)) == 3
    assert [keys.address("checkout", name) for name in names] == [address] * 3
    assert len({tag(name) for name in names}) == 1
    assert len({key_slot(name.encode()) for name in names}) == 1


@pytest.mark.parametrize("prefix", ["st:", "app {1}:"])
def test_an_owners_keys_are_in_one_slot_and_few(prefix: str) -> None:
    keys = Keys(prefix)
    addresses = [Address("login", "c2NvcGUgb2YgMTI4IGJpdA", key) for key in ODD]
    names = {name for address in addresses for name in keys.of_owner(address)}
    assert len(names) == 6
    assert {tag(name) for name in names} == {"c2NvcGUgb2YgMTI4IGJpdA"}
    told = [keys.address("login", name) for name in keys.of_owner(addresses[0])]
    assert told == [Address("login", "c2NvcGUgb2YgMTI4IGJpdA", "")] * 2 + [None] * 4


def test_different_addresses_have_different_names() -> None:
    keys = Keys("st:")
    plain = {name for key in [*ODD, "kone"] for name in keys.of(Address("t", "", key))}
    owned = {name for scope in ["kone", "one"] for name in keys.of_owner(Address("t", scope, ""))}
    assert len(plain | owned) == 3 * (len(ODD) + 1) + 6 * 2


@pytest.mark.parametrize("place", ["k%41", "k%", "k%7d", "k%FF", "k{a", "k%257D%"])
def test_a_name_that_we_would_write_in_another_way_is_a_strangers(place: str) -> None:
    assert Keys("st:").address("checkout", f"st:checkout:{{{place}}}:a") is None
