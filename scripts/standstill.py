"""Processes that stand still: from one signal to another they run, accept and answer nothing."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

__all__ = ["go_on", "stand_still"]


def stand_still(pid: int) -> None:
    _signal(pid, signal.SIGSTOP)


def go_on(pid: int) -> None:
    _signal(pid, signal.SIGCONT)


def _signal(pid: int, what: signal.Signals) -> None:
    """To ``pid`` first, so that it starts no other, and then to those it has started."""
    os.kill(pid, what)
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(child), what)
