"""SQLite: a session saved by one statement, which checks and commits by itself.

By far the most frequent change is that of a session that nobody has locked, by somebody who
says exactly what it was when it was read. Where the row bears that out, the statement writes
what `machine.apply` would have written. Wherever it does not, nothing is done, and a
transaction reads the row and decides.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time_ns

from sessiontracker.backend import operations, state

from .database import Database
from .known import Known
from .statements import Statements
from .writes import place_of

__all__ = ["SQLiteSaving"]


_DAY = 86_400_000  # ms
_EPOCH = 210_866_760_000_000  # ms before 1970, when SQLite's count of days begins


class SQLiteSaving:
    """``clock`` is the store's, in µs."""

    def __init__(
        self, database: Database, statements: Statements, known: Known, clock: Callable[[], int]
    ) -> None:
        self._database = database
        self._text = statements.save
        self._newest = statements.tables.newest
        self._known = known
        self._clock = clock

    def save(self, write: operations.Write) -> operations.Saved | None:
        """The outcome of ``write``, which must be simple (`is_simple`); None: nothing was done.

        Raises: InDoubtError.
        """
        address = write.address
        row = self._known.get(address)
        key = None if row is None else row[0].keys.get(address.key)
        if row is None or key is None or key.active is None:
            return None
        old = key.active.meta
        if write.stamp != old.stamp or write.id == old.write or old.owner:
            return None
        # The clock is read before the file is locked, and a process may be held up in between.
        # So the statement, which has the lock, asks the system for the time as well, and does
        # nothing once the millisecond is over.
        tick = time_ns() // 1_000_000
        ms = self._clock() // 1000
        expires = min(ms + old.idle, old.ends) if old.idle else old.ends
        meta = operations.Meta(
            old.life, old.version + 1, write.id, "", old.started, ms, ms, old.idle, old.ends,
            expires,
        )  # fmt: skip
        values = (
            write.payload, meta.version, write.id, ms, ms, expires, write.id, ms,
            *place_of(address), old.life, old.version, old.write, old.started, old.idle, old.ends,
            ms, ms, expires, self._newest, (tick + 1 + _EPOCH) / _DAY,
        )  # fmt: skip
        try:
            if not self._database.write_at_once(self._text, values, tick):
                return None
            # What else is known of the row is true as before, or will be found to be outdated.
            active, deed = state.Record(meta, write.payload), state.Deed(write.id, ms)
            key = state.Key(active, key.finished, key.lock, deed)
            self._known.learn(address, (state.Slot({address.key: key}), row[1]))
        except BaseException:  # an interrupt, too: it may strike just after the statement
            self._known.clear()
            raise
        return operations.Saved(meta)
