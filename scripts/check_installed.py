"""Import every module of an installed package, and load every plugin that is installed with it.

``--without-extras`` leaves out what needs one of the core's extras.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from importlib.metadata import entry_points
from pathlib import Path

NEED_EXTRAS = ("sessiontracker.cli", "sessiontracker.testing")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package")
    parser.add_argument("--without-extras", action="store_true")
    arguments = parser.parse_args()
    root = importlib.import_module(arguments.package)
    folder = Path(root.__path__[0])
    names = [
        name
        for path in sorted(folder.rglob("*.py"))
        if path.stem != "__main__"
        and (name := _name(path.relative_to(folder.parent)))
        and not (arguments.without_extras and name.startswith(NEED_EXTRAS))
    ]
    for name in names:
        importlib.import_module(name)
    plugins = entry_points(group="sessiontracker")
    for plugin in plugins:
        plugin.load()
    if not (folder / "py.typed").is_file():
        print(f"{arguments.package} has no py.typed", file=sys.stderr)
        return 1
    print(f"{arguments.package}: {len(names)} modules, {len(plugins)} plugins")
    return 0


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


if __name__ == "__main__":
    sys.exit(main())
