"""A session's head, as the scripts pack it."""

from __future__ import annotations

from random import Random

import pytest

from sessiontracker.operations import Meta
from sessiontracker_redis.records import NotASessionError, found, found_all, meta, metas

SIZES = (8, 8, 6, 6, 6, 6, 7, 7, 7)  # bytes, of life, write, version and six times


def head(numbers: list[int], owner: bytes) -> bytes:
    packed = b"".join(n.to_bytes(size, "big") for n, size in zip(numbers, SIZES, strict=True))
    return b"\x01" + packed + len(owner).to_bytes(2, "big") + owner


@pytest.mark.parametrize("seed", range(20))
def test_every_number_is_read_by_itself(seed: int) -> None:
    random = Random(seed)
    numbers = [random.choice((0, 256**size - 1, random.randrange(256**size))) for size in SIZES]
    life, write, version, started, updated, slid, idle, ends, expires = numbers
    text = head(numbers, "zoë".encode())
    times = (started, updated, slid, idle, ends, expires)
    assert meta(text) == Meta(life, version, write, "zoë", *times)
    session = found(text + b"payload", finished=True)
    assert session.meta == Meta(life, version, write, "zoë", *times, finished=updated)
    assert session.payload == b"payload"
    assert meta(head(numbers, b"")).owner == ""


def test_many_are_read_as_each_by_itself() -> None:
    random = Random(7)
    heads = [head([random.randrange(256**size) for size in SIZES], b"alice") for _ in range(50)]
    for many in ([], heads[:1], heads, [*heads, head([1] * 9, b"bob")]):
        for finished in (False, True):
            assert metas(many, finished=finished) == [
                meta(each, finished=finished) for each in many
            ]
    strangers = [b"", b"x", b"\x02" + heads[0][1:], heads[0][:-1], heads[0][:62], heads[0][:64]]
    for stranger in strangers:
        assert metas([heads[0], stranger, heads[1]]) == [meta(heads[0]), None, meta(heads[1])]
        assert metas([stranger, stranger]) == [None, None]


def test_many_that_are_nobody_s_are_found_as_each_by_itself() -> None:
    random = Random(7)
    texts = [
        head([random.randrange(256**size) for size in SIZES], b"") + random.randbytes(number)
        for number in range(50)
    ]
    for many in (texts[:1], texts):
        assert found_all(many) == [found(each) for each in many]
    owned = head([1] * 9, b"\0") + b"payload"  # a head alone is as long
    for stranger in (owned, owned[:64], b"", b"x", b"\x02" + texts[1][1:], texts[0][:63]):
        assert found_all([texts[1], stranger, texts[2]]) is None
    assert found_all([texts[0][:63], texts[1][:1] + texts[1]]) is None  # as long as two


def test_what_is_cut_is_none() -> None:
    text = head([1] * 9, b"alice")
    for size in range(len(text)):
        with pytest.raises(NotASessionError):
            meta(text[:size])
