"""The in-memory backend, which is the reference, passes the conformance kit."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("mode", ["async", "sync"])
def test_memory_passes_the_kit(mode: str) -> None:
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "sessiontracker.testing.plugin"),
            *("--pyargs", "sessiontracker.testing", "--backend", "memory"),
            *("--mode", mode, "--walks", "40"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "sessiontracker conformance: memory" in run.stdout
