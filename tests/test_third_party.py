"""A backend that others wrote is installed next to the core, and found by its name."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

CONFIGURATION = """
[backends.desk]
use = "shelf"
url = "sessions.shelf"

[sessions.checkout]
idle_timeout = "1h"
"""

START = """
import asyncio
from sessiontracker import AsyncSessionTracker, Session

class Checkout(Session):
    items: list[str] = []

async def main():
    async with AsyncSessionTracker.from_toml("sessions.toml", types=[Checkout]) as tracker:
        await tracker.start(Checkout(key="order-42"))
        async with tracker.get_locked(Checkout, "order-42") as checkout:
            checkout.items.append("book")

asyncio.run(main())
"""

READ = """
from importlib.metadata import distributions
from sessiontracker import Session, SessionTracker

class Checkout(Session):
    items: list[str] = []

with SessionTracker.from_toml("sessions.toml") as tracker:
    with tracker.get_locked(Checkout, "order-42") as checkout:
        checkout.items.append("pen")
    checkout = tracker.finish(Checkout, "order-42")
    print(checkout.items, checkout.version)
print(sorted(distribution.name for distribution in distributions()))
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in hidden and not name.upper().startswith("SESSIONTRACKER__")
    }
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def must(*command: str | Path, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment that has the core and the example, from their sources, and no more."""
    place = tmp_path_factory.mktemp("fresh")
    sources = [ROOT, ROOT / "examples" / "third_party"]
    environment = place / "environment"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    uv = shutil.which("uv")
    if uv is not None:
        must(uv, "venv", "--quiet", "--python", sys.executable, environment, cwd=place)
        install = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        must(sys.executable, "-m", "venv", environment, cwd=place)
        install = [python, "-m", "pip", "install", "--quiet"]
    for _ in range(2):  # an index may be out of reach for once
        if run(*install, *sources, cwd=place).returncode == 0:
            return python
    must(*install, *sources, cwd=place)
    return python


def test_a_configuration_names_it_and_it_is_used(python: Path, tmp_path: Path) -> None:
    (tmp_path / "sessions.toml").write_text(CONFIGURATION)
    must(python, "-c", START, cwd=tmp_path)
    items, distributions = must(python, "-c", READ, cwd=tmp_path).splitlines()
    assert items == "['book', 'pen'] 4"
    installed = {name.lower().replace("_", "-") for name in ast.literal_eval(distributions)}
    assert installed - {"pip", "setuptools"} == {
        "msgspec",
        "pluggy",
        "sessiontracker",
        "sessiontracker-shelf",
    }


def test_the_command_checks_it_without_any_extra(python: Path, tmp_path: Path) -> None:
    (tmp_path / "sessions.toml").write_text(CONFIGURATION)
    checked = must(python, "-m", "sessiontracker", "check", "sessions.toml", cwd=tmp_path)
    assert "sessions.checkout.idle_timeout in sessions.toml" in checked
    (tmp_path / "wrong.toml").write_text(CONFIGURATION.replace("url", "nonsense"))
    done = run(python.with_name("sessiontracker"), "check", "wrong.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert 'backends.desk: write url = "FILE", and no more' in done.stdout


def test_without_its_distribution_the_name_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "sessions.toml").write_text(CONFIGURATION)
    done = run(sys.executable, "-c", START, cwd=tmp_path)
    assert done.returncode == 1
    assert 'backends.desk.use in sessions.toml: no plugin "shelf" is installed' in done.stderr
