"""A batch of steps on owners' sessions, done on a server; and its owners that are due, reaped."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from time import monotonic

from sessiontracker.backend import operations, state

from .owned import due_later
from .owners import OwnerBatch, OwnerChange, OwnerPlace, OwnerRows, change_of, owner_of
from .server import Server
from .talk import LostError, Pause, ServerError, Talk
from .work import BUSY, FIRST_PAUSE, LEAST_ROUNDS, LONGEST_PAUSE, PATIENCE, Clock, Done, outcome_of

__all__ = ["carry_out", "reap"]

_log = logging.getLogger("sessiontracker")


def carry_out(server: Server, steps: Sequence[operations.Operation], clock: Clock) -> Talk[Done]:
    """The outcomes of ``steps``, each succeeding or failing alone."""
    batch = OwnerBatch(steps)
    writing = _Writing(server, batch, clock)
    until = monotonic() + PATIENCE
    pause = 0.0
    rounds = 0
    while wanted := batch.wanted():
        rounds += 1
        try:
            found = yield from server.owners.load(wanted, clock and clock())
            yield from writing.write(batch.decide(found))
        except ServerError as error:
            if not server.is_passing(error):
                batch.give_up(batch.wanted(), outcome_of(server, error))
        except LostError as error:  # what was sent to be written has its outcome
            batch.give_up(batch.wanted(), operations.Unavailable(str(error)))
        if not batch.wanted():
            break
        if rounds >= LEAST_ROUNDS and monotonic() >= until:
            batch.give_up(batch.wanted(), operations.Unavailable(BUSY))
        elif pause:
            yield Pause(pause * random.uniform(0.5, 1.0))
        pause = min(max(pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
    return Done([outcome for outcome in batch.outcomes if outcome is not None], writing.wakes)


class _Writing:
    """What a batch writes, and whom that wakes."""

    def __init__(self, server: Server, batch: OwnerBatch, clock: Clock) -> None:
        self.wakes: list[int] = []
        self._server = server
        self._batch = batch
        self._clock = clock

    def write(self, changes: Sequence[OwnerChange]) -> Talk[None]:
        """Write ``changes``, or have them decided anew. Raises: LostError."""
        if self._server.owners.writes_together and changes:
            yield from self._write(changes)
            return
        for change in changes:
            yield from self._write([change])

    def _write(self, group: Sequence[OwnerChange]) -> Talk[None]:
        places = [change.place for change in group]
        try:
            done = yield from self._server.owners.write(group, self._clock and self._clock())
        except LostError as error:
            self._batch.give_up(places, operations.NoAnswer(str(error)))
            raise
        except ServerError as error:
            if self._server.is_passing(error):
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


# Reaping -----------------------------------------------------------------------


def reap(server: Server, limit: int, now: int, clock: Clock) -> Talk[tuple[int, int, list[int]]]:
    """Sweep owners that are due, ``limit`` of their sessions at most: how many sessions went, how
    many owners were looked at, and who was given a claim."""
    gone = 0
    wakes: list[int] = []
    places = yield from server.owners.due(limit, now // 1000)
    looked_at = 0
    for place in places:
        if gone >= limit:
            break
        looked_at += 1
        found = yield from server.owners.load({place: None}, clock and clock())
        rows = found[place]
        if isinstance(rows, str) or rows.broken:
            _log.warning("an owner of %r is passed over: a row is none of ours", place[0])
            yield from server.owners.leave(place, operations.FOREVER)
            continue
        change, count = _swept(place, rows, limit - gone)
        done = yield from server.owners.write([change], clock and clock())
        if change.revision in done:
            gone += count
            wakes += change.wakes
    return gone, looked_at, wakes


def _swept(place: OwnerPlace, rows: OwnerRows, most: int) -> tuple[OwnerChange, int]:
    """The owner without ``most`` of the sessions that expired, and how many those are."""
    type, scope = (part.decode() for part in place)
    owner = owner_of(operations.Address(type, scope, ""), rows, None)
    before = owner.slot
    after, count = state.sweep(before, rows.after)
    if count > most:
        after, count = _swept_in_part(before, rows.after, most)
    if after is not before:
        owner.become(after)
    until = rows.after // 1000 + 1_000
    change = change_of(place, owner, before, rows, until)
    due = change.values[-1] if change.values else None
    if isinstance(due, int) and due <= rows.after // 1000 and count < most:
        change.values[-1] = due_later(after, rows.after // 1000)  # type: ignore[index]
    return change, count


def _swept_in_part(slot: state.Slot, now: int, most: int) -> tuple[state.Slot, int]:
    """``slot`` without ``most`` of the sessions that expired, those that did so first."""
    keys, gone = slot.keys.copy(), 0
    parts = [state.Slot({name: key}) for name, key in keys.items()]
    for part in sorted(parts, key=state.due):
        after, count = state.sweep(part, now)
        if gone + count > most:
            break
        gone += count
        for name in part.keys:
            keys.pop(name)
        keys.update(after.keys)
    return state.Slot(keys, slot.shared, slot.ending), gone
