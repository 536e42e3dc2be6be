"""What is put to the test: a backend, by the name that it is installed under, and its options."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..config import Config
from ..contract import BackendOptions, BackendPlugin, Capability, LockingPlugin, StoragePlugin
from ..errors import ConfigurationError
from ..plugins import Plugins
from .harness import Clock, Mode, Store

__all__ = ["Subject", "find", "parse_options"]

DEFAULT_TICK = 200


def find(name: str) -> tuple[StoragePlugin | None, LockingPlugin | None]:
    """The two roles that the backend ``name`` plays; None for one that it does not."""
    config = Config.of({"backends": {"conformance": {"use": name}}})
    return Plugins.load(config).roles("conformance")


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """``key=value`` pairs. A value is a JSON number, truth or list, or else the text itself."""
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise ConfigurationError(f"a backend's option is KEY=VALUE, not {pair!r}")
        try:
            options[key] = json.loads(text)
        except ValueError:
            options[key] = text
    return options


@dataclass
class Subject:
    """A backend under test. ``tick`` is the unit of times that have to pass, in ms."""

    name: str
    options: dict[str, Any]
    storage: StoragePlugin | None
    locking: LockingPlugin | None
    tick: int = DEFAULT_TICK

    @classmethod
    def found(cls, name: str, options: dict[str, Any], tick: int = DEFAULT_TICK) -> Subject:
        storage, locking = find(name)
        return cls(name, options, storage, locking, tick)

    @property
    def plugins(self) -> list[BackendPlugin]:
        return [plugin for plugin in (self.storage, self.locking) if plugin is not None]

    @property
    def plugin(self) -> BackendPlugin:
        """The one plugin that plays both roles, or the only one."""
        return self.plugins[0]

    @property
    def capabilities(self) -> frozenset[Capability]:
        options = self._options()
        return frozenset[Capability]().union(
            *(plugin.capabilities_of(options) for plugin in self.plugins)
        )

    def open(self, mode: Mode, clock: Clock | None = None) -> Store:
        """An open store of its own; its real clock runs unless one is given."""
        return Store(self.plugin, self._options(), mode, clock=clock, tick=self.tick)

    def _options(self) -> BackendOptions:
        options = dict(self.options)
        url = options.pop("url", None)
        return BackendOptions("conformance", url, options)

    def open_for_test(self, mode: Mode) -> Store:
        """As `open`, with a clock that the test moves where the backend declares to take one."""
        return self.open(mode, Clock() if Capability.CLOCK in self.capabilities else None)
