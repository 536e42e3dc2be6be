"""What a batch changed, written in as few statements as may be sent at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from sessiontracker.backend import BackendError, operations

from .pending import Pending, Writable
from .server import Server
from .talk import LostError, ServerError, Talk

__all__ = ["MOST_BYTES", "Writing", "outcome_of"]

C = TypeVar("C", bound=Writable)

MOST_BYTES = 8 * 1024 * 1024  # of payloads in one statement, about


class Writing(Generic[C]):
    """Has the changes of ``batch`` sent, and knows whom that woke. ``alone``: each by itself."""

    def __init__(
        self,
        server: Server,
        batch: Pending[Any, Any],
        send: Callable[[Sequence[C]], Talk[set[int]]],
        *,
        alone: bool = False,
    ) -> None:
        self.wakes: list[int] = []
        self._server = server
        self._batch = batch
        self._send = send
        self._alone = alone

    def write(self, changes: Sequence[C]) -> Talk[None]:
        """Write ``changes``, or have them decided anew. Raises: LostError."""
        for group in _groups(changes, alone=self._alone):
            yield from self._write(group)

    def _write(self, group: Sequence[C]) -> Talk[None]:
        places = [change.place for change in group]
        try:
            done = yield from self._send(group)
        except LostError as error:
            self._batch.give_up(places, operations.NoAnswer(str(error)))
            raise
        except ServerError as error:
            if self._server.is_passing(error):
                self._alone = True  # or a row that is locked for long holds up the others again
                done = set()
            elif len(group) > 1 and self._server.is_own(error):
                for change in group:
                    yield from self._write([change])
                return
            else:
                self._batch.give_up(places, outcome_of(self._server, error))
                return
        self._batch.written(group, done)
        for change in group:
            if change.revision in done:
                self.wakes += change.wakes


def outcome_of(server: Server, error: ServerError) -> operations.Outcome:
    """What an operation came to that was refused with ``error``; nothing was done."""
    reason = server.reason(error)
    if reason is None:
        return operations.Failed(BackendError(server.refusal(error)))
    return operations.Unavailable(reason)


def _groups(changes: Sequence[C], *, alone: bool) -> Iterator[Sequence[C]]:
    """``changes`` in groups that may be sent at once."""
    if alone:
        yield from ([change] for change in changes)
        return
    group: list[C] = []
    size = 0
    for change in changes:
        weight = change.weight
        if group and size + weight > MOST_BYTES:
            yield group
            group, size = [], 0
        group.append(change)
        size += weight
    if group:
        yield group
