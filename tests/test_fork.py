"""After a fork: the child opens connections of its own, and the parent's locks are not the child's.

Each test runs a small program, for a fork copies the whole process, its threads not among it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

ROOT = Path(__file__).parent.parent

PRELUDE = """
import asyncio, os, sys, time, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from sessiontracker import *
from sessiontracker.operations import Release, Renew
from tests.faulty import FaultyAsyncTracker, FaultyTracker, locks_left
from tests.trackers import Checkout

def lost(call, *arguments):
    try:
        call(*arguments)
    except LockLostError:
        return True
    return False

def in_child(work):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0, "the child failed"
"""


def run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("done\n")


def test_a_child_opens_connections_of_its_own() -> None:
    run(
        """
tracker = FaultyTracker()
tracker.open()
tracker.start(Checkout(key="a"))
faults, parents = tracker.faults["memory"], tracker.stores["memory"]

def child():
    asked = len(faults.log)
    tracker.start(Checkout(key="b"))
    assert faults.opened == 2
    assert tracker.stores["memory"] is not parents
    assert len(parents._store.slots) == 1, "the child asked its parent's connection"
    tracker.close()
    assert faults.closed == 1, "the child closed its parent's connection"

in_child(child)
in_child(child)
assert faults.opened == 1
tracker.get(Checkout, "a")
tracker.close()
print("done")
"""
    )


def test_the_parent_s_locks_are_not_the_child_s() -> None:
    run(
        """
tracker = FaultyTracker()
tracker.open()
tracker.start(Checkout(key="a"))
faults, parents = tracker.faults["memory"], tracker.stores
with tracker.get_locked(Checkout, "a", lease=60) as session:
    lock = tracker.lock_of(session)
    before = dict(parents)

    def child():
        asked = len(faults.log)
        assert lost(lock.check)
        assert lock.lost
        assert lock.expires_in == 0
        assert lost(tracker.update, session)
        assert len(locks_left(before)) == 1
        assert len(faults.log) == asked

    in_child(child)
    lock.check()
    session.count = 1
assert tracker.get(Checkout, "a").count == 1
assert locks_left(parents) == []
print("done")
"""
    )


@pytest.mark.parametrize("leaving", ["raise SystemExit", "raise KeyError", "pass"])
def test_a_child_that_leaves_its_parent_s_block_lets_nothing_go(leaving: str) -> None:
    run(
        f"""
tracker = FaultyTracker()
tracker.open()
tracker.start(Checkout(key="a"))
faults, parents = tracker.faults["memory"], dict(tracker.stores)
pid = None
try:
    with tracker.get_locked(Checkout, "a", lease=60) as session:
        asked = len(faults.log)
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            session.count = 7
            {leaving}
        else:
            assert os.waitpid(pid, 0)[1] == 0, "the child failed"
            session.count = 1
except (SystemExit, KeyError, LockLostError):
    if pid:
        raise
    os._exit(0 if len(faults.log) == asked and len(locks_left(parents)) == 1 else 1)
if not pid:
    os._exit(2)
assert tracker.get(Checkout, "a").count == 1
print("done")
"""
    )


def test_a_child_renews_nothing_of_its_parent_s() -> None:
    run(
        """
tracker = FaultyTracker()
tracker.open()
faults = tracker.faults["memory"]
with tracker.lock(Checkout, "a", lease=1.5) as lock:
    while not faults.asked(Renew):
        time.sleep(0.01)

    def child():
        renewed = len(faults.asked(Renew))
        with tracker.lock(Checkout, "mine", lease=1.5) as mine:
            while len(faults.asked(Renew)) == renewed:
                time.sleep(0.01)
            mine.check()
        tickets = {renew.ticket for renew in faults.asked(Renew)[renewed:]}
        assert tickets == {mine._hold.ticket}, "nothing but its own lock"

    in_child(child)
    lock.check()
print("done")
"""
    )


def test_children_do_not_repeat_their_parent_s_ids() -> None:
    run(
        """
from sessiontracker.backend import new_id

new_id()
reader, writer = os.pipe()
for _ in range(2):
    in_child(lambda: os.write(writer, b"%d\\n" % new_id()))
os.write(writer, b"%d\\n" % new_id())
os.close(writer)
with open(reader) as ids:
    assert len(set(ids.read().split())) == 3
print("done")
"""
    )


def test_a_tracker_of_an_event_loop_is_the_child_s_own_too() -> None:
    run(
        """
tracker = FaultyAsyncTracker()

async def parent():
    await tracker.open()
    await tracker.start(Checkout(key="a"))
    faults, parents = tracker.faults["memory"], dict(tracker.stores)
    async with tracker.get_locked(Checkout, "a", lease=60) as session:
        lock = tracker.lock_of(session)

        async def anew():
            asked = len(faults.log)
            assert lost(lock.check)
            await asyncio.wait_for(lock.lost, 10)
            try:
                await tracker.update(session)
            except LockLostError:
                pass
            else:
                raise AssertionError("it is the parent's")
            assert len(faults.log) == asked
            results = await asyncio.gather(
                *(tracker.start(Checkout(key=f"{n}")) for n in range(10))
            )
            assert len(results) == 10
            assert faults.opened == 2, "ten first calls at once open it once"
            async with tracker.lock(Checkout, "mine", lease=1.5) as mine:
                while not faults.asked(Renew):
                    await asyncio.sleep(0.01)
                mine.check()
            await tracker.close()
            assert len(locks_left(parents)) == 1

        in_child(lambda: asyncio.run(anew()))
        lock.check()
        session.count = 1
    assert (await tracker.get(Checkout, "a")).count == 1
    await tracker.close()

asyncio.run(parent())
print("done")
"""
    )
