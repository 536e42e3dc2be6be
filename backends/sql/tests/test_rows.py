"""Rows: what goes in comes out, and what is none of ours is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiontracker.backend import operations, state
from sessiontracker_sql import rows

ids = st.integers(1, 2**63 - 1)
times = st.integers(0, operations.FOREVER)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
metas = st.builds(
    operations.Meta,
    life=ids,
    version=ids,
    write=ids,
    owner=text,
    started=times,
    updated=times,
    slid=times,
    idle=times,
    ends=times,
    expires=times,
)
records = st.builds(state.Record, metas, st.binary(max_size=50))
finished = st.builds(
    lambda record, when: state.Record(
        operations.Meta(*[*(getattr(record.meta, f) for f in METAS[:-1]), when]), record.payload
    ),
    records,
    times,
)
METAS = operations.Meta.__struct_fields__
leases = st.builds(state.Lease, ids, times, times, text)
waiters = st.builds(state.Waiter, ids, text, times, times)
locks = st.builds(
    state.Lock,
    st.none() | leases,
    st.lists(waiters, max_size=3).map(tuple),
    times,
    times,
    st.integers(0, 2**63 - 1),
)
keys = st.builds(
    state.Key,
    st.none() | records,
    st.none() | finished,
    st.none() | locks,
    st.none() | st.builds(state.Deed, ids, times),
)


def row_of(key: state.Key, due: int = 7) -> list[Any]:
    return rows.values_of(key, due, rows.ALL)


@given(keys, times)
def test_a_key_comes_back_from_its_row(key: state.Key, due: int) -> None:
    row = row_of(key, due)
    assert len(row) == len(rows.COLUMNS)
    assert rows.decode(row) == (key, due)


@given(keys, keys)
def test_the_groups_that_changed_make_the_one_row_of_the_other(
    before: state.Key, after: state.Key
) -> None:
    groups = rows.changed(before, after)
    row = dict(zip(rows.COLUMNS, row_of(before), strict=True))
    row.update(zip(rows.columns_of(groups), rows.values_of(after, 7, groups), strict=True))
    assert rows.decode(list(row.values())) == (after, 7)


def test_what_is_the_same_is_not_written() -> None:
    key = state.Key(lock=state.FREE)
    assert rows.changed(key, state.Key(lock=state.FREE)) == 0


FULL = state.Key(
    state.Record(operations.Meta(1, 1, 1, "", 1, 1, 1, 1, 1, 1), b""),
    state.Record(operations.Meta(1, 1, 1, "", 1, 1, 1, 1, 1, 1, 1), b""),
    state.Lock(state.Lease(1, 1, 1, ""), (state.Waiter(1, "", 1, 1),), 1, 1, 1),
    state.Deed(1, 1),
)


@pytest.mark.parametrize("column", sorted(set(rows.COLUMNS) - {"active_life", "finished_life"}))
@pytest.mark.parametrize("value", ["x" * 9_999, -1, 1.5], ids=["text", "negative", "fraction"])
def test_an_impossible_value_is_told(column: str, value: object) -> None:
    row = dict(zip(rows.COLUMNS, row_of(FULL), strict=True))
    row[column] = value
    with pytest.raises(ValueError, match="a column holds") as raised:
        rows.decode(list(row.values()))
    assert len(str(raised.value)) < 200


GARBAGE = [b"", b"\xff\xff", b"\xff" * 28, b"\x00" * 27 + b"\x01", b"\x00" * 29, "text"]
NO_TEXT = b"\x00" * 27 + b"\x01\xff"


@pytest.mark.parametrize("queue", [*GARBAGE, NO_TEXT])
def test_a_queue_of_garbage_is_told(queue: object) -> None:
    row = dict(zip(rows.COLUMNS, row_of(FULL), strict=True))
    row["queue"] = queue
    with pytest.raises(ValueError, match=r"column|utf-8"):
        rows.decode(list(row.values()))


@pytest.mark.parametrize("column", sorted(set(rows.COLUMNS)))
def test_a_value_that_is_missing_is_told_or_means_a_part_that_is_not_there(column: str) -> None:
    row = dict(zip(rows.COLUMNS, row_of(FULL), strict=True))
    row[column] = None
    if column in ("active_life", "finished_life", "lease_ticket", "queue", "deed_id"):
        rows.decode(list(row.values()))
    else:
        with pytest.raises(ValueError, match=r"column|no lock"):
            rows.decode(list(row.values()))
