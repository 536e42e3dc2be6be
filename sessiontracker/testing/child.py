"""Another process on the same store: it says when it is ready, and works when told to.

Started by `processes`, with one line of JSON on its input; the second line is the word
to begin. It answers with one line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, cast

from ..contract import new_id
from ..operations import Acquire, Address, Found, Granted, Locked, Queued, Read, Saved, Stale, Write
from .harness import Mode, Store, await_grant, hold
from .subject import Subject

LEASE = 60_000


def read(store: Store, address: Address) -> str | None:
    """The session's payload; None if there is none."""
    outcome = store.ask(Read(address))
    return outcome.payload.decode() if isinstance(outcome, Found) else None


def is_locked(store: Store, address: Address) -> bool:
    """Whether somebody holds the lock."""
    return isinstance(store.ask(Acquire(address, new_id(), LEASE, queue=False)), Locked)


def count_by_version(store: Store, address: Address, times: int) -> int:
    """Count the session up so many times; how often another writer was faster."""
    conflicts = 0
    while times:
        found = store.expect(Read(address), Found)
        payload = b"%d" % (int(found.payload) + 1)
        outcome = store.ask(Write(address, new_id(), found.meta.stamp, payload))
        if isinstance(outcome, Saved):
            times -= 1
        else:
            assert isinstance(outcome, Stale), outcome
            conflicts += 1
    return conflicts


def count_under_the_lock(store: Store, address: Address, times: int) -> list[int]:
    """Count the session up so many times, holding its lock; the tokens."""
    tokens: list[int] = []
    every = int(store.backend.look_every * 1000)
    for _ in range(times):
        ticket = new_id()
        call = Acquire(address, ticket, LEASE, look_every=every, read=True)
        granted = await_grant(store, call)
        assert granted.found is not None
        tokens.append(granted.token)
        payload = b"%d" % (int(granted.found.payload) + 1)
        stamp, lock = granted.found.meta.stamp, hold(ticket, granted)
        store.expect(Write(address, new_id(), stamp, payload, lock=lock, release=True), Saved)
    return tokens


def take(store: Store, address: Address, lease: int) -> int:
    """Take the lock and end, as one that is killed does; the token."""
    return store.expect(Acquire(address, new_id(), lease), Granted).token


def queue(store: Store, address: Address, every: int) -> int:
    """Get in line and end, as one that is killed does; how many were ahead."""
    call = Acquire(address, new_id(), LEASE, look_every=every)
    return store.expect(call, Queued).ahead


DEEDS: dict[str, Callable[..., Any]] = {
    deed.__name__: deed
    for deed in (read, is_locked, count_by_version, count_under_the_lock, take, queue)
}


def main() -> None:
    order = json.loads(sys.stdin.readline())
    subject = Subject.found(order["name"], order["options"])
    store = subject.open(cast("Mode", order["mode"]))
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    answer = DEEDS[order["deed"]](store, Address(*order["address"]), *order["arguments"])
    print(json.dumps(answer), flush=True)  # noqa: T201
    if order["deed"] not in ("take", "queue"):
        store.close()
