"""What SQLite's errors mean: to be tried again, nothing done, refused, or unknown."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sessiontracker.backend import BackendError, BackendUnavailableError, operations

__all__ = [
    "InDoubtError",
    "is_busy",
    "is_in_doubt",
    "is_lasting",
    "is_own",
    "is_undone",
    "outcome_of",
    "raised",
]


class InDoubtError(Exception):
    """A COMMIT that failed in a way that does not say whether it was carried out."""


_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# After these, a COMMIT has certainly not happened.
_NOT_COMMITTED = _BUSY | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY}
# What lies in the file, which no repetition mends.
_DAMAGED = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
# What lies in the operation or in the tables; the neighbours in its batch may do well.
_OWN = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
}


def _code(error: BaseException) -> int:
    """SQLite's primary result code; SQLITE_ERROR for what Python's own module raised."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return int(code) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection was in the way: to be tried again."""
    return _code(error) in _BUSY


def is_in_doubt(error: sqlite3.Error) -> bool:
    """Whether a COMMIT that failed with ``error`` may yet have been carried out."""
    return _code(error) not in _NOT_COMMITTED


def is_undone(error: sqlite3.Error) -> bool:
    """Whether a statement that commits by itself has certainly done nothing: damage is found by
    reading, before anything is written."""
    return _code(error) in _NOT_COMMITTED | _OWN | _DAMAGED


def is_own(error: Exception) -> bool:
    """Whether ``error`` may concern one operation of a batch and not the others."""
    if isinstance(error, (InDoubtError, BackendError)):
        return False
    return _code(error) in _OWN | {sqlite3.SQLITE_FULL}


def is_lasting(error: Exception) -> bool:
    """Whether ``error`` may lie in the connection, so that a new one is worth a try."""
    return _code(error) not in _BUSY | _OWN | {sqlite3.SQLITE_FULL}


def outcome_of(error: Exception, path: Path, timeout: float) -> operations.Outcome:
    """What an operation came to that failed with ``error``."""
    if isinstance(error, InDoubtError):
        return operations.NoAnswer(f"{path}: {error}: whether it was written is not known")
    code = _code(error)
    if code in _DAMAGED:
        return operations.Failed(
            BackendError(
                f"{path} is no SQLite database, or a damaged one ({error}): correct the url, or "
                "restore the file from a backup; nothing was changed"
            )
        )
    if code in _OWN:
        return operations.Failed(BackendError(f"{path}: {_own(error)}; nothing was changed"))
    return operations.Unavailable(f"{path}: {_reason(error, code, path, timeout)}")


def raised(error: Exception, path: Path, timeout: float) -> BackendError:
    """The error that opening fails with because of ``error``."""
    outcome = outcome_of(error, path, timeout)
    if isinstance(outcome, operations.Failed) and isinstance(outcome.error, BackendError):
        return outcome.error
    assert isinstance(outcome, (operations.Unavailable, operations.NoAnswer))
    return BackendUnavailableError(outcome.reason)


def _own(error: Exception) -> str:
    text = str(error)
    if text.startswith(("no such table", "no such column")):
        return (
            f"{text}: the tables were dropped or changed since the tracker opened: restore them, "
            "or open it again to have them created"
        )
    return f"SQLite refused the operation ({text})"


def _reason(error: Exception, code: int, path: Path, timeout: float) -> str:
    if code in _BUSY:
        return (
            f"locked by another transaction for more than {timeout:g} s: end that, or "
            "raise the option timeout"
        )
    if code == sqlite3.SQLITE_READONLY:
        return (
            "read-only: make the file and its folder writable for this user (SQLite keeps files "
            "ending in -wal and -shm beside it)"
        )
    if code == sqlite3.SQLITE_FULL:
        return "the disk is full, or the database as large as it may be: free some space"
    if code == sqlite3.SQLITE_CANTOPEN:
        return _why_closed(path)
    return f"SQLite failed ({error})"


def _why_closed(path: Path) -> str:
    if path.is_dir():
        return "is a folder: name a file in it"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}: create it, or correct the url"
    if not path.exists():
        return (
            "there is no such file, and it could not be created: if it was removed, restore it or "
            "open the tracker again; otherwise make its folder writable for this user"
        )
    return "cannot be opened: make the file and its folder readable and writable for this user"
