"""A key's row and the machine's `Key`: each made of the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sessiontracker.backend import operations, shown, state

from .queues import decode_queue, encode_queue

__all__ = [
    "ACTIVE",
    "ALL",
    "COLUMNS",
    "DEED",
    "DUE",
    "FINISHED",
    "LEASE",
    "LOCK",
    "ORIGIN",
    "QUEUE",
    "SLIDE",
    "changed",
    "columns_of",
    "decode",
    "values_of",
]

Meta = operations.Meta
Key, Record, Lock, Lease, Deed = state.Key, state.Record, state.Lock, state.Lease, state.Deed

# Columns that change together, in the table's order: what a step leaves alone is not sent.
BODY, ORIGIN, SLIDE, FINISHED, LEASE, QUEUE, LOCK, DEED, DUE = (1 << bit for bit in range(9))
ACTIVE = BODY | ORIGIN | SLIDE
ALL = 511


def _session(place: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{place}_{name}" for name in names)


_BODY = ("payload", "version", "write", "updated")
_ORIGIN = ("life", "owner", "started", "idle", "ends")  # as a session's start leaves them
_GROUPS: dict[int, tuple[str, ...]] = {
    BODY: _session("active", *_BODY),
    ORIGIN: _session("active", *_ORIGIN),
    SLIDE: _session("active", "slid", "expires"),
    FINISHED: _session("finished", *_BODY, *_ORIGIN, "slid", "expires", "finished"),
    LEASE: _session("lease", "ticket", "token", "until", "holder"),
    QUEUE: ("queue",),
    LOCK: _session("lock", "token", "kept", "released"),
    DEED: _session("deed", "id", "time"),
    DUE: ("due",),
}
_NULLS = {group: (None,) * len(names) for group, names in _GROUPS.items()}
_NULLS_OF_ACTIVE = {
    groups: (None,) * sum(len(_GROUPS[group]) for group in (BODY, ORIGIN, SLIDE) if groups & group)
    for groups in range(ACTIVE + 1)
}


def columns_of(groups: int) -> tuple[str, ...]:
    """The names of the columns in ``groups``, in order."""
    return tuple(name for group, names in _GROUPS.items() if groups & group for name in names)


COLUMNS = columns_of(ALL)
"""All but the primary key."""


# A row read ------------------------------------------------------------------


def decode(row: Sequence[Any]) -> tuple[state.Key, int]:
    """The key that ``row`` (all of `COLUMNS`) holds, and when it is due.

    Raises: ValueError for a row that is none of ours.
    """
    (
        payload, version, write, updated, life, owner, started, idle, ends, slid, expires,
        f_payload, f_version, f_write, f_updated, f_life, f_owner, f_started, f_idle, f_ends,
        f_slid, f_expires, f_finished,
        ticket, lease_token, until, holder,
        queue,
        token, kept, released,
        deed_id, deed_time,
        due,
    ) = row  # fmt: skip
    _check(b"" if queue is None else queue, b"", due)
    active = finished = lock = deed = None
    if life is not None:
        _check(payload, owner, life, version, write, started, updated, slid, idle, ends, expires, 0)
        active = Record(
            Meta(life, version, write, owner.decode(), started, updated, slid, idle, ends, expires),
            payload,
        )
    if f_life is not None:
        _check(
            f_payload, f_owner, f_life, f_version, f_write, f_started, f_updated, f_slid, f_idle,
            f_ends, f_expires, f_finished,
        )  # fmt: skip
        finished = Record(
            Meta(
                f_life, f_version, f_write, f_owner.decode(), f_started, f_updated, f_slid, f_idle,
                f_ends, f_expires, f_finished,
            ),
            f_payload,
        )  # fmt: skip
    if token is not None:
        lease = None
        if ticket is not None:
            _check(holder, holder, ticket, lease_token, until)
            lease = Lease(ticket, lease_token, until, holder.decode())
        _check(b"", b"", token, kept, released)
        lock = Lock(lease, decode_queue(queue), token, kept, released)
    elif ticket is not None or queue is not None:
        raise ValueError("there is a lease or a queue, and no lock")
    if deed_id is not None:
        _check(b"", b"", deed_id, deed_time)
        deed = Deed(deed_id, deed_time)
    return Key(active, finished, lock, deed), due


def _check(first: Any, second: Any, *numbers: Any) -> None:
    if not (type(first) is type(second) is bytes):
        raise ValueError("a column holds no bytes where bytes must be")
    for number in numbers:
        if type(number) is not int or number < 0:
            raise ValueError(f"a column holds {shown(number)} where a number from 0 on must be")


# A row written ---------------------------------------------------------------


def changed(before: state.Key, after: state.Key) -> int:
    """The groups of columns in which ``after`` is another than ``before``."""
    groups = 0
    if after.active is not before.active:
        groups |= _changed_active(before.active, after.active)
    if after.finished is not before.finished:
        groups |= FINISHED
    if after.lock is not before.lock:
        old, new = before.lock, after.lock
        if old is None or new is None:
            groups |= LEASE | QUEUE | LOCK
        else:
            if new.lease is not old.lease:
                groups |= LEASE
            if new.queue is not old.queue:
                groups |= QUEUE
            if (new.token, new.kept, new.released) != (old.token, old.kept, old.released):
                groups |= LOCK
    if after.deed is not before.deed:
        groups |= DEED
    return groups


def _changed_active(before: state.Record | None, after: state.Record | None) -> int:
    if before is None or after is None:
        return ACTIVE
    old, new = before.meta, after.meta
    if (new.life, new.owner, new.started, new.idle, new.ends) != (
        old.life, old.owner, old.started, old.idle, old.ends,
    ):  # fmt: skip
        return ACTIVE
    if before.payload is after.payload and (new.version, new.write, new.updated) == (
        old.version, old.write, old.updated,
    ):  # fmt: skip
        return SLIDE
    return BODY | SLIDE


def values_of(key: state.Key, due: int, groups: int) -> list[Any]:
    """What ``key`` holds in the columns of ``groups``, in order."""
    values: list[Any] = []
    if groups & ACTIVE:
        if key.active is None:
            values += _NULLS_OF_ACTIVE[groups & ACTIVE]
        else:
            meta = key.active.meta
            if groups & BODY:
                values += (key.active.payload, meta.version, meta.write, meta.updated)
            if groups & ORIGIN:
                values += _origin(meta)
            if groups & SLIDE:
                values += (meta.slid, meta.expires)
    if groups & FINISHED:
        if key.finished is None:
            values += _NULLS[FINISHED]
        else:
            meta = key.finished.meta
            values += (key.finished.payload, meta.version, meta.write, meta.updated)
            values += _origin(meta)
            values += (meta.slid, meta.expires, meta.finished)
    if groups & (LEASE | QUEUE | LOCK):
        values += _lock(key.lock, groups)
    if groups & DEED:
        values += _NULLS[DEED] if key.deed is None else (key.deed.id, key.deed.time)
    if groups & DUE:
        values.append(due)
    return values


def _origin(meta: Meta) -> tuple[Any, ...]:
    return meta.life, meta.owner.encode(), meta.started, meta.idle, meta.ends


def _lock(lock: state.Lock | None, groups: int) -> list[Any]:
    values: list[Any] = []
    if groups & LEASE:
        lease = None if lock is None else lock.lease
        values += (
            _NULLS[LEASE]
            if lease is None
            else (lease.ticket, lease.token, lease.until, lease.holder.encode())
        )
    if groups & QUEUE:
        values.append(None if lock is None else encode_queue(lock.queue))
    if groups & LOCK:
        values += _NULLS[LOCK] if lock is None else (lock.token, lock.kept, lock.released)
    return values
