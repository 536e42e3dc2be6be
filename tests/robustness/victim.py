"""Processes of `victims`, as a test has them: started, told, heard, frozen and killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Counts", "Victim"]


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


class Counts:
    """What all who `count` wrote down, the dead ones too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._begun = 0

    def new(self) -> Path:
        """A file for one more client."""
        self._begun += 1
        return self._folder / str(self._begun)

    def _count(self, letter: bytes) -> int:
        return sum(path.read_bytes().count(letter) for path in self._folder.iterdir())

    @property
    def acknowledged(self) -> int:
        return self._count(b"a")

    @property
    def unknown(self) -> int:
        """Begun, and neither acknowledged nor refused."""
        return self._count(b"b") - self._count(b"r") - self.acknowledged

    @property
    def fallen(self) -> int:
        """How many had a token that was not higher than that of who had written before."""
        return self._count(b"t")
