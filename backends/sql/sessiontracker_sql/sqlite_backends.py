"""SQLite, for an event loop and for threads."""

from __future__ import annotations

from typing import Any

from sessiontracker.backend import (
    AsyncThreadedBackend,
    AsyncTransaction,
    ThreadedBackend,
    Transaction,
)

from .sqlite import SQLiteStore
from .transactions import AsyncCallersTransaction, CallersTransaction

__all__ = ["AsyncSQLiteBackend", "SQLiteBackend"]


class AsyncSQLiteBackend(AsyncThreadedBackend):
    """One file."""

    def __init__(self, store: SQLiteStore) -> None:
        super().__init__(store)
        self._in_transactions = store.in_transactions()

    def bind(self, connection: Any) -> AsyncTransaction:
        return AsyncCallersTransaction(connection, self._in_transactions, self._identify)

    async def _identify(self) -> object:
        return self._in_transactions.own()


class SQLiteBackend(ThreadedBackend):
    """One file."""

    def __init__(self, store: SQLiteStore) -> None:
        super().__init__(store)
        self._in_transactions = store.in_transactions()

    def bind(self, connection: Any) -> Transaction:
        steps = self._in_transactions
        return CallersTransaction(connection, steps, steps.own)
