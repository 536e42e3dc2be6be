"""A batch of steps, done on a server."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import NamedTuple

from sessiontracker.backend import BackendError, operations

from .optimistic import Batch, Change, Place
from .saving import is_simple
from .server import Server
from .talk import LostError, Pause, ServerError, Talk

__all__ = [
    "BUSY",
    "FIRST_PAUSE",
    "LEAST_ROUNDS",
    "LONGEST_PAUSE",
    "PATIENCE",
    "Clock",
    "Done",
    "carry_out",
    "outcome_of",
]

Clock = Callable[[], int] | None
"""A clock in the place of the server's, in µs, for tests."""

PATIENCE = 0.25
"""For how long, in seconds, a key is tried that others are at; then its steps are `Unavailable`,
their neighbours are answered, and the tracker asks again."""
LEAST_ROUNDS = 3  # also for one that was held up between them
BUSY = (
    "others kept changing the row, or have it locked: end the transaction that has, or ask for "
    "less at once under one key"
)
FIRST_PAUSE, LONGEST_PAUSE = 0.0005, 0.02  # s
_MOST_BYTES = 8 * 1024 * 1024  # of payloads in one statement, about


class Done(NamedTuple):
    """What a batch came to: its outcomes, and who was given a claim."""

    outcomes: list[operations.Outcome]
    wakes: list[int]


def carry_out(
    server: Server, steps: Sequence[operations.Operation], clock: Clock = None
) -> Talk[Done]:
    """The outcomes of ``steps``, each succeeding or failing alone."""
    batch = Batch(steps)
    yield from _save(server, batch, clock)
    writing = _Writing(server, batch, clock)
    until = monotonic() + PATIENCE
    pause = 0.0
    rounds = 0
    while places := batch.places:
        rounds += 1
        try:
            rows = yield from server.load(places, clock and clock())
            yield from writing.write(batch.decide(rows))
        except ServerError as error:
            if not server.is_passing(error):
                batch.give_up(batch.places, outcome_of(server, error))
        except LostError as error:  # what was sent to be written has its outcome
            batch.give_up(batch.places, operations.Unavailable(str(error)))
        if not batch.places:
            break
        if rounds >= LEAST_ROUNDS and monotonic() >= until:
            batch.give_up(batch.places, operations.Unavailable(BUSY))
        elif pause:
            yield Pause(pause * random.uniform(0.5, 1.0))
        pause = min(max(pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
    return Done([outcome for outcome in batch.outcomes if outcome is not None], writing.wakes)


def _save(server: Server, batch: Batch, clock: Clock) -> Talk[None]:
    """Have the simplest steps done first, as far as they are as simple as they look."""
    writes = dict(_as_much_as_fits(batch.alone(is_simple)))
    if not writes:
        return
    try:
        saved = yield from server.save(list(writes.values()), clock and clock())
    except LostError as error:
        batch.give_up(writes, operations.NoAnswer(str(error)))
        batch.give_up(batch.places, operations.Unavailable(str(error)))
    except ServerError:
        return  # nothing was done: it is tried the long way, which says what is wrong
    else:
        for place, write in writes.items():
            if write.id in saved:
                batch.give_up([place], saved[write.id])


def _as_much_as_fits(
    writes: Mapping[Place, operations.Write],
) -> Iterator[tuple[Place, operations.Write]]:
    size = 0
    for place, write in writes.items():
        size += len(write.payload)
        if size > _MOST_BYTES:
            return
        yield place, write


class _Writing:
    """What a batch writes, and whom that wakes."""

    def __init__(self, server: Server, batch: Batch, clock: Clock) -> None:
        self.wakes: list[int] = []
        self._server = server
        self._batch = batch
        self._clock = clock
        self._alone = False

    def write(self, changes: Sequence[Change]) -> Talk[None]:
        """Write ``changes``, or have them decided anew. Raises: LostError."""
        for group in _groups(changes, alone=self._alone):
            yield from self._write(group)

    def _write(self, group: Sequence[Change]) -> Talk[None]:
        places = [change.place for change in group]
        try:
            done = yield from self._server.write(group, self._clock and self._clock())
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
        self.wakes += [each.wake for each in group if each.wake and each.revision in done]


def outcome_of(server: Server, error: ServerError) -> operations.Outcome:
    """What an operation came to that was refused with ``error``; nothing was done."""
    reason = server.reason(error)
    if reason is None:
        return operations.Failed(BackendError(server.refusal(error)))
    return operations.Unavailable(reason)


def _groups(changes: Sequence[Change], *, alone: bool) -> Iterator[Sequence[Change]]:
    """``changes`` in groups that may be sent at once."""
    if alone:
        yield from ([change] for change in changes)
        return
    group: list[Change] = []
    size = 0
    for change in changes:
        weight = _weight(change)
        if group and size + weight > _MOST_BYTES:
            yield group
            group, size = [], 0
        group.append(change)
        size += weight
    if group:
        yield group


def _weight(change: Change) -> int:
    key = change.key
    if key is None:
        return 0
    return sum(len(record.payload) for record in (key.active, key.finished) if record is not None)
