"""Sessions of many kinds of fields, and how they are made up."""

from __future__ import annotations

import dataclasses
import decimal
import enum
import pathlib
import sys
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
from hypothesis import strategies as st

from sessiontracker.codec import CODECS, SessionCodec
from sessiontracker.session import Session

__all__ = [
    "BUILT_IN",
    "CODEC_OF",
    "SMALL",
    "Colour",
    "Everything",
    "Fruitful",
    "Home",
    "Options",
    "Pair",
    "Parcel",
    "Person",
    "Point",
    "Small",
    "Tree",
    "everything",
    "finite",
    "made",
    "moments",
    "people",
    "plain",
    "small_int",
    "text",
    "trees",
]

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
    """Another deploy's class of a session type ``deal``, in the module of whoever asks for it:
    fields with their defaults."""
    module = sys._getframe(1).f_globals["__name__"]
    namespace: dict[str, Any] = {"__module__": module, "__qualname__": "Deal"}
    namespace["__annotations__"] = {
        name: kind for name, (kind, *_) in fields.items() if not name.startswith("_")
    }
    for name, (_, *default) in fields.items():
        if default:
            namespace[name] = default[0]
    if "_upgrade" in fields:
        namespace["upgrade"] = classmethod(namespace.pop("_upgrade"))
    return type(Session)("Deal", (base,), namespace, name="deal", schema=schema)
