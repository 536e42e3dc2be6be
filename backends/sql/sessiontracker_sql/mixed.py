"""A batch of steps, some on plain sessions and some on owners'."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sessiontracker.backend import operations

from . import owner_work, work
from .server import Server
from .talk import Talk
from .work import Clock, Done

__all__ = ["carry_out"]


def carry_out(
    server: Server,
    steps: Sequence[operations.Operation],
    clock: Clock = None,
    claimed: Collection[int] = (),
) -> Talk[Done]:
    """The outcomes of ``steps``, each succeeding or failing alone. ``claimed`` are the tickets
    that are said to have been given a claim."""
    plain = [step for step in steps if not step.address.scope]
    if len(plain) == len(steps):
        return (yield from work.carry_out(server, steps, clock, claimed))
    owned = [step for step in steps if step.address.scope]
    of_plain = yield from work.carry_out(server, plain, clock)
    of_owned = yield from owner_work.carry_out(server, owned, clock)
    plain_outcomes, owned_outcomes = iter(of_plain.outcomes), iter(of_owned.outcomes)
    outcomes = [
        next(owned_outcomes) if step.address.scope else next(plain_outcomes) for step in steps
    ]
    return Done(outcomes, of_plain.wakes + of_owned.wakes)
