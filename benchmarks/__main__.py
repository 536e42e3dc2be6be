"""All benchmarks that need no server, one after the other."""

from __future__ import annotations

import subprocess
import sys

for name in ("memory", "sqlite_driver"):
    print(f"== {name}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]], check=True)
