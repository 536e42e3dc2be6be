"""Sessions to bytes and back: what is the same, what is refused, what other deploys wrote."""

from __future__ import annotations

import collections
import dataclasses
import decimal
import enum
import json
import math
import pathlib
import pickle
import subprocess
import sys
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessiontracker.codec import CODECS, JsonCodec, SessionCodec
from sessiontracker.errors import (
    ConfigurationError,
    SessionDecodeError,
    SessionEncodeError,
    SessionTooLargeError,
)
from sessiontracker.operations import Address
from sessiontracker.session import Session, carried_of

BUILT_IN = sorted(CODECS)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


@attrs.define
class Parcel:
    weight: float = 1.0
    tags: set[str] = attrs.Factory(set)


class Tree(msgspec.Struct):
    label: str = ""
    children: list[Tree] = []


class Fruitful(Tree):
    fruit: int = 1


class Pair(NamedTuple):
    left: int
    right: str


class Options(TypedDict, total=False):
    fast: bool


class Home(pydantic.BaseModel):
    street: str = ""


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    name: str = pydantic.Field("", alias="fullName")
    home: Home | None = None
    since: datetime | None = None
    groups: set[int] = set()
    shares: dict[int, decimal.Decimal] = {}

    @pydantic.computed_field
    def shout(self) -> str:
        return self.name.upper()


class Everything(Session):
    flag: bool = False
    number: int = 0
    real: float = 0.0
    text: str = ""
    raw: bytes = b""
    maybe: int | None = None
    numbers: list[int] = []
    texts: set[str] = set()
    by_number: dict[int, str] = {}
    by_text: dict[str, float] = {}
    pair: tuple[int, str] = (0, "")
    when: datetime | None = None
    day: date | None = None
    span: timedelta = timedelta()
    money: decimal.Decimal = decimal.Decimal(0)
    number_id: uuid.UUID = uuid.UUID(int=0)
    colour: Colour = Colour.RED
    point: Point = Point(1)
    points: frozenset[Point] = frozenset()
    parcel: Parcel = Parcel()
    tree: Tree = Tree()
    named: Pair = Pair(0, "")
    options: Options = {}
    person: Person = Person()
    people: dict[str, list[Person]] = {}
    path: pathlib.PurePosixPath = pathlib.PurePosixPath("/")
    anything: Any = None


class Small(Session):
    paid: bool = False
    count: int = 0


CODEC_OF = {name: SessionCodec(Everything, name) for name in BUILT_IN}
SMALL = SessionCodec(Small)
PLACE = Address("small", "", "korder-42")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
finite = st.floats(allow_nan=False, allow_infinity=False)
small_int = st.integers(-(2**63), 2**63 - 1)
moments = st.datetimes(timezones=st.just(UTC))
people = st.builds(
    Person,
    fullName=text,
    home=st.none() | st.builds(Home, street=text),
    since=st.none() | moments,
    groups=st.sets(small_int, max_size=3),
    shares=st.dictionaries(small_int, st.decimals(-1000, 1000, places=2), max_size=3),
)
trees = st.recursive(
    st.builds(Tree, label=text),
    lambda inner: st.builds(Tree, label=text, children=st.lists(inner, max_size=3)),
    max_leaves=6,
)
plain = st.recursive(
    st.none() | st.booleans() | small_int | finite | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
everything = st.builds(
    Everything,
    flag=st.booleans(),
    number=small_int,
    real=finite,
    text=text,
    raw=st.binary(max_size=8),
    maybe=st.none() | small_int,
    numbers=st.lists(small_int, max_size=4),
    texts=st.sets(text, max_size=4),
    by_number=st.dictionaries(small_int, text, max_size=4),
    by_text=st.dictionaries(text, finite, max_size=4),
    pair=st.tuples(small_int, text),
    when=st.none() | moments,
    day=st.none() | st.dates(),
    span=st.timedeltas(timedelta(-9999), timedelta(9999)),
    money=st.decimals(allow_nan=False, allow_infinity=False),
    number_id=st.uuids(),
    colour=st.sampled_from(Colour),
    point=st.builds(Point, small_int, small_int),
    points=st.frozensets(st.builds(Point, small_int), max_size=3),
    parcel=st.builds(Parcel, finite, st.sets(text, max_size=3)),
    tree=trees,
    named=st.builds(Pair, small_int, text),
    options=st.fixed_dictionaries({}, optional={"fast": st.booleans()}),
    person=people,
    people=st.dictionaries(text, st.lists(people, max_size=2), max_size=2),
    path=st.just(pathlib.PurePosixPath("/a/b")),
    anything=plain,
)


def made(schema: int = 1, base: type = Session, **fields: Any) -> Any:
    """Another deploy's class of a session type ``deal``: fields with their defaults."""
    namespace: dict[str, Any] = {"__module__": __name__, "__qualname__": "Deal"}
    namespace["__annotations__"] = {
        name: kind for name, (kind, *_) in fields.items() if not name.startswith("_")
    }
    for name, (_, *default) in fields.items():
        if default:
            namespace[name] = default[0]
    if "_upgrade" in fields:
        namespace["upgrade"] = classmethod(namespace.pop("_upgrade"))
    return type(Session)("Deal", (base,), namespace, name="deal", schema=schema)


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


# What is refused before it is written ----------------------------------------


def broken_tree() -> Tree:
    tree = Tree()
    tree.children.append(tree)
    return tree


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("*", {"flag": "yes"}, r"Everything\.flag cannot be stored: Expected `bool`, got `str`"),
    ("*", {"number": True}, r"Everything\.number cannot be stored: Expected `int`, got `bool`"),
    ("*", {"numbers": [1, "2"]}, r"Everything\.numbers cannot .* at `\$\.numbers\[1\]`"),
    ("*", {"tree": Tree(label=3)}, r"Everything\.tree cannot be stored: Expected `str`, got `int`"),
    ("*", {"text": "\ud800"}, r"Everything\.text cannot be stored: .*surrogates not allowed"),
    ("*", {"tree": broken_tree()}, r"Everything\.tree cannot be stored: it is nested too deeply"),
    ("*", {"anything": object()}, r"Everything\.anything cannot be stored: "),
    ("*", {"person": Home()}, r"Everything\.person cannot be stored: .* would be lost"),
    ("*", {"parcel": Tree()}, r"Everything\.parcel cannot be stored: .* would be lost"),
    ("*", {"tree": Tree(children=[Fruitful()])}, r"Everything\.tree cannot .* would be lost"),
    ("*", {"person": Person.model_construct(name=3)}, r"Everything\.person cannot .*valid string"),
    ("msgpack", {"number": 2**64}, r"Everything\.number cannot be stored: can't serialize ints"),
    (
        "json",
        {"real": math.nan},
        r"Everything\.real cannot .* this codec has no NaN .* use msgpack",
    ),
    (
        "json",
        {"anything": [{"a": (math.inf,)}]},
        r"Everything\.anything cannot .* this codec has no NaN",
    ),
    ("json", {"by_text": {"a": -math.inf}}, r"Everything\.by_text cannot .* this codec has no NaN"),
    ("json", {"anything": {(1, 2): 3}}, r"Everything\.anything cannot be stored: "),
]


@pytest.mark.parametrize(
    ("codec", "fields", "message"),
    [
        pytest.param(name, fields, message, id=f"{name}-{next(iter(fields))}-{number}")
        for number, (codec, fields, message) in enumerate(REFUSED)
        for name in (BUILT_IN if codec == "*" else [codec])
    ],
)
def test_what_could_not_be_read_again_is_refused(codec: str, fields: Any, message: str) -> None:
    with pytest.raises(SessionEncodeError, match=message) as caught:
        CODEC_OF[codec].encode(Everything(**fields))
    assert str(caught.value).endswith("; nothing was written")


def test_what_differs_without_a_loss_is_written() -> None:
    class Incomparable(msgspec.Struct, eq=False):
        x: int = 1

    class SameFields(Tree):
        pass

    cls = type(Session)(
        "Deal", (Session,), {"__module__": __name__, "__annotations__": {"value": Incomparable}}
    )
    codec = SessionCodec(cls)
    assert codec.decode(codec.encode(cls(value=Incomparable(7)))).value.x == 7
    bound = CODEC_OF["msgpack"]
    read = bound.decode(bound.encode(Everything(tree=SameFields("t"), numbers=(1, 2))))
    assert (read.tree, read.numbers) == (Tree("t"), [1, 2])


def test_msgpack_keeps_nan_and_json_keeps_huge_numbers() -> None:
    packed = CODEC_OF["msgpack"]
    assert math.isnan(packed.decode(packed.encode(Everything(real=math.nan))).real)
    readable = CODEC_OF["json"]
    assert readable.decode(readable.encode(Everything(number=2**70))).number == 2**70


class Vault(pydantic.BaseModel):
    secret: pydantic.SecretStr = pydantic.SecretStr("")


class Guarded(Session):
    vault: Vault = Vault()
    token: pydantic.SecretStr | None = None


@pytest.mark.parametrize("codec", BUILT_IN)
def test_what_pydantic_would_mask_is_refused_rather_than_lost(codec: str) -> None:
    bound = SessionCodec(Guarded, codec)
    assert bound.decode(bound.encode(Guarded())) == Guarded()
    with pytest.raises(SessionEncodeError, match=r"Guarded\.vault .* pydantic masks"):
        bound.encode(Guarded(vault=Vault(secret=pydantic.SecretStr("hush"))))
    with pytest.raises(SessionEncodeError, match=r"Guarded\.token .* pydantic masks"):
        bound.encode(Guarded(token=pydantic.SecretStr("hush")))


def test_errors_name_the_session_by_its_key_only_if_that_is_no_secret() -> None:
    with pytest.raises(SessionEncodeError, match=r"^Small 'order-42'\.paid cannot be stored"):
        SMALL.encode(Small(key="order-42", paid=3))
    with pytest.raises(SessionEncodeError, match=r"^Small\.paid cannot be stored"):
        SMALL.encode(Small(paid=3))


def test_a_pydantic_error_does_not_show_the_data() -> None:
    with pytest.raises(SessionEncodeError) as caught:
        CODEC_OF["json"].encode(Everything(person=Person.model_construct(name=["hush"])))
    assert "hush" not in str(caught.value)


def test_an_error_shows_little_of_the_data() -> None:
    class Chosen(Session):
        choice: Literal["a", "b"] = "a"

    payload = SessionCodec(Chosen).encode(Chosen())
    header = payload[: -len(msgspec.msgpack.encode({"choice": "a"}))]
    with pytest.raises(SessionDecodeError, match=r"at `\$\.choice`") as caught:
        SessionCodec(Chosen).decode(header + msgspec.msgpack.encode({"choice": "x" * 10_000}))
    assert len(str(caught.value)) < 1_000


def test_max_bytes() -> None:
    size = len(SMALL.encode(Small()))
    SessionCodec(Small, max_bytes=size).encode(Small())
    SessionCodec(Small, max_bytes=None).encode(Small(count=2**40))
    with pytest.raises(
        SessionTooLargeError, match=f"Small 'x' weighs {size} bytes, 3 is"
    ) as caught:
        SessionCodec(Small, max_bytes=3).encode(Small(key="x"))
    assert (caught.value.size, caught.value.limit) == (size, 3)


# What cannot be read ---------------------------------------------------------

HEADER = SMALL.encode(Small())[:15]
UNREADABLE = {
    "empty": (b"", "it is empty"),
    "one byte": (b"\x01", "it is cut short"),
    "cut in its header": (HEADER[:-1], "it is cut short"),
    "cut in its body": (SMALL.encode(Small())[:-1], "truncated"),
    "no body": (HEADER, "truncated"),
    "too long": (SMALL.encode(Small()) + b"\x00", "trailing"),
    "no session": (b"\x80abc", "its envelope has version 128, this release reads 1"),
    "a newer envelope": (b"\x02" + HEADER[1:], "its envelope has version 2"),
    "another codec": (HEADER.replace(b"msgpack", b"msgpuck"), "the codec 'msgpuck': install its"),
    "a codec that is no text": (HEADER.replace(b"msgpack", b"msgp\xffck"), "utf-8"),
    "a list": (HEADER + b"\x90", "Expected `object`, got `array`"),
    "a list, elsewhere written": (HEADER[:-4] + b"xxxx\x90", "Expected `object`, got `array`"),
    "of another type": (
        HEADER + b"\x81\xa4paid\x03",
        r"Expected `bool`, got `int` - at `\$\.paid`",
    ),
    "a huge list announced": (HEADER + b"\xdd\xff\xff\xff\xff", "Expected `object`"),
    "a bomb": (HEADER + b"\x81\xa1z" + b"\x91" * 1_000_000, "it is nested too deeply"),
    "a foreign bomb": (HEADER[:-4] + b"xxxx\x81\xa1z" + b"\x91" * 1_000_000, "nested too deeply"),
    "keys that are no text": (HEADER[:-4] + b"xxxx\x81\x01\x02", "Expected `str`"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_says_why(what: str) -> None:
    payload, why = UNREADABLE[what]
    with pytest.raises(SessionDecodeError, match=why) as caught:
        SMALL.decode(payload, PLACE)
    assert str(caught.value).startswith("Small 'order-42': what is stored cannot be read")


@given(payload=st.binary(max_size=64))
@example(payload=HEADER)
def test_no_bytes_raise_anything_else(payload: bytes) -> None:
    for start in (b"", HEADER, HEADER[:-4] + b"xxxx", HEADER[:-6] + b"\x00\x00xxxx"):
        for codec in (SMALL, CODEC_OF["msgpack"]):
            try:
                read = codec.decode(start + payload)
            except SessionDecodeError:
                continue
            assert isinstance(read, (Small, Everything))


@pytest.mark.parametrize("codec", BUILT_IN)
@given(session=everything, data=st.data())
def test_no_damage_raises_anything_else(codec: str, session: Everything, data: Any) -> None:
    damaged = bytearray(CODEC_OF[codec].encode(session))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        if not damaged:
            break
    try:
        read = CODEC_OF[codec].decode(bytes(damaged))
    except SessionDecodeError:
        return
    assert isinstance(read, Everything)


def test_a_failing_post_init_is_a_decode_error() -> None:
    def refuse(self: Any) -> None:
        if self.count > 1:
            raise KeyError("too many")

    cls = type(Session)("Deal", (Small,), {"__module__": __name__, "__post_init__": refuse})
    codec = SessionCodec(cls)
    payload = codec.encode(cls(count=1)).replace(b"count\x01", b"count\x02")
    with pytest.raises(SessionDecodeError, match="too many"):
        codec.decode(payload)


# Other deploys ---------------------------------------------------------------


def both(older: Any, newer: Any, codec: str = "msgpack") -> tuple[Any, Any]:
    return SessionCodec(older, codec), SessionCodec(newer, codec)


@pytest.mark.parametrize("codec", BUILT_IN)
def test_a_field_that_is_new_takes_its_default(codec: str) -> None:
    older, newer = made(a=("int", 1)), made(a=("int", 1), b=("list[int]", [2]))
    writes, reads = both(older, newer, codec)
    read = reads.decode(writes.encode(older(a=5)))
    assert (read.a, read.b) == (5, [2])
    assert reads.encode(read) == reads.encode(newer(a=5))


def test_a_new_field_without_a_default_says_what_to_do() -> None:
    writes, reads = both(made(a=("int", 1)), made(a=("int", 1), b=("int",), c=("int",)))
    with pytest.raises(
        SessionDecodeError, match=r"no value for b, c: give the field a default, or"
    ):
        reads.decode(writes.encode(writes.cls()))


@pytest.mark.parametrize("codec", BUILT_IN)
def test_what_a_newer_deploy_wrote_survives_a_save(codec: str) -> None:
    older = made(a=("int", 1))
    newer = made(
        a=("int", 1), raw=("bytes", b""), when=("datetime | None", None), tree=("Tree", Tree())
    )
    old, new = both(older, newer, codec)
    written = newer(a=2, raw=b"\xff", when=datetime(2026, 1, 1, tzinfo=UTC), tree=Tree("t"))
    read = old.decode(new.encode(written))
    read.a = 3
    again = old.decode(old.encode(read))  # and once more, from what the older one wrote
    assert again == read
    written.a = 3
    final = new.decode(old.encode(again))
    assert final == written
    assert carried_of(final) is None
    assert new.encode(final) == new.encode(written)


@pytest.mark.parametrize("codec", BUILT_IN)
@pytest.mark.parametrize("reader", BUILT_IN)
def test_it_survives_a_change_of_the_codec_too(codec: str, reader: str) -> None:
    older, newer = made(a=("int", 1)), made(a=("int", 1), raw=("bytes", b""))
    old, new = SessionCodec(older, reader), SessionCodec(newer, codec)
    read = old.decode(new.encode(newer(raw=b"\xff\x00")))
    assert new.decode(old.encode(read)).raw == b"\xff\x00"


class Inner1(msgspec.Struct):
    a: int = 1


class Inner2(msgspec.Struct):
    a: int = 1
    b: int = 2


class Model1(pydantic.BaseModel):
    a: int = 1


class Model2(pydantic.BaseModel):
    a: int = 1
    b: int = 2


@pytest.mark.parametrize("codec", BUILT_IN)
@pytest.mark.parametrize("kinds", [("Inner1", "Inner2"), ("Model1", "Model2")])
@pytest.mark.parametrize("shape", ["{}", "list[{}]", "dict[str, {}]", "{} | None"])
def test_what_is_new_inside_a_field_survives_while_that_field_is_left_alone(
    codec: str, kinds: tuple[str, str], shape: str
) -> None:
    older, newer = (made(n=("int", 0), x=(shape.format(kind),)) for kind in kinds)
    kind1, kind2 = (globals()[kind] for kind in kinds)

    def value(inner: Any) -> Any:
        return [inner] if shape.startswith("list") else {"k": inner} if "dict" in shape else inner

    old, new = both(older, newer, codec)
    read = old.decode(new.encode(newer(x=value(kind2(a=5, b=6)))))
    assert read.x == value(kind1(a=5))
    read.n = 1
    assert new.decode(old.encode(read)).x == value(kind2(a=5, b=6))
    read.x = value(kind1(a=7))
    assert new.decode(old.encode(read)).x == value(kind2(a=7, b=2))


def test_carrying_survives_a_copy_and_a_pickle() -> None:
    old, new = both(
        Small,
        type(Session)(
            "Small",
            (Small,),
            {"__module__": __name__, "__annotations__": {"more": "int"}, "more": 0},
        ),
    )
    read = old.decode(new.encode(new.cls(more=7)))
    assert new.decode(old.encode(pickle.loads(pickle.dumps(read)))).more == 7
    assert new.decode(old.encode(read.__replace__(count=3))).more == 7


def test_carried_content_counts_and_is_checked() -> None:
    old, new = both(made(a=("int", 1)), made(a=("int", 1), b=("str", "")))
    payload = new.encode(new.cls(b="x" * 100))
    tight = SessionCodec(old.cls, max_bytes=50)
    with pytest.raises(SessionTooLargeError):
        tight.encode(tight.decode(payload))
    read = old.decode(payload)
    read.a = "one"
    with pytest.raises(SessionEncodeError, match=r"Deal\.a cannot be stored: Expected `int`"):
        old.encode(read)


def test_carrying_does_not_hide_a_loss() -> None:
    old, new = both(made(t=("Tree", Tree())), made(t=("Tree", Tree()), b=("int", 1)))
    read = old.decode(new.encode(new.cls()))
    read.t = Fruitful()
    with pytest.raises(SessionEncodeError, match=r"Deal\.t cannot be stored: .* would be lost"):
        old.encode(read)


def test_upgrade_reads_an_older_schema() -> None:
    def upgrade(cls: Any, data: dict[str, Any], schema: int) -> dict[str, Any]:
        if schema < 2:
            data["name"] = data.pop("first") + " " + data.pop("last")
        return data

    older = made(first=("str",), last=("str",), gone=("int", 5))
    newer = made(schema=3, name=("str",), _upgrade=(None, upgrade))
    writes, reads = both(older, newer)
    read = reads.decode(writes.encode(older(first="Ada", last="Lovelace")))
    assert read.name == "Ada Lovelace"
    assert reads.encode(read) == reads.encode(newer(name="Ada Lovelace"))  # `gone` is gone


def test_an_older_schema_without_an_upgrade_is_read_as_it_is() -> None:
    writes, reads = both(made(a=("int", 1)), made(schema=2, a=("int", 1), b=("int", 2)))
    assert reads.decode(writes.encode(writes.cls(a=4))) == reads.cls(a=4, b=2)


def test_what_a_newer_schema_wrote_is_saved_as_that_schema() -> None:
    def upgrade(cls: Any, data: dict[str, Any], schema: int) -> dict[str, Any]:
        raise AssertionError("it is at this schema already")

    older = made(a=("int", 1))
    newer = made(schema=2, a=("int", 1), _upgrade=(None, upgrade))
    old, new = both(older, newer)
    read = old.decode(new.encode(newer(a=4)))
    read.a = 5
    assert new.decode(old.encode(read)) == newer(a=5)


@pytest.mark.parametrize(
    ("upgrade", "message"),
    [
        (lambda cls, data, schema: data["nope"], r"upgrade\(data, 1\) raised KeyError\('nope'\)"),
        (lambda cls, data, schema: None, r"upgrade\(data, 1\) must return the data, not None"),
        (lambda cls, data, schema: {"a": "x"}, "Expected `int`, got `str`"),
        (lambda cls, data, schema: {"a": object()}, "."),
    ],
)
def test_a_failing_upgrade_is_a_decode_error(upgrade: Any, message: str) -> None:
    writes, reads = both(made(a=("int", 1)), made(schema=2, a=("int", 1), _upgrade=(None, upgrade)))
    with pytest.raises(SessionDecodeError, match=message):
        reads.decode(writes.encode(writes.cls()))


def test_the_fast_way_is_taken_only_for_the_very_same_shape() -> None:
    """A field that is new, at any depth, changes the header; names alone count, in any order."""
    headers = [
        SessionCodec(made(**fields)).encode(made(**fields)())[:15]
        for fields in (
            {"a": ("int", 1)},
            {"a": ("int", 1), "b": ("int", 1)},
            {"a": ("Inner1", Inner1())},
            {"a": ("Inner2", Inner2())},
            {"a": ("list[Inner1]", [])},
            {"a": ("list[Inner2]", [])},
            {"a": ("dict[str, Model1]", {})},
            {"a": ("dict[str, Model2]", {})},
            {"a": ("Tree", Tree())},
        )
    ]
    assert len(set(headers)) == len(headers)
    one, other = made(a=("int", 1), b=("int", 2)), made(b=("int", 2), a=("int", 1))
    assert SessionCodec(one).encode(one())[:15] == SessionCodec(other).encode(other())[:15]


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


# Types that cannot be encoded ------------------------------------------------


class Foreign:
    pass


T = TypeVar("T")


class Box(Session, Generic[T]):
    content: T | None = None


@pydantic.dataclasses.dataclass
class OddDefault:
    numbers: list[int] = pydantic.Field(default_factory=list)


class Unfinished(pydantic.BaseModel):
    later: NotYet  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("Foreign", r"Deal\.x: neither msgspec nor pydantic can encode Foreign: use a dataclass"),
        ("list[Foreign]", r"Deal\.x: neither msgspec nor pydantic can encode Foreign"),
        ("Person | Home | None", r"Deal\.x has a type that msgspec cannot handle: .* custom"),
        ("Inner1 | Inner2", r"Deal\.x has a type that msgspec cannot handle"),
        ("dict[Point, int]", r"Deal\.x has a dict whose keys are no plain values: use text"),
        ("Missing", r"Deal: an annotation cannot be resolved \(name 'Missing' is not defined\)"),
        ("OddDefault | None", r"Deal\.x: the pydantic dataclass OddDefault has .* 'numbers'"),
        ("Unfinished", r"Deal\.x: the pydantic model Unfinished is not fully defined: call"),
    ],
)
def test_a_type_that_cannot_be_encoded_is_a_configuration_error(kind: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SessionCodec(made(good=("int", 1), x=(kind, None)))


def test_a_generic_session_type() -> None:
    codec = SessionCodec(Box)
    assert codec.decode(codec.encode(Box(content=[1]))) == Box(content=[1])


WITHOUT_PYDANTIC = """
import sys
sys.modules["pydantic"] = None
from sessiontracker.codec import SessionCodec
from sessiontracker.errors import ConfigurationError
from sessiontracker.session import Session

class Foreign: ...
class Good(Session):
    a: int = 1
class Bad(Session):
    x: Foreign | None = None

codec = SessionCodec(Good)
assert codec.decode(codec.encode(Good(a=2))) == Good(a=2)
try:
    SessionCodec(Bad)
except ConfigurationError as error:
    assert "Bad.x" in str(error) and "install pydantic" in str(error), error
else:
    raise AssertionError
"""

LAZY = """
import sys
from sessiontracker.codec import SessionCodec
from sessiontracker.session import Session

class Good(Session):
    a: object = 1
class Plain(Session):
    a: list[int] = []

codec = SessionCodec(Plain)
codec.snapshot(codec.decode(codec.encode(Plain(a=[1]))))
assert "pydantic" not in sys.modules
"""


@pytest.mark.parametrize("script", [WITHOUT_PYDANTIC, LAZY], ids=["without", "lazy"])
def test_pydantic_is_optional_and_imported_only_if_needed(script: str) -> None:
    root = pathlib.Path(__file__).parents[1]
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_subclasses_of_builtins_come_back_as_what_is_declared() -> None:
    cls = made(x=("dict[str, int]", {}))
    codec = SessionCodec(cls)
    read = codec.decode(codec.encode(cls(x=collections.OrderedDict(b=1, a=2))))
    assert type(read.x) is dict
    assert list(read.x) == ["b", "a"]
