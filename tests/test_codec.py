"""Sessions to bytes and back: what is the same, and what has changed."""

from __future__ import annotations

import decimal
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from sessiontracker.codec import JsonCodec, SessionCodec
from sessiontracker.errors import (
    ConfigurationError,
    SessionDecodeError,
    SessionEncodeError,
)
from sessiontracker.operations import Address, Item, Meta
from sessiontracker.session import Session, carried_of
from tests.coded import (
    BUILT_IN,
    CODEC_OF,
    SMALL,
    Colour,
    Everything,
    Parcel,
    Person,
    Point,
    Small,
    everything,
    made,
)

# There and back --------------------------------------------------------------


@pytest.mark.parametrize("codec", BUILT_IN)
@given(session=everything)
def test_what_is_written_is_read(codec: str, session: Everything) -> None:
    bound = CODEC_OF[codec]
    read = bound.decode(bound.encode(session))
    assert read == session
    assert type(read) is Everything
    assert bound.snapshot(read) == bound.snapshot(session)


@pytest.mark.parametrize("codec", BUILT_IN)
@given(session=everything)
def test_another_codec_s_payload_is_read(codec: str, session: Everything) -> None:
    for bound in CODEC_OF.values():
        read = bound.decode(CODEC_OF[codec].encode(session))
        assert read == session
        assert carried_of(read) is None


def test_many_are_read_as_each_by_itself() -> None:
    payloads = [SMALL.encode(Small(count=3)), SessionCodec(Small, "json").encode(Small(paid=True))]
    meta = Meta(1, 1, 1, "", 0, 0, 0, 0, 0, 0)
    items = [Item(Address("small", "", f"k{n}"), meta, each) for n, each in enumerate(payloads)]
    assert SMALL.decode_all(items) == [Small(count=3), Small(paid=True)]
    items.append(Item(Address("small", "", "kcut"), meta, payloads[0][:-1]))
    with pytest.raises(SessionDecodeError, match="Small 'cut': what is stored cannot be read"):
        SMALL.decode_all(items)


def test_a_dict_keeps_its_order() -> None:
    cls = made(order=("dict[str, int]", {}))
    codec = SessionCodec(cls)
    order = {"z": 1, "a": 2, "m": 3}
    assert list(codec.decode(codec.encode(cls(order=order))).order) == ["z", "a", "m"]


def test_keys_and_metadata_are_not_encoded() -> None:
    assert SMALL.encode(Small(key="order-42")) == SMALL.encode(Small())
    assert SMALL.decode(SMALL.encode(Small(key="order-42"))).key == ""


def test_json_bodies_can_be_read_in_the_store() -> None:
    payload = SessionCodec(Small, "json").encode(Small(count=3))
    assert json.loads(payload[payload.index(b"{") :]) == {"paid": False, "count": 3}


# Snapshots -------------------------------------------------------------------


class Changing(Session):
    texts: set[str] = set()
    mixed: set[int | str] = set()
    colours: set[Colour] = set()
    points: set[Point] = set()
    groups: set[frozenset[int]] = set()
    by_number: dict[int, set[str]] = {}
    person: Person = Person()
    parcel: Parcel = Parcel()
    value: Any = None


def one_way() -> Changing:
    return Changing(
        texts={"a", "b", "c"},
        mixed={1, "a", 2},
        colours={Colour.RED, Colour.BLUE},
        points={Point(1), Point(2)},
        groups={frozenset({1, 2}), frozenset({3}), frozenset({4, 5})},
        by_number={1: {"a", "b"}, 2: set()},
        person=Person(groups={8, 16}, shares={1: decimal.Decimal(1), 2: decimal.Decimal(2)}),
        parcel=Parcel(tags={"x", "y"}),
        value={"a": 1, "b": 2},
    )


def other_way() -> Changing:
    """The same values, put in another order; sets with another table inside."""
    session = one_way()
    for name in ("texts", "mixed", "colours", "points", "groups"):
        old = getattr(session, name)
        new = set(range(1000)) | old
        new.intersection_update(sorted(old, key=repr, reverse=True))
        setattr(session, name, new)
    session.by_number = {2: set(), 1: {"b", "a"}}
    session.person = Person(groups={16, 8}, shares={2: decimal.Decimal(2), 1: decimal.Decimal(1)})
    session.value = {"b": 2, "a": 1}
    return session


@pytest.mark.parametrize("name", Changing.__struct_fields__)
def test_a_snapshot_does_not_know_the_order_of_sets_and_dicts(name: str) -> None:
    cls = made(**{name: (Changing.__annotations__[name], getattr(Changing(), name))})
    codec = SessionCodec(cls)
    one, other = (cls(**{name: getattr(way(), name)}) for way in (one_way, other_way))
    assert one == other
    assert codec.snapshot(one) == codec.snapshot(other)
    assert codec.snapshot(one) != codec.snapshot(cls())


VALUES: list[Any] = [
    *(None, False, 0, 0.0, "", b"", [], {}, {"": []}, [[]], [""], [0], {1: 2}, [[1, 2]]),
    *({1: {2: 3}}, {1: [2]}, [{1: 2}], "dict", {"dict": []}, {"set": []}, {1: set()}),
]


def test_snapshots_of_different_values_differ() -> None:
    cls = made(value=("Any", None), mixed=("dict[int, int]", {}))
    codec = SessionCodec(cls)
    for rest in ({}, {1: 1}):  # a dict with numbers as keys takes the longer way
        taken = [codec.snapshot(cls(value=value, mixed=rest)) for value in VALUES]
        assert len(set(taken)) == len(taken)


def test_a_snapshot_tells_members_of_a_union_apart() -> None:
    one, other = (
        type(n, (msgspec.Struct,), {"__annotations__": {"x": "int"}}, tag=True) for n in "AB"
    )
    cls = define_union(one, other)
    codec = SessionCodec(cls)
    shots = {
        codec.snapshot(cls(value=kind(x=1), mixed=rest))
        for kind in (one, other)
        for rest in ({}, {1: 1})
    }
    assert len(shots) == 4


def define_union(one: Any, other: Any) -> Any:
    body = {"__annotations__": {"value": one | other, "mixed": dict[int, int]}, "mixed": {}}
    return type(Session)("Union", (Session,), {"__module__": __name__, **body})


def test_a_snapshot_of_what_cannot_be_encoded() -> None:
    with pytest.raises(SessionEncodeError, match=r"Small\.count cannot be stored"):
        SMALL.snapshot(Small(count=object()))


# Codecs ----------------------------------------------------------------------


class Backwards:
    """A third party's codec: JSON, written backwards."""

    name = "backwards"

    def encoder(self, kind: Any, enc_hook: Any) -> Any:
        encode = JsonCodec().encoder(kind, enc_hook)
        return lambda value: encode(value)[::-1]

    def decoder(self, kind: Any, dec_hook: Any) -> Any:
        decode = JsonCodec().decoder(kind, dec_hook)
        return lambda body: decode(body[::-1])


def test_a_codec_of_a_third_party() -> None:
    codecs = {"backwards": Backwards()}
    ours = SessionCodec(Small, "backwards", codecs=codecs)
    payload = ours.encode(Small(count=123))
    assert b"321" in payload
    assert ours.decode(payload) == Small(count=123)
    assert SessionCodec(Small, "json", codecs=codecs).decode(payload) == Small(count=123)
    with pytest.raises(SessionDecodeError, match="with the codec 'backwards': install its plugin"):
        SMALL.decode(payload)


def test_a_codec_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match="no codec 'xml': use one of json, msgpack"):
        SessionCodec(Small, "xml")
