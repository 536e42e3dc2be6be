"""What is known of the rows without reading them: what this connection read or wrote last."""

from __future__ import annotations

from sessiontracker.backend import operations, state

__all__ = ["NO_ROW", "Known", "Stored"]

Stored = tuple[state.Slot, int]
"""A key's row: a slot with that key alone, and the column ``due``. An owner's: without any."""

NO_ROW: Stored = (state.EMPTY, operations.FOREVER)

_MOST = 16 * 1024 * 1024  # bytes, about
_OVERHEAD = 1_500  # of one key, beside its payloads


class Known:
    """Rows by address, true for as long as no other connection writes.

    Whoever asks says which state of the database it sees, and only what was learnt in the
    very same state is true. What is not known any more is read again, so losing all of it
    costs little; that is what happens when it grows too large.
    """

    def __init__(self) -> None:
        self._rows: dict[operations.Address, Stored] = {}
        self._size = 0
        self._state: object = None

    def is_at(self, state: object) -> bool:
        """Whether what is known is what is true in ``state``."""
        return state == self._state

    def begin(self, state: object) -> None:
        """Forget all, to learn what is true in ``state``."""
        self.clear()
        self._state = state

    def get(self, address: operations.Address) -> Stored | None:
        return self._rows.get(address)

    def learn(self, address: operations.Address, row: Stored) -> None:
        key = row[0].keys.get(address.key)
        self._size += _OVERHEAD
        if key is not None:
            if key.active is not None:
                self._size += len(key.active.payload)
            if key.finished is not None:
                self._size += len(key.finished.payload)
        if row[0].shared is not None:
            self._size += len(row[0].shared.payload)
        if self._size > _MOST:
            self._rows = {}
            self._size = 0
        self._rows[address] = row

    def clear(self) -> None:
        self._rows = {}
        self._size = 0
        self._state = None
