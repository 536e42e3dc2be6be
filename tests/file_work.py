"""What a process of its own does to a directory of sessions, for ``test_file.py``.

``increment ROOT TIMES`` adds one to the session, so many times, each under its lock, and
prints a line for each; ``hold ROOT LEASE`` prints ``held`` once it has the lock, and keeps it;
``write ROOT`` writes without end, and prints each payload once it is acknowledged.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sessiontracker.backend import ThreadedBackend, new_id
from sessiontracker.file import FileStore
from sessiontracker.operations import (
    Acquire,
    Address,
    Found,
    Granted,
    Hold,
    Outcome,
    Queued,
    Read,
    Saved,
    Write,
)

HERE = Address("checkout", "", "korder-42")


def ask(backend: ThreadedBackend, operation: Any) -> Outcome:
    [outcome] = backend.execute([operation])
    return outcome


def lock(backend: ThreadedBackend, lease: int) -> tuple[Hold, Found]:
    ticket = new_id()
    while True:
        outcome = ask(backend, Acquire(HERE, ticket, lease, read=True))
        if isinstance(outcome, Granted):
            assert outcome.found is not None
            return Hold(ticket, outcome.token), outcome.found
        assert isinstance(outcome, Queued), outcome
        backend.wait(ticket, outcome.look_in / 1000)


def increment(backend: ThreadedBackend, times: int) -> None:
    for _ in range(times):
        hold, found = lock(backend, 30_000)
        payload = b"%d" % (int(found.payload) + 1)
        write = Write(HERE, new_id(), found.meta.stamp, payload, lock=hold, release=True)
        assert isinstance(ask(backend, write), Saved)
        print(payload.decode(), flush=True)


def hold(backend: ThreadedBackend, lease: int) -> None:
    lock(backend, lease)
    print("held", flush=True)
    sys.stdin.read()


def write(backend: ThreadedBackend) -> None:
    found = ask(backend, Read(HERE))
    assert isinstance(found, Found)
    stamp, count = found.meta.stamp, int(found.payload.split()[0])
    while True:
        count += 1
        saved = ask(backend, Write(HERE, new_id(), stamp, b"%d " % count + bytes(20_000)))
        assert isinstance(saved, Saved)
        stamp = saved.meta.stamp
        print(count, flush=True)


if __name__ == "__main__":
    work, root, *numbers = sys.argv[1:]
    backend = ThreadedBackend(FileStore(Path(root)))
    backend.open()
    {"increment": increment, "hold": hold, "write": write}[work](backend, *map(int, numbers))
