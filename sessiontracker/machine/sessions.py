"""Operations on a key's sessions: the active one and the finished one."""

from __future__ import annotations

from msgspec.structs import replace

from ..operations import (
    FOREVER,
    Delete,
    Deleted,
    Finish,
    Found,
    InProgress,
    IsActive,
    Lost,
    Meta,
    Missing,
    Outcome,
    Read,
    Resume,
    Saved,
    Start,
    Touch,
    Unknown,
    Write,
)
from ..state import Key, Record
from .rules import (
    absent,
    held_by_another,
    is_lost,
    is_past_telling,
    let_go,
    refuse_writer,
    register,
    remember,
    was_perhaps_done,
)

__all__ = [
    "begin",
    "delete",
    "finish",
    "finished_record",
    "has_begun",
    "read",
    "read_active",
    "resume",
    "start",
    "touch",
    "write",
]

_IDLE_SHARE = 20  # reading slides an idle timeout at most so many times in its length

Step = tuple[Key, Outcome]


# Sliding ---------------------------------------------------------------------


def _expires(slid: int, idle: int, ends: int) -> int:
    return min(slid + idle, ends) if idle else ends


def _slide(record: Record, ms: int) -> Record:
    meta = record.meta
    expires = _expires(ms, meta.idle, meta.ends)
    return Record(replace(meta, slid=ms, expires=expires), record.payload)


def _slide_if_due(record: Record, touch_every: int | None, ms: int) -> Record:
    meta = record.meta
    if not meta.idle:
        return record
    every = meta.idle // _IDLE_SHARE
    if touch_every is not None and touch_every < every:
        every = touch_every
    return _slide(record, ms) if ms - meta.slid > every else record


# Handlers --------------------------------------------------------------------


def start(key: Key, operation: Start, now: int) -> Step:
    ms = now // 1000
    adopt = operation.adopt
    life, version = (operation.id, 1) if adopt is None else (adopt.life, adopt.version + 1)
    for record in (key.active, key.finished):
        if record is not None and record.meta.life == life and record.meta.version >= version:
            # A repeat: whoever changed it since, this one has started what it started.
            meta = replace(record.meta, version=version, write=operation.id, finished=0)
            return key, Saved(meta)
    lost, active = is_lost(key, operation.lock), key.active
    if operation.read and active is not None and not lost:
        return read_active(register(key, operation.lock, ms), active, operation.touch_every, ms)
    if is_past_telling(key, operation, ms):  # what is active may have come after its own had gone
        return key, Unknown()
    if lost:
        return key, Lost()
    if active is not None:
        return key, InProgress(Found(active.meta, active.payload))
    locked = held_by_another(key, operation.lock, ms)
    if locked is not None:
        return key, locked
    key = begin(register(key, operation.lock, ms), operation, life, version, ms)
    assert key.active is not None
    return key, Saved(key.active.meta)


def has_begun(key: Key, start: Start) -> bool:
    """Whether what ``start`` asks for began before, as far as the key remembers."""
    if key.deed is not None and key.deed.id == start.id:
        return True
    return key.finished is not None and key.finished.meta.life == start.id


def begin(key: Key, operation: Start, life: int, version: int, ms: int) -> Key:
    old = operation.adopt
    if old is not None:
        meta = replace(old, version=version, write=operation.id, owner=operation.owner, updated=ms)
    else:
        ends = min(ms + operation.absolute, FOREVER) if operation.absolute else FOREVER
        meta = Meta(
            life=life,
            version=version,
            write=operation.id,
            owner=operation.owner,
            started=ms,
            updated=ms,
            slid=ms,
            idle=operation.idle,
            ends=ends,
            expires=_expires(ms, operation.idle, ends),
        )
    return replace(
        key, active=Record(meta, operation.payload), deed=remember(key, operation.id, ms)
    )


def read_active(key: Key, active: Record, touch_every: int | None, ms: int) -> Step:
    """The active session as it is read, slid if that is due."""
    record = _slide_if_due(active, touch_every, ms)
    if record is not active:
        key = replace(key, active=record)
    return key, Found(record.meta, record.payload)


def read(key: Key, operation: Read, now: int) -> Step:
    if operation.lock is not None:
        if is_lost(key, operation.lock):
            return key, Lost()
        if key.active is not None:
            key = register(key, operation.lock, now // 1000)
    if operation.finished:
        if key.finished is not None:
            return key, Found(key.finished.meta, key.finished.payload)
        return key, Missing() if key.active is None else IsActive()
    active = key.active
    if active is None:
        return key, absent(key)
    if operation.slide:
        return read_active(key, active, operation.touch_every, now // 1000)
    return key, Found(active.meta, active.payload)


def touch(key: Key, operation: Touch, now: int) -> Step:
    active = key.active
    if active is None:
        return key, absent(key)
    if operation.life and operation.life != active.meta.life:
        return key, Missing()
    record = _slide(active, now // 1000)
    return replace(key, active=record), Saved(record.meta)


def _changed(meta: Meta, id: int, ms: int) -> Meta:
    """``meta`` after a change at ``ms``: the next version, its idle timeout begun anew."""
    expires = _expires(ms, meta.idle, meta.ends)
    return replace(meta, version=meta.version + 1, write=id, updated=ms, slid=ms, expires=expires)


def write(key: Key, operation: Write, now: int) -> Step:
    ms = now // 1000
    active = key.active
    if active is not None and active.meta.write == operation.id:
        return key, Saved(active.meta)
    refusal = refuse_writer(key, operation, ms)
    if refusal is not None:
        if was_perhaps_done(key, operation, ms):
            return let_go(key, operation, ms), Unknown()
        return (key if type(refusal) is Lost else let_go(key, operation, ms)), refusal
    assert active is not None
    meta = _changed(active.meta, operation.id, ms)
    key = register(let_go(key, operation, ms), operation.lock, ms)
    key = replace(key, active=Record(meta, operation.payload), deed=remember(key, operation.id, ms))
    return key, Saved(meta)


def finish(key: Key, operation: Finish, now: int) -> Step:
    ms = now // 1000
    finished = key.finished
    if finished is not None and finished.meta.write == operation.id:
        return key, _finished_outcome(operation, finished)
    if operation.stamp is None and is_past_telling(key, operation, ms):
        return key, Unknown()
    refusal = refuse_writer(key, operation, ms)
    if refusal is not None:
        return key, Unknown() if was_perhaps_done(key, operation, ms) else refusal
    active = key.active
    assert active is not None
    record = finished_record(active, operation.id, operation.retention, ms)
    if operation.payload is not None:
        record = Record(record.meta, operation.payload)
    key = replace(
        register(key, operation.lock, ms),
        active=None,
        finished=record if operation.retention else None,
        deed=remember(key, operation.id, ms),
    )
    return key, _finished_outcome(operation, record)


def finished_record(active: Record, id: int, retention: int, ms: int) -> Record:
    """An active session as the finished one that operation ``id`` makes of it."""
    meta = replace(
        active.meta,
        version=active.meta.version + 1,
        write=id,
        updated=ms,
        finished=ms,
        expires=min(ms + retention, FOREVER),
    )
    return Record(meta, active.payload)


def _finished_outcome(operation: Finish, record: Record) -> Found | Saved:
    if operation.payload is None:
        return Found(record.meta, record.payload)
    return Saved(record.meta)


def resume(key: Key, operation: Resume, now: int) -> Step:
    ms = now // 1000
    active, finished = key.active, key.finished
    if active is not None and active.meta.write == operation.id:
        return key, Found(active.meta, active.payload)
    if is_past_telling(key, operation, ms):
        return key, Unknown()
    if is_lost(key, operation.lock):
        return key, Lost()
    if active is not None:
        return key, IsActive()
    if finished is None or (operation.life and finished.meta.life != operation.life):
        return key, Missing()
    locked = held_by_another(key, operation.lock, ms)
    if locked is not None:
        return key, locked
    old = finished.meta
    ends = FOREVER if old.ends == FOREVER else min(old.ends + ms - old.finished, FOREVER)
    meta = _changed(replace(old, ends=ends, finished=0), operation.id, ms)
    key = replace(
        register(key, operation.lock, ms),
        active=Record(meta, finished.payload),
        finished=None,
        deed=remember(key, operation.id, ms),
    )
    return key, Found(meta, finished.payload)


def delete(key: Key, operation: Delete, now: int) -> Step:
    ms = now // 1000
    if key.active is None and key.deed is not None and key.deed.id == operation.id:
        return key, Deleted(True)
    if operation.stamp is not None:
        refusal = refuse_writer(key, operation, ms)
        if refusal is not None:
            return key, Unknown() if was_perhaps_done(key, operation, ms) else refusal
        key = register(key, operation.lock, ms)
        return replace(key, active=None, deed=remember(key, operation.id, ms)), Deleted(True)
    if is_past_telling(key, operation, ms):
        return key, Unknown()
    lives = {record.meta.life for record in (key.active, key.finished) if record is not None}
    if not lives or (operation.life and operation.life not in lives):
        return key, Deleted(False)
    key = replace(key, active=None, finished=None, deed=remember(key, operation.id, ms))
    return key, Deleted(True)
