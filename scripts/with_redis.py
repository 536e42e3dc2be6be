"""Run a command beside servers of its own: ``{url}`` in it becomes their URL.

python scripts/with_redis.py valkey|redis|PROGRAM single|cluster|sentinel pytest … url={url}
"""

from __future__ import annotations

import subprocess
import sys

from redis_servers import Cluster, Sentinels, Server


def main(kind: str, topology: str, *command: str) -> int:
    made = {"single": Server, "cluster": Cluster, "sentinel": Sentinels}[topology](kind)
    try:
        made.start()
        words = [word.replace("{url}", made.url) for word in command]
        return subprocess.run(words, check=False).returncode
    finally:
        made.stop()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
