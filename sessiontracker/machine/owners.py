"""What an owner's sessions have to do with each other.

Their number is limited, they are listed, counted and ended together, and they share a state.
An ending is remembered once for all keys: whatever a key's own last deed was, that was the
key's too.
"""

from __future__ import annotations

from msgspec.structs import replace

from ..operations import (
    FOREVER,
    Acquire,
    Counted,
    CountOwner,
    Delete,
    Ended,
    EndOwner,
    Finish,
    Found,
    FoundShared,
    Granted,
    InProgress,
    Item,
    Limit,
    LimitReached,
    Listed,
    ListOwner,
    Meta,
    Operation,
    Outcome,
    ReadShared,
    Resume,
    Rotate,
    Saved,
    SavedShared,
    Shared,
    Stale,
    Start,
    Unknown,
    Write,
    WriteShared,
)
from ..state import (
    NOTHING,
    REMEMBERED,
    Deed,
    Ending,
    Key,
    Record,
    Slot,
    is_forgotten,
    put,
    settle,
    settle_owner,
)
from .rules import leave, refuse_writer, register, remember, was_perhaps_done
from .sessions import finished_record

__all__ = [
    "admit",
    "count",
    "end",
    "forgetting",
    "list_",
    "read_shared",
    "remembering",
    "rotate",
    "with_owner",
    "write_shared",
]

Step = tuple[Slot, Outcome]

_TOLD_OF_DEEDS = (Start, Write, Finish, Resume, Delete, Rotate)


def _active(key: Key, ms: int) -> Record | None:
    """The active session, if it has not expired. Locks are left to those who come for them."""
    record = key.active
    return record if record is not None and ms < record.meta.expires else None


# What a key remembers ----------------------------------------------------------


def remembering(key: Key, operation: Operation, ending: Ending | None) -> Key:
    """``key`` as one that remembers the last ``ending`` too, if that came after its own deed."""
    if ending is None or not isinstance(operation, _TOLD_OF_DEEDS):
        return key
    if key.deed is not None and key.deed.time > ending.time:
        return key
    return replace(key, deed=Deed(ending.id, ending.time))


def forgetting(after: Key, before: Key, known: Key) -> Key:
    """``after``, without what ``before`` was lent by `remembering` over what was ``known``."""
    if after.deed is before.deed and after.deed is not known.deed:
        return replace(after, deed=known.deed)
    return after


# What a session comes with -----------------------------------------------------


def with_owner(outcome: Outcome, operation: Operation, slot: Slot) -> Outcome:
    """``outcome`` with what the owner's sessions share, and with who made room for it."""
    shared = slot.shared
    if isinstance(outcome, Found):
        return outcome if shared is None else _found(outcome, shared)
    if isinstance(outcome, InProgress):
        return InProgress(_found(outcome.found, shared))
    if isinstance(outcome, Granted) and outcome.found is not None:
        assert isinstance(operation, Acquire)
        found = _found(outcome.found, shared)
        return replace(outcome, found=found, ended=_made_room(slot, operation.start))
    if isinstance(outcome, Saved) and isinstance(operation, Start):
        return Saved(outcome.meta, shared, _made_room(slot, operation))
    return outcome


def _found(found: Found, shared: Shared | None) -> Found:
    return Found(found.meta, found.payload, shared)


def _made_room(slot: Slot, start: Start | None) -> tuple[str, ...]:
    """The keys of those that ``start`` finished, as far as they are kept."""
    if start is None or not _makes_room(start):
        return ()
    return tuple(
        sorted(
            name
            for name, key in slot.keys.items()
            if key.finished is not None and key.finished.meta.write == start.id
        )
    )


# The limit ---------------------------------------------------------------------


def admit(
    slot: Slot, before: Key, after: Key, operation: Operation, outcome: Outcome, ms: int
) -> Step:
    """A session begins, ``before`` made ``after``, if the owner may have one more."""
    name = operation.address.key
    begun = operation.start if isinstance(operation, Acquire) else operation
    assert isinstance(begun, (Start, Resume))
    limit = begun.limit
    others = [] if limit is None else _oldest_first(slot, name, ms)
    too_many = [] if limit is None else others[: max(0, len(others) + 1 - limit.most)]
    if too_many and not _makes_room(begun):
        left = leave(before, operation.ticket, ms) if isinstance(operation, Acquire) else before
        return slot if left is before else put(slot, name, left, ms), LimitReached(len(others))
    slot = settle_owner(slot, ms)  # what is shared by sessions long gone is not for this one
    if limit is not None:
        slot = _finish(slot, too_many, begun.id, limit, ms)
    slot = put(slot, name, after, ms)
    return slot, with_owner(outcome, operation, slot)


def _makes_room(begun: Start | Resume) -> bool:
    return isinstance(begun, Start) and begun.limit is not None and begun.limit.finish_oldest


def _oldest_first(slot: Slot, but: str, ms: int) -> list[str]:
    """The keys of all active sessions ``but`` one, as they started."""
    found: list[tuple[int, str]] = []
    for name, key in slot.keys.items():
        active = _active(key, ms)
        if active is not None and name != but:
            found.append((active.meta.started, name))
    return [name for _, name in sorted(found)]


def _finish(slot: Slot, names: list[str], id: int, limit: Limit, ms: int) -> Slot:
    """``slot`` with the sessions of ``names`` finished, to make room."""
    for name in names:
        key = slot.keys[name]
        assert key.active is not None
        kept = finished_record(key.active, id, limit.retention, ms) if limit.retention else None
        key = replace(key, active=None, finished=kept, deed=remember(key, id, ms))
        slot = put(slot, name, key, ms)
    return slot


# All of them -------------------------------------------------------------------


def list_(slot: Slot, operation: ListOwner, now: int) -> Step:
    items: list[Item] = []
    for name, key in slot.keys.items():
        active = _active(key, now // 1000)
        if active is not None:
            address = replace(operation.address, key=name)
            items.append(Item(address, active.meta, active.payload, slot.shared))
    items.sort(key=lambda item: (-item.meta.started, item.address.key))
    return slot, Listed(items)


def count(slot: Slot, operation: CountOwner, now: int) -> Step:
    ms = now // 1000
    return slot, Counted(sum(_active(key, ms) is not None for key in slot.keys.values()))


def end(slot: Slot, operation: EndOwner, now: int) -> Step:
    ms = now // 1000
    last = slot.ending
    if last is not None and last.id == operation.id:
        return slot, Ended(last.count)
    if operation.since and _was_another_since(slot, operation.since, ms):
        return slot, Unknown()
    keys: dict[str, Key] = {}
    gone = 0
    for name, key in slot.keys.items():
        after, ended = (key, 0) if name == operation.keep else _end(key, operation, ms)
        gone += ended
        # What keys without sessions remember is left to who sweeps: they need not be read.
        if after != NOTHING and not (ended and is_forgotten(after, ms)):
            keys[name] = after
    if not gone:
        return slot, Ended(0)
    time = ms if last is None else max(ms, last.time)
    return Slot(keys, slot.shared, Ending(operation.id, time, gone)), Ended(gone)


def _end(key: Key, operation: EndOwner, ms: int) -> tuple[Key, int]:
    """``key`` without its sessions, or with the active one finished; how many that were."""
    active = _active(key, ms)
    finished = key.finished
    if finished is not None and ms >= finished.meta.expires:
        finished = None
    retention = operation.retention
    if retention is None:
        gone = (active is not None) + (finished is not None)
        finished = None
    else:
        gone = int(active is not None)
        if active is not None:
            finished = finished_record(active, operation.id, retention, ms) if retention else None
    if key.active is None and key.finished is finished:
        return key, 0
    return replace(key, active=None, finished=finished), gone


def _was_another_since(slot: Slot, since: int, ms: int) -> bool:
    """Whether anything was done to the owner's sessions ``since`` then, or may have been."""
    if ms - since >= REMEMBERED:
        return True
    if slot.ending is not None and slot.ending.time >= since:
        return True
    deeds = [key.deed for key in slot.keys.values()]
    return any(deed is not None and deed.time >= since for deed in deeds)


# Another key -------------------------------------------------------------------


def rotate(slot: Slot, operation: Rotate, now: int) -> Step:
    ms = now // 1000
    name, stamp = operation.address.key, operation.stamp
    known = settle(slot.keys.get(name, NOTHING), ms)
    old = remembering(known, operation, slot.ending)
    new = settle(slot.keys.get(operation.to, NOTHING), ms)
    version = stamp.version + 1
    for record in (new.active, new.finished):
        if record is not None and _has_moved(record.meta, operation):
            meta = replace(record.meta, version=version, write=operation.id, finished=0)
            return slot, Saved(meta, slot.shared)
    refusal = refuse_writer(old, operation, ms)
    if refusal is not None:
        return slot, Unknown() if was_perhaps_done(old, operation, ms) else refusal
    if new.active is not None:
        return slot, InProgress(Found(new.active.meta, new.active.payload, slot.shared))
    assert old.active is not None
    meta = replace(old.active.meta, version=version, write=operation.id, updated=ms)
    record = Record(meta, operation.payload)
    old = register(old, operation.lock, ms)
    old = replace(old, active=None, deed=remember(old, operation.id, ms))
    new = replace(new, active=record, deed=remember(new, operation.id, ms))
    slot = put(put(slot, name, old, ms), operation.to, new, ms)
    return slot, Saved(meta, slot.shared)


def _has_moved(meta: Meta, operation: Rotate) -> bool:
    """Whether it is what ``operation`` has moved; a repeat's, whoever changed it since."""
    if meta.write == operation.id:
        return True
    stamp = operation.stamp
    return bool(operation.since) and meta.life == stamp.life and meta.version > stamp.version + 1


# What they share ---------------------------------------------------------------


def read_shared(slot: Slot, operation: ReadShared, now: int) -> Step:
    return slot, FoundShared(settle_owner(slot, now // 1000).shared)


def write_shared(slot: Slot, operation: WriteShared, now: int) -> Step:
    ms = now // 1000
    last = slot.shared
    if last is not None and last.write == operation.id:
        return slot, SavedShared(last.version)
    shared = settle_owner(slot, ms).shared
    version, write = (0, 0) if shared is None else (shared.version, shared.write)
    if (version, write) != (operation.version, operation.write):
        # Somebody may have built upon what a repeat has done, unless all was done before it.
        if operation.since and version // 1000 >= operation.since:
            return slot, Unknown()
        return slot, Stale(version)
    rising = now if last is None else max(last.version + 1, now)
    kept = min(ms + operation.keep, FOREVER)
    written = Shared(operation.payload, rising, operation.id, kept)
    return Slot(slot.keys, written, slot.ending), SavedShared(rising)
