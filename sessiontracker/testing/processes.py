"""Starting other processes on the same store."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from msgspec.structs import astuple

from ..operations import Address
from .harness import PATIENCE, Mode
from .subject import Subject

__all__ = ["in_processes"]


def in_processes(
    subject: Subject,
    mode: Mode,
    address: Address,
    *deeds: tuple[Any, ...],
) -> list[Any]:
    """What each of ``deeds``, a name of `child` and its arguments, came to; all at one moment."""
    processes = [_start(subject, mode, address, *deed) for deed in deeds]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdin is not None
            if process.stdout.readline() != "ready\n":
                raise AssertionError(f"a process did not start:\n{process.communicate()[1]}")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [_answer(process) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _start(
    subject: Subject, mode: Mode, address: Address, deed: str, *arguments: Any
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {_RUN}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    order = {
        "name": subject.name,
        "options": subject.options,
        "mode": mode,
        "deed": deed,
        "address": astuple(address),
        "arguments": arguments,
    }
    assert process.stdin is not None
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    return process


_RUN = "from sessiontracker.testing.child import main; main()"


def _answer(process: subprocess.Popen[str]) -> Any:
    out, err = process.communicate(timeout=2 * PATIENCE)
    if process.returncode != 0:
        raise AssertionError(f"a process failed:\n{err}")
    return json.loads(out)
