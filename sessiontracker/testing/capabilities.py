"""Finding out what a backend can do, whatever it says."""

from __future__ import annotations

from msgspec.structs import replace

from ..contract import Capability, new_id
from ..errors import ConfigurationError
from ..operations import (
    Acquire,
    Address,
    Ended,
    EndOwner,
    Found,
    Granted,
    Limit,
    LimitReached,
    Page,
    Read,
    Release,
    Saved,
    Scan,
    Start,
)
from .harness import LONG, SCOPE, Clock, Mode, Store, new_address
from .processes import in_processes
from .subject import Subject

__all__ = ["detect"]


def detect(subject: Subject, mode: Mode, capability: Capability) -> bool:
    """Whether the backend has ``capability``, by trying."""
    return _PROBES[capability](subject, mode)


def _scans(subject: Subject, mode: Mode) -> bool:
    store = subject.open(mode)
    address = new_address()
    store.expect(Start(address, new_id(), b"one"), Saved)
    page = store.ask(Scan(address.type))
    store.close()
    return isinstance(page, Page) and [item.address for item in page.items] == [address]


def _is_shared(subject: Subject, mode: Mode) -> bool:
    """Whether another process sees what this one did."""
    store = subject.open(mode)
    address = new_address()
    if subject.storage is not None:
        store.expect(Start(address, new_id(), b"one"), Saved)
        (answer,) = in_processes(subject, mode, address, ("read",))
        shared = answer == "one"
    else:
        store.expect(Acquire(address, new_id(), LONG), Granted)
        (shared,) = in_processes(subject, mode, address, ("is_locked",))
    store.close()
    return bool(shared)


def _is_durable(subject: Subject, mode: Mode) -> bool:
    """Whether what was done is there when the store was closed and is opened again."""
    address, ticket = new_address(), new_id()
    store = subject.open(mode)
    if subject.storage is not None:
        store.expect(Start(address, new_id(), b"one"), Saved)
    else:
        store.expect(Acquire(address, ticket, LONG), Granted)
    store.close()
    store = subject.open(mode)
    if subject.storage is not None:
        kept = isinstance(store.ask(Read(address)), Found)
    else:
        kept = not _is_free(store, address)
    store.close()
    return kept


def _is_free(store: Store, address: Address) -> bool:
    return isinstance(store.ask(Acquire(address, new_id(), LONG, queue=False)), Granted)


def _is_fair(subject: Subject, mode: Mode) -> bool:
    """Whether the first in line is served first, even if the others look before it does."""
    store = subject.open(mode)
    served = all(_serves_the_first(store) for _ in range(3))
    store.close()
    return served


def _serves_the_first(store: Store) -> bool:
    address = new_address()
    holder, *waiters = [new_id() for _ in range(6)]
    for ticket in (holder, *waiters):
        store.ask(Acquire(address, ticket, LONG, look_every=LONG))
    for at, first in enumerate(waiters):
        store.ask(Release(address, holder))
        for other in reversed(waiters[at + 1 :]):
            store.ask(Acquire(address, other, LONG, look_every=LONG))
        if not isinstance(store.ask(Acquire(address, first, LONG, look_every=LONG)), Granted):
            return False
        holder = first
    return True


def _keeps_owners(subject: Subject, mode: Mode) -> bool:
    """Whether a limit holds between an owner's keys, and all of them can be ended at once."""
    store = subject.open(mode)
    one, other = new_address("kone", SCOPE), new_address("kother", SCOPE)
    other = replace(other, type=one.type)
    try:
        store.ask(Start(one, new_id(), b"one", limit=Limit(1)))
        refused = store.ask(Start(other, new_id(), b"other", limit=Limit(1)))
        kept = refused == LimitReached(1)
        return kept and store.ask(EndOwner(replace(one, key=""), new_id())) == Ended(1)
    except Exception:  # whatever it says to what it does not know
        return False
    finally:
        store.close()


def _takes_a_clock(subject: Subject, mode: Mode) -> bool:
    clock = Clock()
    try:
        store = subject.open(mode, clock)
    except ConfigurationError:
        return False
    clock.now += 86_400_000_000
    told = store.now_us()
    store.close()
    return told == clock.now


_PROBES = {
    Capability.SCAN: _scans,
    Capability.PROCESSES: _is_shared,
    Capability.DURABLE: _is_durable,
    Capability.FAIR: _is_fair,
    Capability.OWNERS: _keeps_owners,
    Capability.CLOCK: _takes_a_clock,
}
