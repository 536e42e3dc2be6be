"""What is to follow from a caller's transaction, once it is known how it ended.

SQLAlchemy tells of a commit before it is tried, and of none that succeeded. So what follows from
one waits for the next sign that the connection went on: it begins another transaction, or goes
back to its pool, as it does at the end of ``with engine.begin()`` or ``session.commit()``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

__all__ = ["Ending"]

Callback = Callable[[], None]

_INFO = "sessiontracker_ending"
# MariaDB and MySQL: with these, the whole transaction was rolled back.
_ROLLED_BACK = (1020, 1213)


class Ending:
    """Of the transaction that is open on one connection, and of its savepoints."""

    def __init__(self, connection: Connection) -> None:
        self._levels: list[list[tuple[Callback, Callback]]] = [[]]
        self._committing: list[tuple[Callback, Callback]] | None = None
        self._failed_at = 0  # how many levels deep; 0: there was no error
        for name, listener in (
            ("begin", self._went_on),
            ("begin_twophase", self._went_on),
            ("commit", self._commits),
            ("commit_twophase", self._commits),
            ("rollback", self._rolls_back),
            ("rollback_twophase", self._rolls_back),
            ("savepoint", self._descends),
            ("release_savepoint", self._ascends),
            ("rollback_savepoint", self._falls_back),
        ):
            event.listen(connection, name, listener)

    @classmethod
    def of(cls, connection: Connection) -> Ending:
        """The one of ``connection``."""
        ending = _endings.get(connection)
        if ending is None:
            ending = _endings[connection] = cls(connection)
            _watch(connection.engine)
        return ending

    def add(self, connection: Connection, committed: Callback, rolled_back: Callback) -> None:
        """Have one of the two called."""
        self._levels[-1].append((committed, rolled_back))
        connection.info[_INFO] = self

    # What SQLAlchemy tells -------------------------------------------------------

    def _commits(self, connection: Connection, *more: Any) -> None:
        if self._failed_at and connection.dialect.name == "postgresql":
            self.undo()  # as it will: a transaction that failed is rolled back, without a word
            return
        self._committing = [each for level in self._levels for each in level]
        self._levels, self._failed_at = [[]], 0

    def _rolls_back(self, connection: Connection, *more: Any) -> None:
        self.undo()

    def _went_on(self, connection: Connection, *more: Any) -> None:
        self.confirm()

    def _descends(self, connection: Connection, *more: Any) -> None:
        self._levels.append([])

    def _ascends(self, connection: Connection, *more: Any) -> None:
        if len(self._levels) > 1:  # or it is one from before anything was to follow
            level = self._levels.pop()
            self._levels[-1] += level

    def _falls_back(self, connection: Connection, *more: Any) -> None:
        if self._failed_at >= len(self._levels):
            self._failed_at = 0
        _undo(self._levels[-1])
        if len(self._levels) > 1:
            self._levels.pop()
        else:
            self._levels = [[]]

    def failed(self, error: BaseException) -> None:
        """There was an ``error`` on the connection."""
        if self._committing is not None or (error.args and error.args[0] in _ROLLED_BACK):
            self.undo()
        elif _is_a_server_s(error) and not self._failed_at:
            self._failed_at = len(self._levels)

    def undo(self) -> None:
        committing, self._committing = self._committing or [], None
        levels, self._levels = self._levels, [[]]
        self._failed_at = 0
        _undo([*committing, *(each for level in levels for each in level)])

    def confirm(self) -> None:
        """A commit that was tried has succeeded."""
        committing, self._committing = self._committing or [], None
        for committed, _ in committing:
            committed()


def _is_a_server_s(error: BaseException) -> bool:
    """Whether the server said so, and not the driver, whichever it is of PostgreSQL's."""
    return bool(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None))


def _undo(level: list[tuple[Callback, Callback]]) -> None:
    for _, rolled_back in reversed(level):
        rolled_back()


# Of whole engines --------------------------------------------------------------

_endings: WeakKeyDictionary[Connection, Ending] = WeakKeyDictionary()


def _watch(engine: Engine) -> None:
    """As often as one likes: the same listener of the same dialect or pool is there once."""
    event.listen(engine.dialect, "handle_error", _on_error)
    event.listen(engine.pool, "checkin", _on_checkin)


def _on_error(context: ExceptionContext) -> None:
    connection = context.connection
    ending = None if connection is None else _endings.get(connection)
    if ending is not None:
        ending.failed(context.original_exception)


def _on_checkin(driver: Any, record: Any) -> None:
    ending: Ending | None = record.info.pop(_INFO, None)
    if ending is not None:
        ending.confirm()
