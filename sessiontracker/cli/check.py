"""``sessiontracker check FILE``: what a configuration means, and what is wrong with it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import Config, Setting
from ..contract import BackendOptions
from ..errors import ConfigurationError
from ..plugins import Plugins
from ..settings import show
from ..wording import mask, shown
from .tables import print_table

__all__ = ["add_to"]

_ABOUT = """\
Print what a configuration means, session type by session type, with where each value
comes from, and what is wrong with it: plugins that are missing, too. Nothing is connected.
"""


def add_to(commands: Any) -> None:
    """Add the command to the ``commands`` of an argparse parser."""
    parser = commands.add_parser("check", help="check a configuration", description=_ABOUT)
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="a TOML file, or a pyproject.toml with [tool.sessiontracker]",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """0 if the configuration can be used, else 1."""
    config = Config.from_toml(chosen.file, strict=False)
    problems = [*config.problems, *_problems_of_plugins(config)]
    if chosen.json:
        print(json.dumps(_as_json(config, problems), indent=2, ensure_ascii=False))
    else:
        _print(config, problems)
    return 1 if problems else 0


def _problems_of_plugins(config: Config) -> list[str]:
    """What the plugins are short of, and what their backends say to their options."""
    plugins = Plugins.load(config, strict=False)
    problems = [line for error in plugins.errors for line in str(error).splitlines()]
    for name in plugins.backends:
        settings = config.backends[name]
        try:
            plugins.backend(name).open_sync(BackendOptions(name, settings.url, settings.options))
        except ConfigurationError as error:
            problems.append(f"{error} (in {config.source})")
        except Exception as error:
            problems.append(
                f"{config.where('backends', name)}: its plugin fails: {mask(repr(error))}"
            )
    return problems


# For people ------------------------------------------------------------------


def _print(config: Config, problems: list[str]) -> None:
    print(f"{config.source}\n")
    for name, settings in config.explain_backends().items():
        _print_settings(f"backends.{name}", settings)
    for name in config.sessions:
        _print_settings(f"sessions.{name}", config.explain(name))
    _print_settings(
        "every other session type" if config.sessions else "every session type", config.explain()
    )
    _print_settings("the tracker", config.explain_tracker())
    for plugin in config.plugins:
        print(f"plugin {mask(plugin)}")
    for problem in problems:
        print(f"wrong: {problem}")
    count = f"{len(problems)} thing{'s' if len(problems) > 1 else ''}"
    print(f"{count} to put right" if problems else "nothing is wrong with it")


def _print_settings(title: str, settings: Mapping[str, Setting]) -> None:
    rows = [(key, _text(key, setting), setting.where) for key, setting in settings.items()]
    wrong = [number for number, setting in enumerate(settings.values()) if setting.wrong]
    print_table(title, ("setting", "value", "from"), rows, wrong=wrong)


def _text(key: str, setting: Setting) -> str:
    return shown(setting.value) if setting.wrong else show(key, setting.value)


# For programs ----------------------------------------------------------------


def _as_json(config: Config, problems: list[str]) -> dict[str, Any]:
    return {
        "source": config.source,
        "backends": _tables(config.explain_backends()),
        "sessions": _tables({name: config.explain(name) for name in config.sessions}),
        "other_sessions": _table(config.explain()),
        "tracker": _table(config.explain_tracker()),
        "plugins": list(map(mask, config.plugins)),
        "problems": problems,
    }


def _tables(tables: Mapping[str, Mapping[str, Setting]]) -> dict[str, Any]:
    return {name: _table(settings) for name, settings in tables.items()}


def _table(settings: Mapping[str, Setting]) -> dict[str, Any]:
    return {
        key: {"value": _text(key, setting), "from": setting.where, "wrong": setting.wrong}
        for key, setting in settings.items()
    }
