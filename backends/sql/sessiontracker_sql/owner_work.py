"""A batch of steps on owners' sessions, done on a server; and its owners that are due, reaped."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sessiontracker.backend import new_id, operations, state

from .lapsing import LATEST
from .owners import (
    TURN,
    OwnerBatch,
    OwnerChange,
    OwnerPlace,
    OwnerRows,
    Wanted,
    change_of,
    owner_of,
)
from .pace import BUSY, Pace
from .server import Server
from .talk import LostError, ServerError, Talk
from .work import Clock, Done
from .writing import Writing, outcome_of

__all__ = ["carry_out", "reap"]

_log = logging.getLogger("sessiontracker")


def carry_out(server: Server, steps: Sequence[operations.Operation], clock: Clock) -> Talk[Done]:
    """The outcomes of ``steps``, each succeeding or failing alone."""
    batch = OwnerBatch(steps)
    writing: Writing[OwnerChange] = Writing(
        server,
        batch,
        lambda group: server.owners.write(group, clock and clock()),
        alone=not server.owners.writes_together,
    )
    pace = Pace()
    while wanted := batch.wanted():
        try:
            for place in batch.overtaken():
                revision = new_id()
                if (yield from server.owners.reserve(place, revision, TURN, clock and clock())):
                    batch.take_turn(place, revision)
                    pace.extend(TURN / 1000)
            found = yield from server.owners.load(wanted, clock and clock())
            yield from writing.write(batch.decide(found))
        except ServerError as error:
            if not server.is_passing(error):
                batch.give_up(batch.wanted(), outcome_of(server, error))
        except LostError as error:  # what was sent to be written has its outcome
            batch.give_up(batch.wanted(), operations.Unavailable(str(error)))
        if not batch.wanted():
            break
        if pace.is_over():
            batch.give_up(batch.wanted(), operations.Unavailable(BUSY))
        else:
            yield from pace.rest()
    return Done([outcome for outcome in batch.outcomes if outcome is not None], writing.wakes)


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
        found = yield from server.owners.load(
            {place: Wanted(others="with sessions")}, clock and clock()
        )
        rows = found[place]
        if isinstance(rows, str) or rows.broken or not _is_text(place):
            _log.warning("an owner of %r is passed over: a row is none of ours", place[0])
            yield from server.owners.leave(place, operations.FOREVER)
            continue
        if rows.is_reserved:
            continue
        change, count = _swept(place, rows, limit - gone)
        done = yield from server.owners.write([change], clock and clock())
        if change.revision in done:
            gone += count
            wakes += change.wakes
    return gone, looked_at, wakes


def _is_text(place: OwnerPlace) -> bool:
    try:
        for part in place:
            part.decode()
    except ValueError:
        return False
    return True


def _swept(place: OwnerPlace, rows: OwnerRows, most: int) -> tuple[OwnerChange, int]:
    """The owner without ``most`` of the sessions that expired (of one key, both go), and how many
    those are."""
    type, scope = (part.decode() for part in place)
    owner = owner_of(operations.Address(type, scope, ""), rows, "with sessions")
    before = owner.slot
    after, count = state.sweep(before, rows.after)
    if count > most:
        after, count = _swept_in_part(before, rows.after, most)
    if after is not before:
        owner.become(after)
    return change_of(place, owner, before, rows, rows.after // 1000 + LATEST), count


def _swept_in_part(slot: state.Slot, now: int, most: int) -> tuple[state.Slot, int]:
    """``slot`` without ``most`` of the sessions that expired, those that did so first; of one key,
    both go."""
    keys, gone = slot.keys.copy(), 0
    parts = [state.Slot({name: key}) for name, key in keys.items()]
    for part in sorted(parts, key=state.due):
        if gone >= most:
            break
        after, count = state.sweep(part, now)
        gone += count
        for name in part.keys:
            keys.pop(name)
        keys.update(after.keys)
    return state.Slot(keys, slot.shared, slot.ending), gone
