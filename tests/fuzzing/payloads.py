"""Payloads as found in a store: bodies of both codecs, envelopes, upgrades, what owners share."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

import attrs
import msgspec
import pydantic

from sessiontracker import OwnedSession, Session
from sessiontracker.codec import SessionCodec, header_of
from sessiontracker.errors import SessionDecodeError, SessionEncodeError
from sessiontracker.shapes import fingerprint_of
from sessiontracker.shared import SharedCodec

from .harness import Target
from .mutations import any_bytes, any_text, any_value, spoilt, spoilt_value

__all__ = ["TARGETS"]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Line:
    what: str
    count: int = 1
    tags: set[str] = field(default_factory=set)


@attrs.define
class Place:
    street: str
    number: int | None = None


class Node(msgspec.Struct):
    value: int = 0
    inner: Node | None = None
    many: list[Node] = []


class Profile(pydantic.BaseModel):
    name: str = ""
    age: int = pydantic.Field(default=0, ge=0)
    more: dict[str, list[int]] = {}
    inner: Profile | None = None


class Plain(Session, name="plain"):
    text: str = ""
    number: int = 0
    yes: bool = False


class Everything(Session, name="everything", schema=3):
    """Each kind of field that there is."""

    text: str
    number: int = 0
    real: float = 0.0
    raw: bytes = b""
    anything: Any = None
    colour: Colour = Colour.RED
    choice: Literal["a", "b"] = "a"
    exact: decimal.Decimal = decimal.Decimal(0)
    when: dt.datetime | None = None
    day: dt.date | None = None
    span: dt.timedelta = dt.timedelta(0)
    name: uuid.UUID | None = None
    lines: list[Line] = []
    place: Place | None = None
    tree: Node | None = None
    profile: Profile | None = None
    pair: tuple[int, str] = (0, "")
    numbers: dict[int, float] = {}
    seen: frozenset[int] = frozenset()

    @classmethod
    def upgrade(cls, data: dict[str, Any], schema: int) -> dict[str, Any]:
        """As users write it: trusting what older deploys wrote."""
        if schema < 2:
            data["text"] = data.pop("title").strip()
        if schema < 3:
            data["lines"] = [
                {"what": name, "count": count} for name, count in data["lines"].items()
            ]
        return data


class Newer(Session, name="everything", schema=4):
    """As `Everything` will be, with more in it."""

    text: str
    number: int = 0
    more: list[str] = []
    place: dict[str, Any] = {}


class Login(OwnedSession[Profile], name="login"):
    device: str = ""


def _everything(random: Random) -> Everything:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return Everything(
        text=any_text(random).encode(errors="replace").decode(),
        number=random.randint(-(2**63), 2**63),
        real=random.random(),
        raw=random.randbytes(9),
        anything={"a": [1, None, {"b": "c"}]},
        colour=Colour.BLUE,
        exact=decimal.Decimal("1.50"),
        when=now,
        day=now.date(),
        span=dt.timedelta(seconds=1),
        name=uuid.UUID(int=7),
        lines=[Line("book", 2, {"x", "y"})],
        place=Place("street", 4),
        tree=Node(1, Node(2), [Node(3)]),
        profile=Profile(name="n", age=3, more={"a": [1]}, inner=Profile(name="m")),
        pair=(1, "b"),
        numbers={1: 0.5},
        seen=frozenset({1, 2}),
    )


_FORMATS: dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "msgpack": (msgspec.msgpack.encode, msgspec.msgpack.decode),
    "json": (msgspec.json.encode, msgspec.json.decode),
}


class Payloads(Target):
    """A payload is decoded to a session that can be saved again, or it is `SessionDecodeError`."""

    name = "payloads"
    share = 330_000
    may_grow = 4.0

    def __init__(self) -> None:
        self._codecs = {
            (kind.__name__, codec): SessionCodec(kind, codec, max_bytes=None)
            for kind in (Plain, Everything, Newer, Login)
            for codec in _FORMATS
        }
        shared: list[Any] = [SharedCodec(Profile, "login", codec) for codec in _FORMATS]
        self._decoders: list[Any] = [*self._codecs.values(), *shared]
        random = Random(0)
        sessions = [
            Plain(text="t"),
            _everything(random),
            Newer(text="new", more=["x"]),
            Login(device="d"),
        ]
        self._valid = [
            codec.encode(session)
            for session in sessions
            for (kind, _), codec in self._codecs.items()
            if kind == type(session).__name__
        ]
        self._valid += [codec.encode(Profile(name="n", inner=Profile()), None) for codec in shared]

    def attempt(self, random: Random) -> str:
        codec = random.choice(self._decoders)
        payload = self.made = self._payload(random, codec)
        try:
            session = codec.decode(payload)
        except SessionDecodeError as error:
            if len(str(error)) > 1_000:
                raise AssertionError("an error of this length shows the data") from None
            raise
        if isinstance(codec, SharedCodec):
            return "decoded"
        codec.snapshot(session)
        try:
            again = codec.decode(codec.encode(session))
        except SessionEncodeError:
            return "decoded, not to be saved"
        # JSON has text in place of whatever msgpack knows more of, below a field that is Any.
        if codec.codec == "msgpack" and codec.snapshot(again) != codec.snapshot(session):
            raise AssertionError(f"{session!r} was saved as {again!r}")
        return "decoded"

    def _payload(self, random: Random, codec: Any) -> bytes:
        kind = random.randrange(4)
        if kind == 0:
            return spoilt(random, random.choice(self._valid), self._valid)
        if kind == 1:
            return any_bytes(random) + any_bytes(random)
        # A header that fits, more or less, and a body of which something is not as it should be.
        format = random.choice(list(_FORMATS))
        encode = _FORMATS[format][0]
        body = spoilt_value(random, self._plain(random))
        for _ in range(random.randrange(2)):
            body = spoilt_value(random, body)
        try:
            written = encode(body)
        except (TypeError, ValueError, OverflowError):
            written = any_bytes(random)
        if kind == 2 and isinstance(codec, SessionCodec):
            shape = random.choice((fingerprint_of(codec.cls), bytes(4)))
            schema = random.choice((1, 1, 2, 3, 4, 5, 65_535))
            return header_of(format, schema, shape) + written
        header = random.choice(self._valid)[: random.choice((8, 14, 15, 16))]
        return spoilt(random, header + written) if random.random() < 0.5 else header + written

    def _plain(self, random: Random) -> Any:
        format = random.choice(list(_FORMATS))
        codec = self._codecs["Everything", format]
        payload = codec.encode(_everything(random))
        data = _FORMATS[format][1](payload[len(header_of(format, 3, bytes(4))) :])
        if random.random() < 0.3:
            data |= {"title": data.pop("text"), "lines": {"book": 2}}
        if random.random() < 0.1:
            data["tree"] = any_value(random)
        return data


TARGETS = [Payloads]
