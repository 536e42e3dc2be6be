"""Run a command beside a PostgreSQL of its own: ``{postgresql}`` in it becomes the server's URL.

python scripts/with_postgresql.py pytest … --backend sql --backend-option url={postgresql}
"""

from __future__ import annotations

import subprocess
import sys

from database_servers import PostgreSQL


def main(command: list[str]) -> int:
    server = PostgreSQL().start()
    try:
        words = [word.replace("{postgresql}", server.url) for word in command]
        return subprocess.run(words, check=False).returncode
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
