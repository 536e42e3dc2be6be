"""The file backend in a directory that others put things into: each harms its own slot only."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sessiontracker import file
from sessiontracker.errors import BackendError
from sessiontracker.file import FileStore
from sessiontracker.operations import (
    Address,
    Broken,
    Delete,
    Deleted,
    Failed,
    Found,
    Outcome,
    Page,
    Read,
    Reap,
    Reaped,
    Saved,
    Scan,
    Start,
    Unavailable,
)
from tests.file_work import HERE

BESIDE = Address("checkout", "", "kbeside")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def store(root: Path) -> FileStore:
    store = FileStore(root)
    store.open()
    return store


def ask(store: FileStore, operation: object) -> Outcome:
    """The outcome, unless it is waited for in vain."""
    outcomes: list[Outcome] = []
    asking = threading.Thread(
        target=lambda: outcomes.extend(store.execute([operation])),  # type: ignore[list-item]
        daemon=True,
    )
    asking.start()
    asking.join(20)
    assert outcomes, f"{operation} never ends"
    return outcomes[0]


def place_of(root: Path) -> Path:
    """The only slot's file."""
    [path] = [path for path in root.rglob("*") if path.is_file() and path.name[0] != "."]
    return path


def elsewhere(path: Path) -> Path:
    return path.parents[3] / "elsewhere"


def grow(path: Path) -> None:
    with path.open("wb") as made:
        made.truncate(2**34)  # which takes no room on the disk


STRANGE: dict[str, Callable[[Path], object]] = {
    "a directory": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link": lambda path: path.symlink_to(elsewhere(path)),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a huge file": grow,
}


@pytest.mark.parametrize("what", STRANGE)
def test_what_is_no_slot_is_broken_for_its_slot_alone(
    store: FileStore, root: Path, what: str
) -> None:
    ask(store, Start(HERE, 1, b"payload"))
    path = place_of(root)
    ask(store, Start(BESIDE, 2, b"beside"))
    elsewhere(path).write_bytes(path.read_bytes())
    path.unlink()
    STRANGE[what](path)
    for operation in (Read(HERE), Start(HERE, 2, b"new"), Delete(HERE, 3)):
        outcome = ask(store, operation)
        assert isinstance(outcome, Broken), outcome
    assert isinstance(ask(store, Read(BESIDE)), Found)
    page = ask(store, Scan("checkout"))
    assert isinstance(page, Page)
    assert [item.address for item in page.items] == [BESIDE]
    assert ask(store, Reap()) == Reaped(0)
    assert store.look({7: HERE}) == set()


def test_a_file_in_a_directory_s_place_is_broken_for_what_would_be_in_it(
    store: FileStore, root: Path
) -> None:
    ask(store, Start(HERE, 1, b"payload"))
    stripe = place_of(root).parent
    ask(store, Start(BESIDE, 2, b"beside"))
    stripe.rename(elsewhere(stripe / "any"))
    stripe.write_bytes(b"")
    assert isinstance(ask(store, Read(HERE)), Broken)
    assert isinstance(ask(store, Start(HERE, 3, b"new")), Broken)
    assert isinstance(ask(store, Read(BESIDE)), Found)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_nothing_is_written_through_a_link(
    store: FileStore, root: Path, link: Callable[[Path, Path], None]
) -> None:
    ask(store, Start(HERE, 1, b"payload"))
    path = place_of(root)
    elsewhere(path).write_bytes(b"precious")
    link(path.with_name(".new"), elsewhere(path))
    assert ask(store, Delete(HERE, 2)) == Deleted(True)
    assert isinstance(ask(store, Start(HERE, 3, b"new")), Saved)
    assert elsewhere(path).read_bytes() == b"precious"


def test_no_lock_is_made_through_a_link(store: FileStore, root: Path) -> None:
    ask(store, Start(HERE, 1, b"payload"))
    path = place_of(root)
    path.with_name(".lock").unlink()
    path.with_name(".lock").symlink_to(elsewhere(path))
    outcome = ask(store, Delete(HERE, 2))
    assert isinstance(outcome, Unavailable)
    assert "move away the link" in outcome.reason
    assert not elsewhere(path).exists()


@pytest.mark.parametrize("what", ["a directory", "a pipe", "a link to itself", "a huge file"])
def test_a_mark_that_is_none(root: Path, what: str) -> None:
    root.mkdir()
    STRANGE[what](root / ".sessiontracker")
    with pytest.raises(BackendError):
        FileStore(root).open()


def test_a_mark_that_is_just_being_made(root: Path) -> None:
    """Or whose maker was killed."""
    root.mkdir()
    (root / ".sessiontracker").write_bytes(b"")
    store = FileStore(root)
    store.open()
    assert isinstance(ask(store, Start(HERE, 1, b"payload")), Saved)
    FileStore(root).open()


def test_what_could_not_be_read_again_is_not_written(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "_MOST_BYTES", 1_000)
    ask(store, Start(HERE, 1, b"payload"))
    before = place_of(root).read_bytes()
    outcome = ask(store, Start(BESIDE, 2, b"x" * 1_000))
    assert isinstance(outcome, Failed)
    assert "more than 1,000 bytes" in str(outcome.error)
    assert place_of(root).read_bytes() == before
