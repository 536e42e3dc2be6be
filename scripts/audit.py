"""Ask for known advisories about what our distributions depend on, as installed here.

It fails if there are any. Where no service answers, it says so, and does not fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = ["sessiontracker", "sessiontracker-redis", "sessiontracker-sql"]
SERVICES = ["pypi", "osv"]
PATIENCE = 120  # s


def requirements() -> list[str]:
    """What ours need, with all their extras, and what that needs: ``name==version``."""
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(name) for name in OURS]
    for ours in todo:
        ours.extras = set(distribution(ours.name).metadata.get_all("Provides-Extra") or ())
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        try:
            there = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform
        found[name] = there.version
        todo += _needed(there.requires or (), wanted.extras)
    return [f"{name}=={version}" for name, version in sorted(found.items()) if name not in OURS]


def _needed(requires: Any, extras: set[str]) -> Iterator[Requirement]:
    for requirement in map(Requirement, requires):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            yield requirement


def audit(pinned: list[str], service: str) -> list[dict[str, Any]] | str:
    """What ``service`` knows of each; or why it said nothing."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "requirements.txt")
        file.write_text("\n".join(pinned))
        command = [sys.executable, "-m", "pip_audit", "--progress-spinner=off", "--format=json"]
        command += ["--disable-pip", "--no-deps", f"--vulnerability-service={service}"]
        try:
            done = subprocess.run(
                [*command, f"--requirement={file}"],
                capture_output=True, text=True, timeout=PATIENCE, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"no answer within {PATIENCE} s"
    try:
        known: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return (done.stderr.strip() or "no answer").splitlines()[-1][:200]
    skipped = [each["name"] for each in known if "skip_reason" in each]
    if skipped:
        return f"it knows nothing of {', '.join(skipped)}"
    return known


def main() -> int:
    pinned = requirements()
    print(f"{len(pinned)} distributions: {', '.join(pinned)}")
    for service in SERVICES:
        known = audit(pinned, service)
        if isinstance(known, str):
            print(f"NOT audited by {service}: {known}")
            continue
        advisories = [(each["name"], one) for each in known for one in each["vulns"]]
        for name, one in advisories:
            print(
                f"{name}: {one['id']}, mended in {', '.join(one['fix_versions']) or 'no version'}"
            )
        print(f"audited by {service}: {len(advisories)} advisories")
        return 1 if advisories else 0
    print("WARNING: no service answered: it is not known whether there are advisories")
    return 0


if __name__ == "__main__":
    sys.exit(main())
