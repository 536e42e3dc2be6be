"""What is said to a server and heard from it, apart from how: talks are generators.

A talk yields what it wants to ask and is sent the answer, or thrown what became of it. So it
is the same for an event loop and for threads, for every driver, and for a user's own
connection.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeVar

__all__ = ["Answer", "LostError", "NotConnectedError", "Pause", "Query", "ServerError", "Talk"]

T = TypeVar("T")


class Query(NamedTuple):
    """One thing to be asked in one round trip, with the statement's ``arguments``."""

    text: str
    arguments: Sequence[Any] = ()


class Pause(NamedTuple):
    """A time to let pass, in seconds."""

    seconds: float


class Answer(NamedTuple):
    """The ``rows`` of a query, and how many each of its statements changed, where it says so."""

    rows: Sequence[Sequence[Any]]
    counts: Sequence[int] = ()


Talk = Generator[Query | Pause, Answer, T]


class ServerError(Exception):
    """The server refused; the connection goes on. ``code`` is its SQLSTATE or error number.

    Of several statements, those before it were carried out, as ``counts`` has them.
    """

    def __init__(self, code: str, message: str, counts: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.counts = counts


class LostError(Exception):
    """The connection was lost, or time was up: whether it was carried out is not known."""


class NotConnectedError(Exception):
    """There is no connection, because of ``error``: nothing was sent."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error) or type(error).__name__)
        self.error = error
