"""Processes of `victims`, as a test has them: started, told, heard, frozen and killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

__all__ = ["Victim"]


class Victim:
    """One process in ``role``. A context manager that ends it, however it went."""

    def __init__(self, role: str, config: Any, *words: object, mode: str = "async") -> None:
        module = [sys.executable, "-m", "tests.robustness.victims"]
        self.process = subprocess.Popen(
            [*module, role, mode, json.dumps(config), *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin:/bin"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def hear(self) -> str:
        """The next line that it says. Raises: EOFError if it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise EOFError(f"it ended with {self.process.wait()}")
        return line.strip()

    def tell(self) -> None:
        """Go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()
