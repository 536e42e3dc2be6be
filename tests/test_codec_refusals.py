"""Sessions to bytes and back: what is refused, before it is written and when it is read."""

from __future__ import annotations

import collections
import math
import pathlib
import subprocess
import sys
import traceback
from typing import Any, Generic, Literal, TypeVar

import msgspec
import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessiontracker.codec import SessionCodec
from sessiontracker.errors import (
    ConfigurationError,
    SessionDecodeError,
    SessionEncodeError,
    SessionTooLargeError,
)
from sessiontracker.operations import Address
from sessiontracker.session import Session
from tests.coded import (
    BUILT_IN,
    CODEC_OF,
    SMALL,
    Everything,
    Fruitful,
    Home,
    Person,
    Point,  # noqa: F401 (which an annotation names)
    Small,
    Tree,
    everything,
    made,
)

PLACE = Address("small", "", "korder-42")

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
    assert "x" * 1_000 not in "".join(traceback.format_exception(caught.value))


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
        ("Tree | Fruitful", r"Deal\.x has a type that msgspec cannot handle"),
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
