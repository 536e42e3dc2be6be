"""What this process uses, as the kernel counts it."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Literal

from .verdict import Sample

__all__ = ["sample"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


def sample(
    when: Literal["before", "during", "closed", "after"],
    time: float = 0.0,
    done: int = 0,
    odd: dict[str, int] | None = None,
    entries: int = 0,
) -> Sample:
    """Of the process that asks; tasks are those of the event loop that runs, if one does."""
    files = _open_files()
    return Sample(
        when,
        time,
        int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
        len(files),
        sum(file.startswith("socket:") for file in files),
        _tasks(),
        threading.active_count(),
        done,
        dict(odd or {}),
        entries,
    )


def _open_files() -> list[str]:
    files = []
    for name in Path("/proc/self/fd").iterdir():
        try:
            files.append(str(name.readlink()))
        except FileNotFoundError:  # what the list was read from
            continue
    return files


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks()) - 1
    except RuntimeError:  # no event loop
        return 0
