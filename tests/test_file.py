"""The file backend: one directory, several processes, and all that can befall a file."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any, Self

import pytest

from sessiontracker import file
from sessiontracker.backend import AsyncThreadedBackend, BackendOptions, ThreadedBackend
from sessiontracker.blobs import slot_name
from sessiontracker.errors import BackendError, BackendUnavailableError, ConfigurationError
from sessiontracker.file import FileStore
from sessiontracker.operations import (
    Acquire,
    Address,
    Broken,
    Found,
    Granted,
    Hold,
    Lost,
    Outcome,
    Page,
    Read,
    Reap,
    Reaped,
    Release,
    Saved,
    Scan,
    Start,
    Unavailable,
    Write,
)
from tests.clock import Clock
from tests.file_work import HERE, lock
from tests.walks import ADDRESSES, Model, Walker, items

WORK = Path(__file__).with_name("file_work.py")
Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def store(root: Path) -> FileStore:
    return opened(root)


def opened(root: Path, **options: Any) -> FileStore:
    store = FileStore(root, **options)
    store.open()
    return store


@pytest.fixture
def run(root: Path) -> Iterator[Run]:
    """Runs ``file_work.py``; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(work: str, *numbers: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(WORK), work, str(root), *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def ask(store: Any, operation: Any) -> Outcome:
    [outcome] = store.execute([operation])
    return outcome


def files(root: Path) -> list[Path]:
    """The slots' files."""
    return [path for path in root.rglob("*") if path.is_file() and path.name[0] != "."]


def stamp_of(outcome: Outcome) -> Any:
    assert isinstance(outcome, (Saved, Found)), outcome
    return outcome.meta.stamp


# It answers as the machine does ------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_every_answer_is_the_machines(root: Path, seed: int) -> None:
    """Through two stores on one directory in turn, as two processes have them."""
    clock = Clock()
    stores = [opened(root, clock=clock, fsync=seed == 0) for _ in range(2)]
    model, walker = Model(clock), Walker(seed, clock)
    for turn in range(50):
        batch = walker.batch()
        outcomes = stores[turn % 2].execute(batch)
        for operation, outcome in zip(batch, outcomes, strict=True):
            assert outcome == model.ask(operation), operation
            walker.note(outcome, operation)
        if walker.random.random() < 0.2:
            ask(stores[0], Reap())
    for type in ("checkout", "login"):
        for finished in (False, True):
            scan = Scan(type, finished=finished)
            assert items(ask(stores[0], scan)) == model.page(scan)


async def test_the_asynchronous_side_answers_the_same(root: Path) -> None:
    clock = Clock()
    backend = AsyncThreadedBackend(FileStore(root, clock=clock))
    await backend.open()
    model, walker = Model(clock), Walker(99, clock)
    for _ in range(50):
        batch = walker.batch()
        for operation, outcome in zip(batch, await backend.execute(batch), strict=True):
            assert outcome == model.ask(operation), operation
            walker.note(outcome, operation)
    await backend.close()


# Several processes -------------------------------------------------------------------


@pytest.mark.parametrize("processes,times", [(2, 100), (4, 50)])
def test_no_increment_of_several_processes_is_lost(
    store: FileStore, run: Run, processes: int, times: int
) -> None:
    ask(store, Start(HERE, 1, b"0"))
    running = [run("increment", times) for _ in range(processes)]
    seen = [int(line) for process in running for line in process.communicate()[0].split()]
    assert [process.returncode for process in running] == [0] * processes
    assert sorted(seen) == list(range(1, processes * times + 1))
    found = ask(store, Read(HERE))
    assert isinstance(found, Found)
    assert found.payload == b"%d" % (processes * times)
    assert found.meta.version == 1 + processes * times


def test_a_killed_holders_lock_is_had_when_its_lease_ends(store: FileStore, run: Run) -> None:
    ask(store, Start(HERE, 1, b"0"))
    began = monotonic()
    holder = run("hold", 1_500)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waiter = threading.Thread(target=lock, args=(ThreadedBackend(store), 30_000), daemon=True)
    waiter.start()
    holder.kill()
    waiter.join(30)
    assert not waiter.is_alive()
    assert monotonic() - began >= 1.5, "it was taken from a lease that had not ended"


def test_a_writer_killed_in_the_middle_leaves_the_last_that_it_acknowledged_or_the_next(
    store: FileStore, run: Run, root: Path
) -> None:
    ask(store, Start(HERE, 1, b"0 "))
    for _ in range(5):
        writer = run("write")
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(20)]
        writer.kill()
        acknowledged += [int(line) for line in writer.stdout.read().splitlines()]
        found = ask(store, Read(HERE))
        assert isinstance(found, Found)
        assert int(found.payload.split()[0]) in (acknowledged[-1], acknowledged[-1] + 1)
        assert len(files(root)) == 1
    # And nobody is kept out.
    stamp_of(ask(store, Write(HERE, 2, stamp_of(ask(store, Read(HERE))), b"done")))


def test_what_was_acknowledged_is_there_for_the_next_process(root: Path) -> None:
    stamp = stamp_of(ask(opened(root), Start(HERE, 1, b"data")))
    assert stamp_of(ask(opened(root), Read(HERE))) == stamp


def test_who_waits_is_told_what_another_process_did(store: FileStore, root: Path) -> None:
    other = opened(root)
    assert isinstance(ask(other, Acquire(HERE, 1, 30_000)), Granted)
    ask(store, Acquire(HERE, 2, 30_000))
    assert not store.look({2: HERE})
    ask(other, Release(HERE, 1))
    assert store.look({2: HERE}) == {2}
    assert not store.look({2: HERE}), "once is enough"
    ask(other, Read(HERE))
    assert store.claims() == []


# Names and files ---------------------------------------------------------------------


def test_no_key_escapes_the_directory_and_none_is_too_long(
    store: FileStore, root: Path, tmp_path: Path
) -> None:
    keys = ["k../../../etc/passwd", "k/etc/passwd", "k.", "k..", "k" + "x" * 1_024, "k\0", "kKEY"]
    keys += ["kkey", "k\N{LATIN SMALL LETTER E WITH ACUTE}", "ke\N{COMBINING ACUTE ACCENT}", "kCON"]
    addresses = [Address("checkout", "", key) for key in keys]
    addresses += [Address("../Check Out\N{SNOWMAN}" * 9, "", "k"), *ADDRESSES]
    for number, address in enumerate(addresses, start=1):
        payload = b"%d" % number
        stamp_of(ask(store, Start(address, number, payload)))
    for number, address in enumerate(addresses, start=1):
        found = ask(store, Read(address))
        assert isinstance(found, Found)
        assert found.payload == b"%d" % number
    assert set(tmp_path.iterdir()) == {root}
    for path in files(root):
        assert len(path.name) < 100
        assert path.name == path.name.lower()
        assert path.stat().st_mode & 0o077 == 0


def test_lock_files_and_leftovers_are_bounded(root: Path) -> None:
    clock = Clock()
    store = opened(root, clock=clock)
    for number in range(1, 601):
        ask(store, Start(Address("checkout", "", f"k{number}"), number, b"", idle=1_000))
    assert len(files(root)) == 600
    clock.now += 100_000_000
    assert ask(store, Reap(limit=1_000)) == Reaped(600)
    assert files(root) == []
    hidden = [path for path in root.rglob(".*") if path.is_file()]
    assert len(hidden) <= 256 + 1


def test_scan_goes_through_all_directories_in_pages(store: FileStore) -> None:
    addresses = [Address("checkout", "", f"k{number}") for number in range(130)]
    others = [Address(type, "", "k") for type in ("check", "checkout_", "checkouts", "zebra")]
    for number, address in enumerate([*addresses, *others], start=1):
        ask(store, Start(address, number, b""))
    seen: list[Address] = []
    cursor = ""
    while True:
        page = ask(store, Scan("checkout", cursor=cursor, limit=20))
        assert isinstance(page, Page)
        assert len(page.items) <= 20
        seen += [item.address for item in page.items]
        cursor = page.cursor
        if not cursor:
            break
    assert sorted(seen) == sorted(addresses)
    names = store.slots("", 1_000)
    assert list(names) == sorted(names)
    assert len(names) == len(addresses) + len(others)


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_file_is_broken_for_its_slot_alone(
    store: FileStore, root: Path, damage: bytes | None
) -> None:
    beside = Address("checkout", "", "kbeside")
    ask(store, Start(HERE, 1, b"payload"))
    [path] = files(root)
    ask(store, Start(beside, 2, b""))
    damage = path.read_bytes()[:-9] if damage is None else damage
    path.write_bytes(damage)
    assert isinstance(ask(store, Read(HERE)), Broken)
    assert isinstance(ask(store, Start(HERE, 3, b"new")), Broken)
    assert path.read_bytes() == damage
    assert isinstance(ask(store, Read(beside)), Found)
    page = ask(store, Scan("checkout"))
    assert isinstance(page, Page)
    assert [item.address for item in page.items] == [beside]


def test_what_a_killed_process_left_half_written_is_written_over(
    store: FileStore, root: Path
) -> None:
    stamp = stamp_of(ask(store, Start(HERE, 1, b"")))
    [path] = files(root)
    path.with_name(".new").write_bytes(b"half of a sess")
    stamp_of(ask(store, Write(HERE, 2, stamp, b"whole")))
    assert not path.with_name(".new").exists()
    assert isinstance(ask(store, Read(HERE)), Found)


# A step that had to wait -------------------------------------------------------------


def stripe_of(root: Path) -> Path:
    [path] = files(root)
    return path.parent / ".lock"


def test_a_lease_that_ends_while_its_check_waits_cannot_write(root: Path) -> None:
    clock = Clock()
    store = opened(root, clock=clock)
    stamp = stamp_of(ask(store, Start(HERE, 1, b"0")))
    granted = ask(store, Acquire(HERE, 1, 1_000))
    assert isinstance(granted, Granted)
    write = Write(HERE, 2, stamp, b"late", lock=Hold(1, granted.token))
    outcomes: list[Outcome] = []
    with stripe_of(root).open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        loads = 0
        load = store.load

        def counted(slot: str) -> Any:
            nonlocal loads
            loads += 1
            return load(slot)

        store.load = counted  # type: ignore[method-assign]
        thread = threading.Thread(target=lambda: outcomes.append(ask(store, write)))
        thread.start()
        while loads < 2:  # decided, and decided anew, as the lock was not had in time
            pass
        clock.now += 2_000_000
        thread.join()
    assert outcomes == [Lost()]


def test_a_lock_that_never_comes_free_makes_the_store_unavailable(
    store: FileStore, root: Path
) -> None:
    stamp = stamp_of(ask(store, Start(HERE, 1, b"0")))
    store.patience = 0.05
    with stripe_of(root).open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert isinstance(ask(store, Write(HERE, 2, stamp, b"1")), Unavailable)
        assert isinstance(ask(store, Read(HERE)), Found)
    stamp_of(ask(store, Write(HERE, 2, stamp, b"1")))


# Disks that fail -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "number,advice", [(errno.ENOSPC, "free some space"), (errno.EROFS, "mount it writable")]
)
def test_a_full_or_read_only_disk_refuses_and_loses_nothing(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    stamp = stamp_of(ask(store, Start(HERE, 1, b"0")))
    real = os.open

    def fails(path: Any, flags: int, *more: int) -> int:
        if flags & os.O_EXCL:
            raise OSError(number, os.strerror(number), str(path))
        return real(path, flags, *more)

    with monkeypatch.context() as patched:
        patched.setattr(file.os, "open", fails)
        outcome = ask(store, Write(HERE, 2, stamp, b"1"))
    assert isinstance(outcome, Unavailable)
    assert advice in outcome.reason
    assert stamp_of(ask(store, Read(HERE))) == stamp
    stamp_of(ask(store, Write(HERE, 2, stamp, b"1")))


def test_a_disk_that_fills_in_the_middle_of_a_file(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = stamp_of(ask(store, Start(HERE, 1, b"0")))
    real = os.fdopen

    class Full:
        def __init__(self, descriptor: int, mode: str) -> None:
            self.file = real(descriptor, mode)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> None:
            self.file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(file.os, "fdopen", Full)
        assert isinstance(ask(store, Write(HERE, 2, stamp, b"1")), Unavailable)
    assert stamp_of(ask(store, Read(HERE))) == stamp
    stamp_of(ask(store, Write(HERE, 2, stamp, b"1")))


def test_after_an_answer_that_was_lost_the_file_tells(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = stamp_of(ask(store, Start(HERE, 1, b"0")))
    real, raised = Path.replace, 0

    def unanswered(self: Path, target: Path) -> Path:
        nonlocal raised
        replaced = real(self, target)
        if not raised:
            raised += 1
            raise OSError(errno.EIO, "the answer was lost")
        return replaced

    monkeypatch.setattr(Path, "replace", unanswered)
    assert stamp_of(ask(store, Write(HERE, 2, stamp, b"1"))).version == 2
    assert raised


def test_a_directory_that_vanished_is_not_one_without_sessions(
    store: FileStore, root: Path
) -> None:
    ask(store, Start(HERE, 1, b"0"))
    root.rename(root.with_name("elsewhere"))
    for operation in (Read(HERE), Start(HERE, 2, b""), Scan("checkout"), Reap()):
        outcome = ask(store, operation)
        assert isinstance(outcome, Unavailable), operation
    assert not root.exists()
    root.with_name("elsewhere").rename(root)
    assert isinstance(ask(store, Read(HERE)), Found)


def test_opening_makes_the_directory_but_not_its_parents(tmp_path: Path) -> None:
    root = tmp_path / "new"
    opened(root)
    assert root.stat().st_mode & 0o777 == 0o700
    with pytest.raises(BackendUnavailableError, match="make it first"):
        opened(tmp_path / "no" / "parent")
    assert not (tmp_path / "no").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendUnavailableError, match="is a directory"):
        opened(tmp_path / "file")


def test_a_directory_of_a_newer_version_is_refused(root: Path) -> None:
    opened(root)
    (root / ".sessiontracker").write_text("2\n")
    with pytest.raises(BackendError, match="upgrade"):
        opened(root)


# Options -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url,options,says",
    [
        (None, {}, "backends.hot.url"),
        ("/tmp/x", {"fsnyc": True}, "backends.hot.fsnyc"),
        ("/tmp/x", {"fsync": "yes"}, "true or false"),
        ("/tmp/x", {"clock": 5}, "callable"),
        ("~nobody-of-this-name/x", {}, r"backends\.hot\.url: .* is no path"),
        ("/tmp/x\0", {}, r"backends\.hot\.url: .* is no path: it holds a NUL"),
        ("/tmp/x\ud800", {}, r"backends\.hot\.url: .* is no path: it holds a lone surrogate"),
    ],
)
def test_an_option_that_cannot_be_used(url: str | None, options: Any, says: str) -> None:
    plugin = file.sessiontracker_storage()
    for open in (plugin.open_async, plugin.open_sync):
        with pytest.raises(ConfigurationError, match=says):
            open(BackendOptions("hot", url, options))


def test_where_there_are_no_posix_locks_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file.os, "name", "nt")
    with pytest.raises(ConfigurationError, match="sqlite"):
        file.sessiontracker_locking().open_sync(BackendOptions("hot", "x"))


def test_fsync_is_asked_for_before_a_file_takes_its_place(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(file.os, "fsync", lambda fd: (done.append("fsync"), sync(fd)))
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (done.append("replace"), replace(self, to))[1]
    )
    ask(opened(root), Start(HERE, 1, b""))
    assert done == ["replace"]
    done.clear()
    ask(opened(root, fsync=True), Start(Address("checkout", "", "kb"), 1, b""))
    assert done == ["fsync", "replace", "fsync"]


def test_a_slots_name_is_the_same_in_every_version() -> None:
    """What is stored under a name must be found under it by a later release."""
    assert slot_name(HERE) == "checkout-9965f588edbd617e53d49b9c98c97690c2b5997f"
