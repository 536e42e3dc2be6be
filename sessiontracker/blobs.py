"""Slots as blobs: what a compare-and-swap store keeps of one, under which name, and a step on it.

A blob begins with a mark of its version and a checksum, and names the slot that it holds, so
that one which was damaged, or put in another's place, is told from a slot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from zlib import crc32

from msgspec import Struct, msgpack
from msgspec.structs import replace

from .machine import apply
from .operations import Address, Granted, Operation, Outcome
from .state import Key, Slot, is_empty, is_forgotten, settle, settle_owner

__all__ = [
    "Blob",
    "UndecodableError",
    "claims",
    "decode",
    "encode",
    "prefix",
    "shed",
    "shorten",
    "slot_name",
    "step",
]

_VERSION_1 = b"ST\x01"
_HEAD = len(_VERSION_1) + 4
_ODD = re.compile("[^a-z0-9_]")
_HINT = 40


class UndecodableError(Exception):
    """What the store holds under a slot's name is no slot, or not this one."""


class Blob(Struct, frozen=True, array_like=True):
    """A slot as it is kept: ``time`` is the clock, in µs, of the step that left it."""

    at: tuple[str, str, str]
    time: int
    slot: Slot

    @property
    def address(self) -> Address:
        return Address(*self.at)


_decoder = msgpack.Decoder(Blob)


def prefix(type: str) -> str:
    """What the names of all slots of a type begin with; another type's may begin so too."""
    return _ODD.sub("_", type.lower())[:_HINT] + "-"


def slot_name(slot: Address) -> str:
    """The name of a slot: at most 81 characters out of ``a-z0-9_-``, whatever its key is."""
    digest = blake2b(msgpack.encode((slot.type, slot.scope, slot.key)), digest_size=20)
    return prefix(slot.type) + digest.hexdigest()


def encode(address: Address, time: int, slot: Slot) -> bytes | None:
    """The blob of ``slot``; None for one that holds nothing."""
    if is_empty(slot):
        return None
    body = msgpack.encode(Blob((address.type, address.scope, address.key), time, slot))
    return _VERSION_1 + crc32(body).to_bytes(4, "big") + body


def decode(name: str, data: bytes) -> Blob:
    """The slot called ``name``. Raises: UndecodableError."""
    if not data.startswith(_VERSION_1):
        raise UndecodableError(
            f"slot {name} does not begin as one of sessiontracker's, or a newer one wrote it"
        )
    body = memoryview(data)[_HEAD:]
    if crc32(body).to_bytes(4, "big") != data[len(_VERSION_1) : _HEAD]:
        raise UndecodableError(f"slot {name} is damaged: its checksum does not fit")
    try:
        blob = _decoder.decode(body)
    except (RecursionError, ValueError) as error:
        raise UndecodableError(f"slot {name} is damaged: {error}") from None
    if slot_name(blob.address) != name:
        raise UndecodableError(f"slot {name} holds another slot's data")
    return blob


# A step --------------------------------------------------------------------------


def step(slot: Slot, operations: Iterable[Operation], now: int) -> tuple[Slot, list[Outcome]]:
    """``slot`` after ``operations``, one after the other, and their outcomes."""
    outcomes: list[Outcome] = []
    for operation in operations:
        slot, outcome = apply(slot, operation, now)
        outcomes.append(outcome)
    return slot, outcomes


def shed(slot: Slot, now: int, skew: int) -> tuple[Slot, int]:
    """``slot`` without what expired and what need not be remembered; how many sessions went.

    What clocks ``skew`` ms behind still have to remember stays, and locks are left to those
    who come for them.
    """
    ms = now // 1000
    keys: dict[str, Key] = {}
    gone = 0
    for name, key in slot.keys.items():
        settled = settle(key, ms)
        expired = (key.active is not settled.active) + (key.finished is not settled.finished)
        gone += expired
        left = key
        if expired:
            left = replace(key, active=settled.active, finished=settled.finished)
        if not is_forgotten(settle(left, ms - skew), ms - skew):
            keys[name] = left
    if gone or len(keys) < len(slot.keys):
        slot = Slot(keys, slot.shared, slot.ending)
    return settle_owner(slot, ms - skew), gone


def claims(slot: Slot) -> list[int]:
    """The tickets that the locks of ``slot`` are kept free for."""
    locks = [key.lock for key in slot.keys.values()]
    return [
        lock.lease.ticket
        for lock in locks
        if lock is not None and lock.lease is not None and not lock.lease.token
    ]


def shorten(outcomes: Iterable[Outcome], skew: int) -> list[Outcome]:
    """``outcomes`` with leases that end for their holder before they end for anybody else."""
    return [
        replace(outcome, expires_in=max(0, outcome.expires_in - skew))
        if isinstance(outcome, Granted)
        else outcome
        for outcome in outcomes
    ]
