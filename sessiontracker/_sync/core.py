# Generated from sessiontracker/_async/core.py by scripts/generate_sync.py: edit that.
"""A tracker's life: its configuration, its backends, and the session types bound to them."""

from __future__ import annotations

import logging
import os
import socket
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ..binding import Binding
from ..codec import SessionCodec
from ..config import Config
from ..contract import Backend, BackendOptions, Capability
from ..errors import CapabilityError, ConfigurationError, SessionTrackerError
from ..events import Observer
from ..operations import Ping, Pong, Reaped
from ..owned import OwnedBinding
from ..plugins import Plugins
from ..refusals import store_error
from ..session import Session, is_owned, shared_type, type_name
from ..settings import SessionSettings
from ..shared import SharedCodec
from .asking import Asker
from .keeper import Keeper, Store
from .reaping import Reaper
from .runtime import Mutex, Tasks, behind, heed, open_backend

__all__ = ["TrackerCore"]

S = TypeVar("S", bound=Session)

_log = logging.getLogger("sessiontracker")

_CLOSING = 5.0  # s that close() waits for releases under way


class TrackerCore:
    """What a tracker is before it is asked anything."""

    def __init__(
        self,
        config: Config | Mapping[str, Any] | None = None,
        *,
        backend: str | None = None,
        url: str | None = None,
        types: Sequence[type[Session]] = (),
        observers: Sequence[Observer] = (),
        **options: Any,
    ) -> None:
        self._config = Config.of(config, backend=backend, url=url, options=options)
        self._types = tuple(types)
        self._given_observers = tuple(observers)
        self._open = False
        self._opening = Mutex()
        self._reset()
        _trackers.add(self)

    @classmethod
    def from_toml(
        cls,
        path: str | os.PathLike[str],
        *,
        types: Sequence[type[Session]] = (),
        observers: Sequence[Observer] = (),
    ) -> Self:
        """A tracker configured by a TOML file, or by a pyproject's ``[tool.sessiontracker]``.

        Raises: ConfigurationError.
        """
        return cls(Config.from_toml(Path(path)), types=types, observers=observers)

    def _reset(self) -> None:
        """Nothing is open yet: no backend, no lock, no task."""
        self._stores: dict[type[Session], Store[Any]] = {}
        self._classes: dict[str, type[Session]] = {}
        self._askers: dict[str, Asker] = {}
        self._plugins: Plugins | None = None
        self._tasks = Tasks()
        self._keeper = Keeper(f"{socket.gethostname()}:{os.getpid()}", self._tasks)
        self._reaper: Reaper | None = None
        self._connected = False

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Load the plugins, open the backends, check the session types that were given.

        Cancelled, it leaves nothing open.

        Raises: ConfigurationError, BackendUnavailableError.
        """
        behind(self._open_all, undo=self._close_all)

    def _open_all(self) -> bool:
        """Whether anything was to be opened."""
        with self._opening:
            if self._open:
                return False
            self._connect()
            self._open = True
            return True

    def _connect(self) -> None:
        self._tasks.check()
        self._plugins = Plugins.load(self._config)
        self._keeper.observers = (*self._given_observers, *self._plugins.observers)
        try:
            for name in self._config.backends:
                backend = self._opener(name)
                backend.open()
                self._askers[name] = Asker(
                    name,
                    backend,
                    self._config.operation_timeout / 1000,
                    self._config.max_in_flight,
                )
                heed()
            for type in self._types:
                self._bind(type)
        except BaseException:
            self._disconnect()
            raise
        every = self._config.reap_every
        if every is not None:
            self._reaper = Reaper(self._tasks, self._askers.values(), every / 1000)
        self._connected = True

    def _opener(self, name: str) -> Backend:
        """The backend of this name in the configuration, not yet connected."""
        assert self._plugins is not None
        settings = self._config.backends[name]
        plugin = self._plugins.backend(name)
        whole = self._config.operation_timeout / 1000
        return open_backend(plugin, BackendOptions(name, settings.url, settings.options, whole))

    def close(self) -> None:
        """Let go of everything: locks that are being released, then the backends.

        A lock whose block is still running is not renewed any more. Cancelled, it closes all the
        same, behind its caller; another close() waits for that.
        """
        behind(self._close_all)

    def _close_all(self) -> None:
        with self._opening:
            if not self._open:
                return
            self._open = False
            for name in self._config.unclaimed(self._classes):
                _log.warning(
                    "%s: no session type of that name was used: is it misspelt?",
                    self._config.where("sessions", name),
                )
            self._disconnect()

    def _disconnect(self) -> None:
        self._keeper.close()
        if self._reaper is not None:
            self._reaper.close()
        try:
            self._tasks.close(_CLOSING)
        finally:
            askers = self._askers
            self._reset()
            with ExitStack() as stack:  # whatever becomes of one, the others are closed
                for asker in askers.values():
                    stack.callback(self._let_go_of, asker)

    def _let_go_of(self, asker: Asker) -> None:
        try:
            try:
                asker.close()
            finally:
                asker.backend.close()
        except Exception:
            _log.exception("backend %r could not be closed properly", asker.name)

    def ping(self) -> None:
        """Ask every backend whether it answers. Raises: BackendUnavailableError."""
        self._ready()
        for asker in self._askers.values():
            outcome = asker.ask(Ping())
            if type(outcome) is not Pong:
                raise store_error(outcome)

    def reap(self, *, limit: int = 1000) -> int:
        """Remove what expired, oldest first, at most ``limit`` sessions of each backend.

        Expired sessions are not there anyway; this gives their room back. Returns how many
        were removed: none by who finds another at it. With ``reap_every`` in the configuration,
        the tracker does it by itself.
        """
        self._ready()
        count = 0
        for asker in self._askers.values():
            outcome = asker.reap(limit)
            if type(outcome) is not Reaped:
                raise store_error(outcome)
            count += outcome.count
        return count

    def _ready(self) -> None:
        """Make sure that the backends are there, also in a forked child."""
        if self._open and not self._connected:
            behind(self._connect_anew)
        if not self._open:
            raise SessionTrackerError(
                "the tracker is not open: use it as a context manager, or call open() first"
            )

    def _connect_anew(self) -> None:
        with self._opening:
            if self._open and not self._connected:
                self._connect()

    def _store(self, type: type[S]) -> Store[S]:
        """Where sessions of ``type`` are, checked and bound at its first use."""
        store = self._stores.get(type)
        if store is None:
            self._ready()
            store = self._bind(type)
        return store

    def _bind(self, type: type[S]) -> Store[S]:
        name = type_name(type)
        other = self._classes.setdefault(name, type)
        if other is not type:
            raise ConfigurationError(
                f"{type.__module__}.{type.__qualname__} and {other.__module__}."
                f"{other.__qualname__} are both named {name!r}: give one of them a name of its "
                f'own, class {type.__name__}(Session, name="...")'
            )
        assert self._plugins is not None
        settings = self._config.settings_for(name)
        self._plugins.check_roles(name, settings, owned=is_owned(type))
        store = Store(
            self._binding(type, name, settings),
            self._askers[settings.storage],
            self._askers[settings.locking],
        )
        self._stores[type] = store
        return store

    def _binding(self, type: type[S], name: str, settings: SessionSettings) -> Binding[S]:
        assert self._plugins is not None
        known: dict[str, Any] = {
            "codec": settings.codec,
            "codecs": self._plugins.codecs,
            "max_bytes": settings.max_bytes,
        }
        codec = SessionCodec(type, **known)
        if not is_owned(type):
            return Binding(type, name, settings, codec)
        kind = shared_type(type)
        shared = None if kind is None else SharedCodec(kind, name, **known)
        return OwnedBinding(type, name, settings, codec, shared)

    def _need(self, store: Store[Any], capability: Capability, call: str) -> None:
        name = store.storage.name
        assert self._plugins is not None
        if capability not in self._plugins.capabilities(name):
            raise CapabilityError(
                f"{call} needs the capability {capability.value!r}, which backend {name!r} of the "
                f"{store.binding.name!r} sessions does not have: store them elsewhere"
            )

    def _forked(self) -> None:
        """In a forked child: its parent's connections, locks and tasks are not its own.

        They are kept for ever unused, since closing them here could harm the parent's.
        """
        self._keeper.abandon()
        _inherited.append((self._askers, self._tasks, self._keeper))
        self._opening = Mutex()
        self._reset()


_inherited: list[object] = []
_trackers: weakref.WeakSet[TrackerCore] = weakref.WeakSet()


def _after_fork() -> None:
    for tracker in list(_trackers):
        tracker._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
