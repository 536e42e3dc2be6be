"""The backend in ``docs/writing-a-backend.md`` is as good as the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "writing-a-backend.md"


def test_the_pages_own_backend_passes_the_kit(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(\"\"\".*?)```", page, re.DOTALL)
    (tmp_path / "sessiontracker_cupboard.py").write_text(code, encoding="utf-8")
    (entry,) = re.findall(r"^cupboard = \"(.*)\"$", page, re.MULTILINE)
    info = tmp_path / "sessiontracker_cupboard-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cupboard\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[sessiontracker]\ncupboard = {entry}\n")
    here = str(Path(__file__).parent.parent)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "sessiontracker.testing.plugin"),
            *("--pyargs", "sessiontracker.testing", "--backend", "cupboard", "--walks", "6"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=150,
        cwd=here,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), here])},
    )
    assert run.returncode == 0, run.stdout + run.stderr
