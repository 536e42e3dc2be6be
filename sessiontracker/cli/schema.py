"""``sessiontracker schema``: what an administrator creates before a tracker may use a store."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..config import Config
from ..contract import BackendOptions
from ..errors import ConfigurationError
from ..plugins import Plugins

__all__ = ["add_to"]

_ABOUT = """\
Print the script that creates the tables which a configuration's backends need, for those
who do not have a tracker create them (create_tables = false). Nothing is connected.
"""


def add_to(commands: Any) -> None:
    """Add the command to the ``commands`` of an argparse parser."""
    parser = commands.add_parser("schema", help="print what creates tables", description=_ABOUT)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        nargs="?",
        help="a TOML file, or a pyproject.toml with [tool.sessiontracker]",
    )
    which.add_argument("--url", help="of one database, such as postgresql://app@db/app")
    parser.add_argument(
        "--use", default="sql", metavar="PLUGIN", help="the plugin for --url (unless set, sql)"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the backend at --url, such as table_prefix=app_; may be repeated",
    )
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Print it. Raises: ConfigurationError."""
    if chosen.url is None:
        config = Config.from_toml(chosen.file)
    else:
        options = dict(_option(text) for text in chosen.option)
        config = Config.of(backend=chosen.use, url=chosen.url, options=options)
    plugins = Plugins.load(config)
    scripts: list[str] = []
    for name in plugins.backends:
        settings, ddl = config.backends[name], plugins.backend(name).ddl
        if ddl is not None:
            text = ddl(BackendOptions(name, settings.url, settings.options))
            scripts.append(f"-- backend {name}\n{text}")
    if not scripts:
        raise ConfigurationError(f"{config.source}: none of its backends has tables to create")
    print("\n".join(scripts), end="")
    return 0


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"--option {text}: write it as NAME=VALUE")
    return name, value
