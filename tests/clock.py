"""A store's clock that a test moves."""

from __future__ import annotations

__all__ = ["Clock"]


class Clock:
    """In µs; it stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += round(seconds * 1_000_000)
