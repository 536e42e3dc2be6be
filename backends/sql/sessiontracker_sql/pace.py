"""How a batch is tried again while others are at its rows."""

from __future__ import annotations

import random
from time import monotonic

from .talk import Pause, Talk

__all__ = ["BUSY", "Pace"]

BUSY = (
    "others kept changing the row, or have it locked: end the transaction that has, or ask for "
    "less at once under one key"
)
_PATIENCE = 0.25
"""For how long, in seconds, a key is tried that others are at; then its steps are `Unavailable`,
their neighbours are answered, and the tracker asks again."""
_LEAST_ROUNDS = 3  # also for one that was held up between them
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.02  # s


class Pace:
    """Of one batch: when it has been tried enough, and what is rested in between."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        """``patience``: for how long, in s."""
        self._begun, self._patience = monotonic(), patience
        self._until = self._begun + patience
        self._rounds = 0
        self._pause = 0.0

    def extend(self, seconds: float) -> None:
        """Others leave it so much time: it is tried for longer, once in all."""
        self._until = self._begun + self._patience + seconds

    def is_over(self) -> bool:
        """Whether there is to be no further round after this one."""
        self._rounds += 1
        return self._rounds >= _LEAST_ROUNDS and monotonic() >= self._until

    def rest(self) -> Talk[None]:
        """Not at all at first, then longer and longer."""
        if self._pause:
            yield Pause(self._pause * random.uniform(0.5, 1.0))
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
