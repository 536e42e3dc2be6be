"""A backend alone, without a tracker in front of it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from sessiontracker.backend import Backend, BackendOptions
from sessiontracker.config import Config
from sessiontracker.plugins import Plugins

__all__ = ["open_sync"]


def open_sync(table: dict[str, Any], left: ExitStack) -> Backend:
    """The backend that a configuration's ``table`` describes, open until ``left`` is."""
    config = Config(backends={"place": table})
    plugins, settings = Plugins.load(config), config.backends["place"]
    options = BackendOptions("place", settings.url, settings.options)
    backend = plugins.backend("place").open_sync(options)
    backend.open()
    left.callback(backend.close)
    return backend
