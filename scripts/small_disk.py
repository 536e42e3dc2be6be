"""A small disk of one's own, in memory, to fill up. To mount it takes the right to, as root has."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

__all__ = ["NoDiskError", "SmallDisk"]


class NoDiskError(Exception):
    """None can be mounted here."""


class SmallDisk:
    """A file system of ``size`` MiB, in ``folder``. Raises: NoDiskError."""

    def __init__(self, size: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="st-"))
        self.folder.chmod(0o755)
        self._ballast = self.folder / "ballast"
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "sessiontracker", str(self.folder)]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.folder.rmdir()
            raise NoDiskError(f"none can be mounted here, which root may: {error}") from error

    def fill(self) -> None:
        """Nothing is left."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (2**20, 2**12):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        self._ballast.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
        self.folder.rmdir()
