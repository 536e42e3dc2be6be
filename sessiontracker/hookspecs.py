"""The hooks that a plugin may implement. All are called while a tracker opens.

An entry point in the group ``sessiontracker`` names the module, or other object, that has
them; its name is what ``use =``, ``codec =`` and ``plugins =`` call it::

    [project.entry-points.sessiontracker]
    shelf = "sessiontracker_shelf"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy
from msgspec import Struct

if TYPE_CHECKING:
    from .codec import Codec
    from .config import Config
    from .contract import LockingPlugin, StoragePlugin
    from .events import Observer

__all__ = ["PROJECT", "CodecPlugin", "hookimpl", "hookspec"]

PROJECT = "sessiontracker"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class CodecPlugin(Struct, frozen=True, kw_only=True):
    """A codec, and the version of the plugin contract that it was written for."""

    codec: Codec
    api_version: int

    @property
    def name(self) -> str:
        return self.codec.name


@hookspec
def sessiontracker_storage() -> StoragePlugin:  # type: ignore[empty-body]
    """A backend that keeps sessions. Where it keeps locks too, this one opens it for both."""


@hookspec
def sessiontracker_locking() -> LockingPlugin:  # type: ignore[empty-body]
    """A backend that keeps locks."""


@hookspec
def sessiontracker_codec() -> CodecPlugin:  # type: ignore[empty-body]
    """A way to write sessions down."""


@hookspec
def sessiontracker_observer(config: Config) -> Observer | None:
    """Who is told what happens to sessions; None: nobody, with this configuration."""
