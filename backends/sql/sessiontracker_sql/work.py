"""A batch of steps, done on a server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from sessiontracker.backend import machine, operations

from .optimistic import Batch, Change, Place, Row, place_of
from .pace import BUSY, Pace
from .server import Server
from .talk import LostError, ServerError, Talk
from .writing import MOST_BYTES, Writing, outcome_of

__all__ = ["Clock", "Done", "carry_out"]

Clock = Callable[[], int] | None
"""A clock in the place of the server's, in µs, for tests."""


class Done(NamedTuple):
    """What a batch came to: its outcomes, and who was given a claim."""

    outcomes: list[operations.Outcome]
    wakes: list[int]


def carry_out(
    server: Server,
    steps: Sequence[operations.Operation],
    clock: Clock = None,
    claimed: Collection[int] = (),
) -> Talk[Done]:
    """The outcomes of ``steps``, each succeeding or failing alone. ``claimed`` are the tickets
    that are said to have been given a claim."""
    wakes: list[int] = []
    known: Mapping[Place, Row | str] = {}
    if len(steps) == 1:
        outcome, known = yield from _at_once(server, steps[0], clock, claimed, wakes)
        if outcome is not None:
            return Done([outcome], wakes)
        batch = Batch(steps)
    else:
        batch = Batch(steps)
        yield from _save(server, batch, clock, wakes)
        yield from _release(server, batch, clock, wakes)
    writing: Writing[Change] = Writing(
        server, batch, lambda group: server.write(group, clock and clock())
    )
    pace = Pace()
    while places := batch.places:
        try:
            rows = known or (yield from server.load(places, clock and clock()))
            known = {}
            yield from writing.write(batch.decide(rows))
        except ServerError as error:
            if not server.is_passing(error):
                batch.give_up(batch.places, outcome_of(server, error))
        except LostError as error:  # what was sent to be written has its outcome
            batch.give_up(batch.places, operations.Unavailable(str(error)))
        if not batch.places:
            break
        if pace.is_over():
            batch.give_up(batch.places, operations.Unavailable(BUSY))
        else:
            yield from pace.rest()
    return Done(
        [outcome for outcome in batch.outcomes if outcome is not None], wakes + writing.wakes
    )


def _at_once(
    server: Server,
    step: operations.Operation,
    clock: Clock,
    claimed: Collection[int],
    wakes: list[int],
) -> Talk[tuple[operations.Outcome | None, Mapping[Place, Row | str]]]:
    """The outcome of a step that is asked by itself, where one statement may do all of it; None:
    it has not, and then perhaps the row as that left it."""
    now = clock and clock()
    try:
        if isinstance(step, operations.Write):
            if server.can_save(step) and len(step.payload) <= MOST_BYTES:
                saved, woken = yield from server.save([step], now)
                wakes += woken
                return saved.get(step.id), {}
        elif isinstance(step, operations.Release):
            if _lets_go(step):
                released = yield from server.release({place_of(step.address): step}, now)
                wakes += filter(None, released.values())
                return (operations.Released() if released else None), {}
        elif isinstance(step, operations.Acquire) and step.ticket in claimed:
            place = place_of(step.address)
            left = yield from server.claim(place, step, now)
            if left is None or isinstance(left, operations.Granted):
                return left, {}
            if isinstance(left, Row):
                slot, outcome = machine.apply(left.slot, step, left.after)
                if slot == left.slot:
                    return outcome, {}
            return None, {place: left}
    except LostError as error:
        return operations.NoAnswer(str(error)), {}
    except (ServerError, ValueError):
        pass  # nothing was done: it is tried the long way, which says what is wrong
    return None, {}


def _save(server: Server, batch: Batch, clock: Clock, wakes: list[int]) -> Talk[None]:
    """Have the simplest steps done first, as far as they are as simple as they look."""
    writes = dict(_as_much_as_fits(batch.alone(server.can_save)))
    if not writes:
        return
    try:
        saved, woken = yield from server.save(list(writes.values()), clock and clock())
    except LostError as error:
        batch.give_up(writes, operations.NoAnswer(str(error)))
        batch.give_up(batch.places, operations.Unavailable(str(error)))
    except ServerError:
        return  # nothing was done: it is tried the long way, which says what is wrong
    else:
        wakes += woken
        for place, write in writes.items():
            if write.id in saved:
                batch.give_up([place], saved[write.id])


def _release(server: Server, batch: Batch, clock: Clock, wakes: list[int]) -> Talk[None]:
    """Have locks let go, where that is all that is asked."""
    releases = batch.alone(_lets_go)
    if not releases or len(releases) < len(batch.places):
        return
    try:
        released = yield from server.release(releases, clock and clock())
    except LostError as error:
        batch.give_up(releases, operations.NoAnswer(str(error)))
    except ServerError:
        return  # nothing was done: it is tried the long way, which says what is wrong
    else:
        wakes += filter(None, released.values())
        batch.give_up(released, operations.Released())


def _lets_go(operation: operations.Operation) -> bool:
    return type(operation) is operations.Release and not operation.since


def _as_much_as_fits(
    writes: Mapping[Place, operations.Write],
) -> Iterator[tuple[Place, operations.Write]]:
    size = 0
    for place, write in writes.items():
        size += len(write.payload)
        if size > MOST_BYTES:
            return
        yield place, write
