"""What the kit found out, told at its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..contract import Capability
from .harness import Mode
from .subject import Subject

__all__ = ["DETECTED", "Report"]

DETECTED = "sessiontracker_detected"
"""The property by which a test tells that it detected a capability, or that it did not."""


@dataclass
class Report:
    """What was detected, and how many tests were not asked for want of a role or a capability."""

    detected: dict[tuple[Mode, Capability], bool] = field(
        default_factory=dict[tuple[Mode, Capability], bool]
    )
    left_out: dict[str, int] = field(default_factory=dict[str, int])

    def lines(self, subject: Subject, seed: int) -> Iterator[str]:
        roles = [
            name
            for name, plugin in (("storage", subject.storage), ("locking", subject.locking))
            if plugin is not None
        ]
        modes: list[Mode] = [mode for mode in ("async", "sync") if self._knows(mode)]
        yield f"roles: {', '.join(roles)}; seed: {seed}"
        yield _row("capability", "declared", *modes)
        for capability in Capability:
            yield _row(
                capability,
                _yes(capability in subject.capabilities),
                *(_yes(self.detected.get((mode, capability))) for mode in modes),
            )
        for reason, count in sorted(self.left_out.items()):
            yield f"{count} tests not asked: they need {reason}"

    def _knows(self, mode: str) -> bool:
        return any(known == mode for known, _ in self.detected)


def _row(*cells: str) -> str:
    return "".join(f"{cell:<12}" for cell in cells).rstrip()


def _yes(has: bool | None) -> str:
    return "-" if has is None else "yes" if has else "no"
