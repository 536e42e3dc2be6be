"""Where a configuration comes from: a mapping, a TOML file, the environment over both."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from .errors import ConfigurationError
from .wording import listed, mask

__all__ = ["PREFIX", "KeyPath", "Sources", "dotted", "read_toml", "variable_name"]

PREFIX = "SESSIONTRACKER__"

KeyPath = tuple[str, ...]

_DEEPEST = 32  # tables and arrays in one another
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NOT_IN_VARIABLES = re.compile(r"[^a-z0-9]+")
# Settings that are text, whatever the text looks like: the rest may be a TOML value.
_TEXTS = {"use", "url", "storage", "locking", "codec", "on_limit"}


class Sources:
    """A configuration's raw data, and which source each part of it is from.

    ``data`` is nested as TOML nests it. Environment variables named ``SESSIONTRACKER__`` and
    the path's parts, with ``__`` between them, override what ``source`` says. Their case does
    not matter, and whatever a variable's name cannot hold is an underscore in it: both
    ``[sessions."shop.checkout"]`` and ``[sessions.shop-checkout]`` are ``SHOP_CHECKOUT``. An
    empty variable is as good as none.
    """

    def __init__(self, data: Mapping[str, Any], source: str, environ: Mapping[str, str]) -> None:
        self.data = _copied(data, source)
        self.source = source
        self.problems: list[str] = []
        self.made: set[KeyPath] = set()  # tables that only environment variables speak of
        self._variables: dict[KeyPath, str] = {}
        for variable in sorted(environ):
            if variable.upper().startswith(PREFIX) and environ[variable]:
                self._override(variable, environ[variable])

    def source_of(self, path: KeyPath) -> str:
        """The file, mapping or environment variable that ``path`` was last set by."""
        variable = self.variable_of(path)
        return self.source if variable is None else f"the environment variable {variable}"

    def variable_of(self, path: KeyPath) -> str | None:
        for length in range(len(path), 0, -1):
            if path[:length] in self._variables:
                return self._variables[path[:length]]
        return None

    def where(self, path: KeyPath) -> str:
        """How messages name a setting: ``sessions.checkout.idle_timeout in sessions.toml``."""
        return f"{dotted(path)} in {self.source_of(path)}"

    def _override(self, variable: str, text: str) -> None:
        parts = [variable_name(part) for part in variable[len(PREFIX) :].split("__")]
        if not all(parts):
            self.problems.append(
                f"the environment variable {variable} names no setting: write it like "
                f"{PREFIX}DEFAULTS__IDLE_TIMEOUT"
            )
            return
        table, path = self.data, list[str]()
        for part in parts:
            names = [name for name in table if variable_name(name) == part]
            if len(names) > 1:
                self.problems.append(
                    f"the environment variable {variable} may mean any of "
                    f"{listed(dotted((*path, name)) for name in names)}: give them names that "
                    "differ in more than signs and case"
                )
                return
            path.append(names[0] if names else part)
            if len(path) == len(parts):
                break
            if path[-1] not in table:
                table[path[-1]] = {}
                self.made.add(tuple(path))
            if not isinstance(table[path[-1]], dict):
                return  # what should be a table is none, which is an error anyway
            table = table[path[-1]]
        table[path[-1]] = _value(path, text)
        self._variables[tuple(path)] = variable


def variable_name(part: str) -> str:
    """A part of a path as environment variables name it, in small letters."""
    return _NOT_IN_VARIABLES.sub("_", part.lower()).strip("_")


def dotted(path: Iterable[str]) -> str:
    """A path as TOML writes it: ``sessions."shop.checkout".storage``."""
    return ".".join(
        part if _BARE.fullmatch(part) else '"' + mask(part).replace('"', '\\"') + '"'
        for part in path
    )


def read_toml(path: Path) -> tuple[Mapping[str, Any], str]:
    """What a TOML file says, or its ``[tool.sessiontracker]``; and what to call the source.

    Raises: ConfigurationError.
    """
    source = mask(str(path))  # it may be a URL, by mistake
    try:
        text = path.read_text(encoding="utf-8-sig")  # as some editors save it
        data = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no file {source} (in {Path.cwd()}): check the path, or write the file"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{source} is not UTF-8, as TOML must be, at byte {error.start}: save it as UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source} is not TOML: {error}") from None
    except (RecursionError, ValueError) as error:  # so deep, or so long a number
        raise ConfigurationError(f"{source} cannot be read: {error}") from None
    tools = data.get("tool")
    own = cast("dict[str, Any]", tools).get("sessiontracker") if isinstance(tools, dict) else None
    if isinstance(own, dict):
        return cast("dict[str, Any]", own), f"{source} [tool.sessiontracker]"
    if path.name == "pyproject.toml":
        raise ConfigurationError(
            f"{source} has no [tool.sessiontracker]: add that table, or name another file"
        )
    return data, source


def _copied(data: Mapping[str, Any], source: str, above: KeyPath = ()) -> dict[str, Any]:
    """Tables copied, so that overriding changes nobody's data; values as they are.

    Raises: ConfigurationError where they are nested so deeply that they cannot be meant.
    """
    copied: dict[str, Any] = {}
    for key, value in data.items():
        path = (*above, str(key))
        inner: object = value
        if len(path) > _DEEPEST or (not isinstance(inner, Mapping) and _is_deep(inner)):
            raise ConfigurationError(f"{dotted(path)} in {source} is nested too deeply")
        if isinstance(inner, Mapping):
            inner = _copied(cast("Mapping[str, Any]", inner), source, path)
        copied[path[-1]] = inner
    return copied


def _is_deep(value: object, most: int = _DEEPEST) -> bool:
    """Whether tables and arrays stand more than ``most`` deep in one another."""
    if isinstance(value, Mapping):
        inner: Iterable[object] = cast("Mapping[object, object]", value).values()
    elif isinstance(value, list | tuple):
        inner = cast("Sequence[object]", value)
    else:
        return False
    return most == 0 or any(_is_deep(each, most - 1) for each in inner)


def _value(path: list[str], text: str) -> Any:
    """What a variable's text stands for."""
    if path[-1] in _TEXTS:
        return text
    if path == ["plugins"] and not text.lstrip().startswith("["):
        return [name.strip() for name in text.split(",") if name.strip()]
    try:
        value = tomllib.loads(f"value = {text}")
    except (RecursionError, ValueError):
        return text
    return value["value"] if len(value) == 1 and not _is_deep(value) else text
