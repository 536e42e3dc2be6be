"""Sessions to bytes and back: what other deploys wrote."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import Any

import msgspec
import pydantic
import pytest

from sessiontracker.codec import SessionCodec
from sessiontracker.errors import (
    SessionDecodeError,
    SessionEncodeError,
    SessionTooLargeError,
)
from sessiontracker.session import Session, carried_of
from tests.coded import (
    BUILT_IN,
    Fruitful,
    Small,
    Tree,
    made,
)


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
