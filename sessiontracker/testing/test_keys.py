"""Odd keys, odd payloads, odd owners: whatever goes in comes out, and nothing is mixed up."""

from __future__ import annotations

import hashlib

import pytest

from ..contract import Capability, new_id
from ..keys import MAX_KEY_BYTES
from ..operations import (
    Address,
    Delete,
    Deleted,
    Found,
    Missing,
    Page,
    Read,
    Saved,
    Scan,
    Start,
    Write,
)
from .harness import SCOPE, Store, new_address

ODD_KEYS = [
    *(
        "one",
        "One",
        "ONE",
        "one ",
        " one",
        "one  ",
        "one\n",
        "one\r\n",
        "one\t",
        "onë",
        "one\u0301",
    ),
    *(
        "1",
        "01",
        "1.0",
        "1e0",
        "+1",
        "-1",
        "true",
        "null",
        "None",
        "NaN",
        " ",
        ".",
        "..",
        "...",
        "~",
    ),
    *("\u00e9", "e\u0301", "\u00df", "ss", "\u0130", "i", "I", "\u0131", "\u212a", "k", "K"),
    *(
        "\u0000",
        "a\u0000b",
        "a\u0000",
        "a",
        "\u0001",
        "\u007f",
        "\u0085",
        "\u2028",
        "\ufeff",
        "\ufffd",
        "\uffff",
    ),
    *("\U0001f512", "\U0001f512\U0001f511", "\U0010ffff", "\u202e", "\ufb01", "fi"),
    *(
        "'",
        '"',
        "`",
        "\\",
        "\\\\",
        "\\'",
        "''",
        "'; DROP TABLE sessions; --",
        "$1",
        ":key",
        "?",
        "%s",
    ),
    *(
        "%",
        "%%",
        "_",
        "__",
        "*",
        "**",
        "[a]",
        "{a}",
        "{{a}}",
        "{}",
        "}{",
        "(a)",
        "#",
        "&",
        "|",
        "^",
    ),
    *(
        "/",
        "//",
        "a/b",
        "a//b",
        "a/b/",
        "../a",
        "../../etc/passwd",
        "/etc/passwd",
        "a\\b",
        "C:\\a",
        "C:",
    ),
    *(
        ":",
        "a:b",
        "a::b",
        "a,b",
        "a;b",
        "a.b",
        "a-b",
        "a=b",
        "a@b",
        "a+b",
        "a b",
        "a%20b",
        "%2F",
        "%00",
    ),
    *(
        "CON",
        "NUL",
        "aux",
        "con.txt",
        ".hidden",
        "-rf",
        "--help",
        "a.lock",
        "a.tmp",
        "d",
        "kd",
        "kk",
    ),
    *("x" * (MAX_KEY_BYTES - 1), "x" * MAX_KEY_BYTES, "x" * (MAX_KEY_BYTES - 1) + "y"),
    "\U0001f512" * (MAX_KEY_BYTES // 4),
]
"""Keys of one's own, all different."""

STORED = [*("k" + key for key in ODD_KEYS), *("d" + key for key in ("one", "1", "a/b", "A", "a"))]

PAYLOADS = {
    "empty": b"",
    "a zero": b"\x00",
    "every byte": bytes(range(256)) * 3,
    "no text": b"\xff\xfe\xc3\x28",
    "quotes": b"'\"\\`; --",
    "a number": b"12345678901234567890",
    "lines": b"\r\n\n\r\x1a",
    "1 MiB": hashlib.shake_256(b"payload").digest(1 << 20),
}


def test_the_odd_keys_are_all_different() -> None:
    assert len(set(STORED)) == len(STORED)
    assert all(len(key.encode()) <= MAX_KEY_BYTES for key in ODD_KEYS)


@pytest.mark.parametrize("scope", ["", SCOPE])
def test_odd_keys_are_kept_apart(store: Store, scope: str) -> None:
    kind = new_address().type
    places = [Address(kind, scope, stored) for stored in STORED]
    starts = [Start(place, new_id(), place.key.encode()) for place in places]
    started = store.execute(starts)
    for place, outcome in zip(places, started, strict=True):
        assert isinstance(outcome, Saved), f"{place.key!r} is another key's: {outcome}"
    found = store.execute([Read(place) for place in places])
    for place, outcome in zip(places, found, strict=True):
        assert isinstance(outcome, Found), f"{place.key!r} is not found: {outcome}"
        assert outcome.payload == place.key.encode()
    for place in places[::2]:
        assert store.expect(Delete(place, new_id()), Deleted).existed
    left = [isinstance(outcome, Found) for outcome in store.execute([Read(p) for p in places])]
    assert left == [n % 2 == 1 for n in range(len(places))]


@pytest.mark.needs(Capability.SCAN)
@pytest.mark.parametrize("scope", ["", SCOPE])
def test_odd_keys_are_listed_as_they_are(store: Store, scope: str) -> None:
    kind = new_address().type
    store.execute([Start(Address(kind, scope, stored), new_id(), b"one") for stored in STORED])
    listed: list[Address] = []
    cursor = ""
    while True:
        page = store.expect(Scan(kind, cursor=cursor, limit=20), Page)
        listed += [item.address for item in page.items]
        cursor = page.cursor
        if not cursor:
            break
    assert sorted(place.key for place in listed) == sorted(STORED)
    assert {(place.type, place.scope) for place in listed} == {(kind, scope)}


def test_an_id_is_never_a_key(store: Store, address: Address) -> None:
    """What the store holds is marked: ``d…`` a digest, ``k…`` a key of one's own."""
    digest = Address(address.type, "", "dZm9v")
    own = Address(address.type, "", "kZm9v")
    store.expect(Start(digest, new_id(), b"secret"), Saved)
    store.expect(Read(own), Missing)
    store.expect(Read(Address(address.type, "", "Zm9v")), Missing)
    store.expect(Start(own, new_id(), b"own"), Saved)
    assert store.expect(Read(digest), Found).payload == b"secret"
    assert store.expect(Read(own), Found).payload == b"own"


def test_types_scopes_and_keys_are_kept_apart(store: Store) -> None:
    kind = new_address().type
    other = "B" + SCOPE[1:]
    lower = SCOPE.lower()
    places = [
        *(Address(kind, scope, "kone") for scope in ("", SCOPE, other, lower)),
        *(Address(kind + "_x", scope, "kone") for scope in ("", SCOPE)),
        *(Address(kind, scope, "k_x/kone") for scope in ("", SCOPE)),
        Address(kind, "", f"k{SCOPE}/kone"),
        Address(kind, "", f"k{SCOPE}kone"),
        Address(kind, SCOPE, f"k{SCOPE}/kone"),
    ]
    for n, place in enumerate(places):
        store.expect(Start(place, new_id(), b"%d" % n), Saved)
    for n, place in enumerate(places):
        assert store.expect(Read(place), Found).payload == b"%d" % n


@pytest.mark.parametrize("name", PAYLOADS)
def test_payloads_come_back_as_they_were(store: Store, address: Address, name: str) -> None:
    payload = PAYLOADS[name]
    meta = store.expect(Start(address, new_id(), payload), Saved).meta
    assert store.expect(Read(address), Found).payload == payload
    store.expect(Write(address, new_id(), meta.stamp, payload[::-1]), Saved)
    assert store.expect(Read(address), Found).payload == payload[::-1]


@pytest.mark.parametrize("owner", ["alice", "Alice ", "\u0000", "\U0001f512'\"\\", "x" * 1024])
def test_owners_come_back_as_they_were(store: Store, owner: str) -> None:
    address = new_address("kone", SCOPE)
    store.expect(Start(address, new_id(), b"one", owner=owner), Saved)
    assert store.expect(Read(address), Found).meta.owner == owner


@pytest.mark.parametrize("number", [1, 2**31, 2**32, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1])
def test_ids_are_exact(store: Store, address: Address, number: int) -> None:
    meta = store.expect(Start(address, number, b"one"), Saved).meta
    assert (meta.life, meta.write) == (number, number)
    assert store.expect(Read(address), Found).meta == meta
