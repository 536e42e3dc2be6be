"""What can be asked of a store, and what it answers: plain data.

An operation names its *address* and carries all that a store needs to decide
it; an outcome is what came of it. `machine.apply` says what every operation
means; a backend executes them. Times are integers: points in time in
milliseconds of the store's clock since 1970 (tokens: microseconds), durations in
milliseconds. Ids are 63 random bits.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

__all__ = [
    "FOREVER",
    "Acquire",
    "Address",
    "Broken",
    "CountOwner",
    "Counted",
    "Delete",
    "Deleted",
    "EndOwner",
    "Ended",
    "Failed",
    "Finish",
    "Found",
    "FoundShared",
    "Granted",
    "Hold",
    "InProgress",
    "IsActive",
    "IsFinished",
    "Item",
    "Limit",
    "LimitReached",
    "ListOwner",
    "Listed",
    "Locked",
    "Lost",
    "Meta",
    "Missing",
    "NoAnswer",
    "Operation",
    "Outcome",
    "Page",
    "Ping",
    "Pong",
    "Queued",
    "Read",
    "ReadShared",
    "Reap",
    "Reaped",
    "Release",
    "Released",
    "Renew",
    "Resume",
    "Rotate",
    "Saved",
    "SavedShared",
    "Scan",
    "Shared",
    "Stale",
    "Stamp",
    "Start",
    "Time",
    "Touch",
    "Unavailable",
    "Unknown",
    "Write",
    "WriteShared",
    "repeat",
]

FOREVER = 2**53 - 1
"""The point in time at which what never expires expires: exact in every store's numbers."""


# What operations and outcomes are made of ------------------------------------


class Address(Struct, frozen=True, order=True, gc=False):
    """Where a session is: its type, its owner's scope (``""``: not owned), its stored key."""

    type: str
    scope: str
    key: str

    @property
    def slot(self) -> Address:
        """The unit within which a step is atomic: a plain session's own address, or its owner's."""
        return Address(self.type, self.scope, "") if self.scope else self


class Meta(Struct, frozen=True, gc=False):
    """What a store knows of a session beside its payload."""

    life: int  # the id of the start that this life began with
    version: int  # counted up by every change
    write: int  # the id of the operation that changed it last
    owner: str
    started: int
    updated: int
    slid: int  # when its idle timeout last began anew
    idle: int  # its idle timeout; 0: none
    ends: int  # its absolute end; FOREVER: none
    expires: int  # when it goes: as an active one, or as a finished one
    finished: int = 0  # when it was finished; 0: it is active

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.life, self.version, self.write)


class Stamp(Struct, frozen=True, gc=False):
    """Exactly what a writer has read: in which life, at which version, left by which operation."""

    life: int
    version: int
    write: int


class Hold(Struct, frozen=True, gc=False):
    """A writer's claim to hold the lock.

    Where storage and locking are one backend, the lease must be ``ticket``'s with
    exactly ``token``. Where the lock lives ``elsewhere``, the storage only refuses a
    token below the highest that it has seen, which it keeps for ``keep`` ms.
    """

    ticket: int
    token: int
    elsewhere: bool = False
    keep: int = 3_600_000


class Shared(Struct, frozen=True, gc=False):
    """What an owner's sessions of one type share.

    ``version`` rises with each write and is no lower than the store's clock in µs was, so that
    none comes back. It lives while the owner has a session, and until ``kept`` in any case.
    """

    payload: bytes
    version: int
    write: int  # the id of the operation that wrote it
    kept: int


class Limit(Struct, frozen=True, gc=False):
    """How many active sessions an owner may have, and what becomes of one too many.

    It is refused, or (``finish_oldest``) those that started first are finished to make room
    for it, whoever holds their locks, and kept for ``retention`` ms.
    """

    most: int
    finish_oldest: bool = False
    retention: int = 0


# Operations ------------------------------------------------------------------
#
# `since` is a time of the store's clock, in ms, before a repeated operation was first sent;
# 0 the first time.


class Operation(Struct, frozen=True, gc=False):
    """The base of all operations. ``address`` is None for those that concern a whole store."""

    address: Address


class Start(Operation, frozen=True, gc=False):
    """Add an active session: `Saved`, or `InProgress`, `Locked`, `Lost`, `LimitReached`.

    With ``read``, an active session is read (and slid) in its place: `Found`. With
    ``adopt``, the session goes on with the life and the timeouts that it had elsewhere.
    """

    id: int
    payload: bytes
    owner: str = ""
    idle: int = 0
    absolute: int = 0
    lock: Hold | None = None
    read: bool = False
    touch_every: int | None = None
    adopt: Meta | None = None
    limit: Limit | None = None
    since: int = 0


class Read(Operation, frozen=True, gc=False):
    """Read the active or the finished session: `Found`, or `Missing`, `IsFinished`, `IsActive`.

    With ``slide``, an active session's idle timeout begins anew if it last did so longer
    ago than ``touch_every`` (None, or more than that: a twentieth of its idle timeout).
    With ``lock`` held elsewhere, its token is registered: `Lost` if a higher one was seen.
    """

    finished: bool = False
    slide: bool = False
    touch_every: int | None = None
    lock: Hold | None = None


class Touch(Operation, frozen=True, gc=False):
    """Begin the idle timeout anew: `Saved`, or as `Read`. ``life`` 0: whatever life it is."""

    life: int = 0


class Write(Operation, frozen=True, gc=False):
    """Save a session as read at ``stamp``: `Saved`, or as `Read`, `Lost`, `Locked`, `Stale`.

    With ``release``, the lock is let go in the same step, also if the write is refused.
    """

    id: int
    stamp: Stamp
    payload: bytes
    lock: Hold | None = None
    release: bool = False
    since: int = 0


class Finish(Operation, frozen=True, gc=False):
    """Make the active session the finished one, kept for ``retention`` ms (0: not at all).

    By key: `Found`, with its payload. With ``stamp`` and ``payload``, saved and checked as
    by `Write`: `Saved`. FOREVER keeps it for ever.
    """

    id: int
    retention: int
    stamp: Stamp | None = None
    payload: bytes | None = None
    lock: Hold | None = None
    since: int = 0


class Resume(Operation, frozen=True, gc=False):
    """Make the finished session the active one: `Found`, or `Missing`, `IsActive`, `Locked`.

    Past ``limit`` it is refused, whatever else that says: `LimitReached`.
    """

    id: int
    life: int = 0
    lock: Hold | None = None
    limit: Limit | None = None
    since: int = 0


class Delete(Operation, frozen=True, gc=False):
    """Remove the active and the finished session, whoever holds the lock: `Deleted`.

    With ``life``, only if one of them is of that life. With ``stamp``, it is a writer's:
    only the active session goes, checked as by `Write`.
    """

    id: int
    life: int = 0
    stamp: Stamp | None = None
    lock: Hold | None = None
    since: int = 0


class Acquire(Operation, frozen=True, gc=False):
    """Take the lock for ``lease`` ms: `Granted`, `Queued`, or `Locked` if not to ``queue``.

    The same ``ticket`` again is the request's repeat, the look of one who waits (a sign of
    life: the next comes within ``look_every`` ms), and what makes a claim a full lease.
    With ``queue`` off it is the last look, and leaves the queue. With ``read`` (or
    ``start``, for a session that is not there) the session comes along; without one there
    is no lock either: `Missing`, `IsFinished`.
    """

    ticket: int
    lease: int
    holder: str = ""
    look_every: int = 1_000
    queue: bool = True
    read: bool = False
    touch_every: int | None = None
    start: Start | None = None
    keep: int = 3_600_000


class Renew(Operation, frozen=True, gc=False):
    """Prolong a lease that is still held: `Granted`, or `Lost`. Never makes one."""

    ticket: int
    token: int
    lease: int
    keep: int = 3_600_000


class Release(Operation, frozen=True, gc=False):
    """Let the lock go, or leave its queue: `Released`, or `Lost` if it was neither.

    With ``life``, it also says whether that session is still active: `Missing`, `IsFinished`
    (the lock is let go all the same); a repeat, of one that has ended since: `Unknown`.
    """

    ticket: int
    life: int = 0
    since: int = 0


class Time(Operation, frozen=True, gc=False):
    """Ask what time it is where the address is: `Pong`. Changes nothing."""


class Rotate(Operation, frozen=True, gc=False):
    """Save a session as `Write` does, and move it to the key ``to`` of its owner: `Saved`.

    Its timeouts stay as they are, and so does the old key's lock. There is no session at
    ``to`` yet, or else: `InProgress`.
    """

    id: int
    stamp: Stamp
    payload: bytes
    to: str
    lock: Hold | None = None
    since: int = 0


# Of an owner as a whole. The address names the scope, and its key is "".


class ListOwner(Operation, frozen=True, gc=False):
    """The owner's active sessions, newest first: `Listed`. Begins no idle timeout anew."""


class CountOwner(Operation, frozen=True, gc=False):
    """How many active sessions the owner has: `Counted`."""


class EndOwner(Operation, frozen=True, gc=False):
    """End all of the owner's sessions but for those at ``keep``: `Ended`.

    Whoever holds their locks: active ones are finished and kept for ``retention`` ms; with
    None, active and finished ones are removed.
    """

    id: int
    retention: int | None = None
    keep: str = ""
    since: int = 0


class ReadShared(Operation, frozen=True, gc=False):
    """What the owner's sessions share: `FoundShared`."""


class WriteShared(Operation, frozen=True, gc=False):
    """Replace what the owner's sessions share, as read: `SavedShared`, or `Stale`.

    ``version`` and ``write`` are those that were read, 0 where there was nothing. It is kept
    for ``keep`` ms at least, FOREVER: for ever.
    """

    id: int
    version: int
    write: int
    payload: bytes
    keep: int
    since: int = 0


# Of a store as a whole


class Scan(Struct, frozen=True, gc=False):
    """A page of a type's sessions, active or finished, from ``cursor`` on: `Page`."""

    type: str
    finished: bool = False
    cursor: str = ""
    limit: int = 100
    address: None = None


class Reap(Struct, frozen=True, gc=False):
    """Remove at most ``limit`` of what expired, oldest first: `Reaped`."""

    limit: int = 1_000
    address: None = None


class Ping(Struct, frozen=True, gc=False):
    """Ask whether the store answers: `Pong`."""

    address: None = None


# Outcomes --------------------------------------------------------------------


class Outcome(Struct, frozen=True, gc=False):
    """The base of all outcomes."""


class Found(Outcome, frozen=True, gc=False):
    """A session, whole, with what its owner's sessions share."""

    meta: Meta
    payload: bytes
    shared: Shared | None = None


class Saved(Outcome, frozen=True, gc=False):
    """Done; the session is now at ``meta``.

    Of an owned one that was started or rotated, with what its owner's sessions share, and the
    keys of those that were finished to make room for it.
    """

    meta: Meta
    shared: Shared | None = None
    ended: tuple[str, ...] = ()


class Deleted(Outcome, frozen=True, gc=False):
    """Done; ``existed`` says whether there was anything to remove."""

    existed: bool


class Granted(Outcome, frozen=True, gc=False):
    """The lock is held with ``token`` for ``expires_in`` ms more; ``found`` if it was asked for."""

    token: int
    expires_in: int
    found: Found | None = None
    ended: tuple[str, ...] = ()  # to make room for what was started


class Queued(Outcome, frozen=True, gc=False):
    """In line behind ``ahead`` others and the holder: look again within ``look_in`` ms."""

    holder: str
    ahead: int
    look_in: int


class Released(Outcome, frozen=True, gc=False):
    """The lock was let go, or the queue left."""


class Missing(Outcome, frozen=True, gc=False):
    """There is no such session."""


class IsFinished(Outcome, frozen=True, gc=False):
    """The session is finished."""


class IsActive(Outcome, frozen=True, gc=False):
    """The session is active."""


class InProgress(Outcome, frozen=True, gc=False):
    """There is an active session already."""

    found: Found


class LimitReached(Outcome, frozen=True, gc=False):
    """The owner has ``count`` active sessions, as many as it may have, or more."""

    count: int


class Locked(Outcome, frozen=True, gc=False):
    """Somebody else holds the lock, for ``expires_in`` ms more unless renewed."""

    holder: str
    expires_in: int


class Lost(Outcome, frozen=True, gc=False):
    """The lock is not held any more."""


class Stale(Outcome, frozen=True, gc=False):
    """Somebody wrote since; ``same_life`` is False if another session was started since."""

    actual: int
    same_life: bool = True


class Unknown(Outcome, frozen=True, gc=False):
    """A repeat that cannot be decided: others have been here since it was first sent."""


class Item(Struct, frozen=True, gc=False):
    """One session of many, with what its owner's sessions share."""

    address: Address
    meta: Meta
    payload: bytes
    shared: Shared | None = None


class Listed(Outcome, frozen=True, gc=False):
    """An owner's sessions, those first that started last."""

    items: list[Item]


class Counted(Outcome, frozen=True, gc=False):
    """How many sessions there are."""

    count: int


class Ended(Outcome, frozen=True, gc=False):
    """How many sessions were ended."""

    count: int


class FoundShared(Outcome, frozen=True, gc=False):
    """What an owner's sessions share; None: nothing was written, or it has gone."""

    shared: Shared | None


class SavedShared(Outcome, frozen=True, gc=False):
    """Done; what is shared is at ``version`` now."""

    version: int


class Page(Outcome, frozen=True, gc=False):
    """Sessions of a scan; ``cursor`` is where the next page begins, ``""`` after the last."""

    items: list[Item]
    cursor: str


class Reaped(Outcome, frozen=True, gc=False):
    """How much was removed."""

    count: int


class Pong(Outcome, frozen=True, gc=False):
    """The store answers; ``now`` is its clock, in µs."""

    now: int


# What a backend answers where it could not ask its store


class Unavailable(Outcome, frozen=True, gc=False):
    """Nothing was done: the operation may be sent again as it is."""

    reason: str


class NoAnswer(Outcome, frozen=True, gc=False):
    """Sent, and no answer came: it may be sent again, saying `since` when."""

    reason: str


class Failed(Outcome, frozen=True, gc=True):
    """Refused for good with ``error``; nothing was done."""

    error: Exception


class Broken(Outcome, frozen=True, gc=False):
    """What the store holds under this address is none of ours. It stays where it is."""

    reason: str


def repeat(operation: Any, since: int) -> Any:
    """``operation`` as it is sent again: the first time was not before ``since``.

    That is the store's clock, in ms, which `Time` tells. However long a repeat is on its way, what
    others did after the first sending is no older than it.
    """
    return replace(operation, since=since) if hasattr(operation, "since") else operation
