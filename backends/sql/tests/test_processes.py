"""Several processes on one file: killed in the middle, waiting for each other, forked."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sessiontracker.backend import AsyncThreadedBackend, ThreadedBackend, new_id
from sessiontracker.operations import (
    Acquire,
    Address,
    Found,
    Granted,
    Meta,
    Outcome,
    Ping,
    Queued,
    Read,
    Release,
    Saved,
    Start,
    Write,
)
from sessiontracker_sql.database import _after_fork, _before_fork
from sessiontracker_sql.options import Options
from sessiontracker_sql.sqlite import SQLiteStore

COUNTER = Address("counter", "", "kone")
OpenStore = Callable[..., SQLiteStore]
spawn = multiprocessing.get_context("spawn")


def opened(path: Path, **options: Any) -> SQLiteStore:
    store = SQLiteStore(Options(path=path, timeout=60, **options))
    store.open()
    return store


def is_whole(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def increment(store: SQLiteStore, by_version: bool = True) -> Meta:
    """Count the session up once, tried again whenever another wrote first."""
    while True:
        [found] = store.execute([Read(COUNTER)])
        assert isinstance(found, Found)
        count = int(found.payload) + 1
        [saved] = store.execute([Write(COUNTER, new_id(), found.meta.stamp, b"%d" % count)])
        if isinstance(saved, Saved):
            return saved.meta


# No lost update, whoever dies ------------------------------------------------


def count_up(path: Path, times: int) -> None:
    store = opened(path)
    for _ in range(times):
        increment(store)
    store.close()


def test_no_increment_is_lost_between_processes(path: Path) -> None:
    store = opened(path)
    store.execute([Start(COUNTER, 1, b"0")])
    processes = [spawn.Process(target=count_up, args=(path, 100)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    [found] = store.execute([Read(COUNTER)])
    assert isinstance(found, Found)
    assert (found.payload, found.meta.version) == (b"300", 301)
    store.close()


def count_and_tell(path: Path, told: Any) -> None:
    store = opened(path)
    while True:
        told.send(increment(store).version)


@pytest.mark.parametrize("after", [1, 20, 100])
def test_what_a_killed_process_was_told_is_there(path: Path, after: int) -> None:
    store = opened(path)
    store.execute([Start(COUNTER, 1, b"0")])
    store.close()  # so that the one who dies leaves a log behind that nobody else has open
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=count_and_tell, args=(path, sender))
    process.start()
    sender.close()
    version = 0
    while version <= after:
        version = receiver.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    while receiver.poll():
        try:
            version = receiver.recv()
        except EOFError:
            break
    assert Path(f"{path}-wal").stat().st_size > 0
    store = opened(path)
    [found] = store.execute([Read(COUNTER)])
    assert isinstance(found, Found)
    assert found.meta.version in (version, version + 1)  # the last one may not have been told
    assert int(found.payload) == found.meta.version - 1
    increment(store)
    store.close()
    assert is_whole(path)


def test_the_log_of_a_killed_process_is_recovered_by_one_that_is_at_work(path: Path) -> None:
    store = opened(path)
    store.execute([Start(COUNTER, 1, b"0")])
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=count_and_tell, args=(path, sender))
    process.start()
    versions = [increment(store).version for _ in range(50)]
    receiver.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    versions += [increment(store).version for _ in range(50)]
    assert versions == sorted(set(versions))
    [found] = store.execute([Read(COUNTER)])
    assert isinstance(found, Found)
    assert int(found.payload) == found.meta.version - 1
    store.close()


# Waiting ---------------------------------------------------------------------


def hold_until_told(path: Path, pipe: Any) -> None:
    store = opened(path)
    ticket = new_id()
    store.execute([Acquire(COUNTER, ticket, 60_000, "holder")])
    pipe.send("held")
    pipe.recv()
    store.execute([Release(COUNTER, ticket)])
    store.close()


class Waited(AsyncThreadedBackend):
    """Never looks by itself in these tests: only a wake-up can end a wait."""

    def __init__(self, path: Path) -> None:
        super().__init__(SQLiteStore(Options(path=path)))


async def test_who_waits_is_woken_by_another_process(path: Path) -> None:
    backend = Waited(path)
    await backend.open()
    mine, theirs = spawn.Pipe()
    process = spawn.Process(target=hold_until_told, args=(path, theirs))
    process.start()
    assert await asyncio.to_thread(mine.recv) == "held"
    look = Acquire(COUNTER, new_id(), 30_000, "waiter", look_every=60_000)
    [queued] = await backend.execute([look])
    assert isinstance(queued, Queued)
    assert queued.holder == "holder"
    waiting = asyncio.create_task(backend.wait(look.ticket, 60))
    await asyncio.sleep(0)
    assert not waiting.done()
    mine.send("let go")
    await asyncio.wait_for(waiting, 30)
    [granted] = await backend.execute([look])
    assert isinstance(granted, Granted)
    process.join(60)
    await backend.close()


def test_threads_that_wait_are_woken_by_another_process(path: Path) -> None:
    backend = ThreadedBackend(SQLiteStore(Options(path=path)))
    backend.open()
    mine, theirs = spawn.Pipe()
    process = spawn.Process(target=hold_until_told, args=(path, theirs))
    process.start()
    assert mine.recv() == "held"
    order: list[int] = []

    def take(number: int) -> None:
        look = Acquire(COUNTER, number, 30_000, "waiter", look_every=60_000)
        while not isinstance(backend.execute([look])[0], Granted):
            backend.wait(number, 60)
        order.append(number)
        backend.execute([Release(COUNTER, number)])

    threads = []
    for number in (1, 2, 3):
        [outcome] = backend.execute([Acquire(COUNTER, number, 1, look_every=60_000)])
        assert isinstance(outcome, Queued)
        threads.append(threading.Thread(target=take, args=(number,)))
        threads[-1].start()
    mine.send("let go")
    for thread in threads:
        thread.join(30)
    assert order == [1, 2, 3]
    process.join(60)
    backend.close()


async def test_who_waits_is_woken_by_a_neighbour_at_once(path: Path) -> None:
    backend = Waited(path)
    await backend.open()
    first, second = new_id(), new_id()
    look = Acquire(COUNTER, second, 30_000, look_every=60_000)
    await backend.execute([Acquire(COUNTER, first, 30_000)])
    assert isinstance((await backend.execute([look]))[0], Queued)
    waiting = asyncio.create_task(backend.wait(second, 60))
    await backend.execute([Release(COUNTER, first)])
    await asyncio.wait_for(waiting, 30)
    assert isinstance((await backend.execute([look]))[0], Granted)
    await backend.close()


async def test_a_caller_that_is_cancelled_harms_nobody(path: Path) -> None:
    backend = Waited(path)
    await backend.open()
    tasks = [
        asyncio.create_task(backend.execute([Start(Address("t", "", f"k{i}"), i + 1, b"")]))
        for i in range(20)
    ]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    outcomes = await backend.execute([Read(Address("t", "", f"k{i}")) for i in range(20)])
    assert all(isinstance(outcome, Found) for outcome in outcomes)
    await backend.close()
    assert not [t for t in threading.enumerate() if t.name == "sessiontracker-store"]


# Forks -----------------------------------------------------------------------


def in_child(work: Callable[[], Any]) -> int:
    """The exit code of a forked child that does ``work``."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_has_a_connection_of_its_own(path: Path) -> None:
    store = opened(path)
    store.execute([Start(COUNTER, 1, b"0")])
    database = store._database
    database._connected()

    def child() -> None:
        assert database._cursor is None
        for _ in range(20):
            increment(store)
        store.close()

    for _ in range(3):
        assert in_child(child) == 0
        increment(store)
    [found] = store.execute([Read(COUNTER)])
    assert isinstance(found, Found)
    assert found.payload == b"63"
    store.close()
    assert is_whole(path)


def test_threads_that_fork_at_the_same_time_let_each_others_databases_be(path: Path) -> None:
    store = opened(path)
    second, first_is_done = threading.Event(), threading.Event()

    class Unhurried:
        """A mutex whose release takes long enough for somebody else to take it."""

        def __init__(self) -> None:
            self.lock = threading.RLock()

        def acquire(self) -> None:
            self.lock.acquire()

        def release(self) -> None:
            self.lock.release()
            second.wait(0.2)

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    store._database.mutex = Unhurried()  # type: ignore[assignment]

    def fork() -> None:
        _before_fork()
        second.set()
        first_is_done.wait(30)
        _after_fork()

    _before_fork()
    other = threading.Thread(target=fork)
    other.start()
    _after_fork()
    first_is_done.set()
    other.join()
    third = threading.Thread(target=store.execute, args=([Ping()],), daemon=True)
    third.start()
    third.join(30)
    assert not third.is_alive()
    store.close()


def test_parent_and_forked_child_write_at_the_same_time(path: Path) -> None:
    backend = ThreadedBackend(SQLiteStore(Options(path=path, timeout=60)))
    backend.open()
    backend.execute([Start(COUNTER, 1, b"0")])

    def many() -> None:
        done = 0
        while done < 50:
            [found] = backend.execute([Read(COUNTER)])
            assert isinstance(found, Found)
            count = b"%d" % (int(found.payload) + 1)
            [saved] = backend.execute([Write(COUNTER, new_id(), found.meta.stamp, count)])
            done += isinstance(saved, Saved)

    def many_in_two_threads() -> None:
        threads = [threading.Thread(target=many) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    busy = threading.Thread(target=many_in_two_threads)
    busy.start()
    codes = [in_child(many_in_two_threads) for _ in range(2)]  # forked while others write
    busy.join()
    assert codes == [0, 0]
    [found] = backend.execute([Read(COUNTER)])
    assert isinstance(found, Found)
    assert found.payload == b"300"
    backend.close()


async def test_a_forked_child_may_use_the_asynchronous_backend_in_a_loop_of_its_own(
    path: Path,
) -> None:
    backend = Waited(path)
    await backend.open()
    await backend.execute([Start(COUNTER, 1, b"0")])

    def child() -> None:
        async def read() -> list[Outcome]:
            outcomes = await backend.execute([Read(COUNTER)])
            await backend.close()
            return outcomes

        result: list[Any] = []
        thread = threading.Thread(target=lambda: result.extend(asyncio.run(read())))
        thread.start()
        thread.join()
        assert isinstance(result[0], Found)

    assert in_child(child) == 0
    assert isinstance((await backend.execute([Read(COUNTER)]))[0], Found)
    await backend.close()
