"""What expired is removed from a server: by one at a time, a batch of rows at a time.

Who reaps holds a lease like any other, on a key that no session can have, as no type's name
is empty. Others leave it to him; if he dies over it, they wait for its end.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic

from sessiontracker.backend import new_id, operations, state

from . import owner_work
from .optimistic import Change, Place, Row, change_of, place_of
from .server import Server
from .talk import Pause, ServerError, Talk
from .work import Clock, carry_out

__all__ = ["RESERVED", "reap"]

_log = logging.getLogger("sessiontracker")

RESERVED = operations.Address("", "", "reaper")
_LEASE = 10_000  # ms
_AT_ONCE = 50  # rows, so that others get in between, …
_REST = 4.0  # … for as many times as long as that took
_BESIDE = 1_000  # rows of which no session goes: put off, or long empty


def reap(
    server: Server, limit: int, clock: Clock = None
) -> Talk[tuple[operations.Outcome, list[int]]]:
    """Remove ``limit`` sessions that expired, oldest first, unless another is at it: what
    that came to, and who was given a claim. What somebody has locked is left."""
    reaper = _Reaper(server, clock)
    if not (yield from reaper.has_work()):
        return operations.Reaped(0), []
    ticket = new_id()
    acquire = operations.Acquire(RESERVED, ticket, _LEASE, "reaper", queue=False)
    outcome = yield from reaper.step(acquire)
    if not isinstance(outcome, operations.Granted):
        is_another = isinstance(outcome, operations.Locked)
        return operations.Reaped(0) if is_another else outcome, []
    renew = operations.Renew(RESERVED, ticket, outcome.token, _LEASE)
    renewed = monotonic()
    try:
        while reaper.gone < limit and reaper.looked_at < limit + _BESIDE:
            began = monotonic()
            most = min(limit - reaper.gone, limit + _BESIDE - reaper.looked_at, _AT_ONCE)
            if not (yield from reaper.reap(most)):
                break
            if monotonic() - renewed > _LEASE / 3000:
                renewed = monotonic()
                outcome = yield from reaper.step(renew)
                if not isinstance(outcome, operations.Granted):
                    break
            yield Pause(_REST * (monotonic() - began))
    except ServerError:
        yield from reaper.step(operations.Release(RESERVED, ticket))
        raise
    yield from reaper.step(operations.Release(RESERVED, ticket))
    return operations.Reaped(reaper.gone), reaper.wakes


class _Reaper:
    """Who reaps, and what has come of it so far."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self.gone = 0
        self.looked_at = 0
        self.wakes: list[int] = []
        self._server = server
        self._clock = clock

    def _now(self) -> int | None:
        return None if self._clock is None else self._clock()

    def step(self, operation: operations.Operation) -> Talk[operations.Outcome]:
        done = yield from carry_out(self._server, [operation], self._clock)
        return done.outcomes[0]

    def due(self, most: int) -> Talk[Sequence[Place]]:
        """Where there is something to reap, oldest first."""
        own = place_of(RESERVED)
        found = yield from self._server.due(most + 1, self._now())
        return [place for place in found if place != own][:most]

    def has_work(self) -> Talk[bool]:
        """Whether anything is due."""
        if (yield from self.due(1)):
            return True
        now = yield from self._clock_now()
        return bool((yield from self._server.owners.due(1, now // 1000)))

    def reap(self, most: int) -> Talk[bool]:
        """Reap ``most`` rows of plain sessions, and if these are all, owners: whether there may be
        more to reap."""
        before = self.gone
        if (yield from self._reap_plain(most)):
            return True
        left = most - (self.gone - before)
        if left <= 0:
            return True
        now = yield from self._clock_now()
        gone, looked_at, wakes = yield from owner_work.reap(self._server, left, now, self._clock)
        self.gone += gone
        self.looked_at += looked_at
        self.wakes += wakes
        return gone >= left or looked_at == left

    def _clock_now(self) -> Talk[int]:
        if self._clock is not None:
            return self._clock()
        return (yield from self._server.clock())

    def _reap_plain(self, most: int) -> Talk[bool]:
        """Reap ``most`` rows: whether there may be more to reap."""
        server = self._server
        places = yield from self.due(most)
        if not places:
            return False
        rows = yield from server.load(places, self._now(), payloads=False)
        counts: dict[int, int] = {}
        changes: list[Change] = []
        broken: list[Place] = []
        for place in sorted(places):
            row = rows[place]
            if isinstance(row, str):
                _log.warning("the row of type, scope and key %r is passed over: %s", place, row)
                broken.append(place)
            elif row.revision is not None:
                change, count = _swept(place, row)
                if change.key is not None and place[1]:
                    continue  # that is its owner's to change
                changes.append(change)
                counts[change.revision] = count
        if broken:
            yield from server.leave(broken)
        done = (yield from server.write(changes, self._now())) if changes else set[int]()
        self.gone += sum(counts[revision] for revision in done)
        self.wakes += [each.wake for each in changes if each.wake and each.revision in done]
        self.looked_at += len(places)
        return len(places) == most and bool(done or broken)


def _swept(place: Place, row: Row) -> tuple[Change, int]:
    """``row`` without what expired, and how many sessions that is."""
    after, count = state.sweep(row.slot, row.after)
    return change_of(place, place[2].decode(), row, after, state.due(after)), count
