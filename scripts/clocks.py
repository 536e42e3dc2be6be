"""A wall clock of a program's own, to be set while it runs: Debian's ``faketime`` laid under it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["LIBRARY", "Clock"]

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
"""None where the package ``faketime`` is not installed."""


class Clock:
    """Of each program that is started with its ``environment``. Monotonic time stays as it is.

    A context manager, within which those programs run.
    """

    def __init__(self) -> None:
        if LIBRARY is None:
            raise FileNotFoundError("libfaketime is not there: install the package faketime")
        self._folder = tempfile.TemporaryDirectory(prefix="clock-")
        folder = Path(self._folder.name)
        folder.chmod(0o755)  # a server may run as another user
        self._file, self._next = folder / "clock", folder / "clock.next"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",  # the file is read whenever somebody asks for the time
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def set(self, ahead: int) -> None:
        """To ``ahead`` s later than it is, or, if that is negative, earlier."""
        self._next.write_text(f"{ahead:+}")
        self._next.chmod(0o644)
        self._next.replace(self._file)  # nobody reads half of it
