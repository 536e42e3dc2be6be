"""The ``sessiontracker`` command. Each of its commands is a module of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..errors import SessionTrackerError
from . import check, schema

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code: 0 all is well, 1 it is not, 2 wrongly called."""
    parser = argparse.ArgumentParser(prog="sessiontracker", description="Distributed sessions.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check.add_to(commands)
    schema.add_to(commands)
    chosen = parser.parse_args(arguments)
    try:
        code: int = chosen.run(chosen)
    except SessionTrackerError as error:
        print(f"sessiontracker: {error}", file=sys.stderr)
        return 1
    return code
