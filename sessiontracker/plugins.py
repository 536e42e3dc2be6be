"""Find, load and check the plugins that a configuration names, and no others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeVar

import pluggy

from . import hookspecs
from .codec import CODECS, Codec
from .config import Config, SessionSettings
from .contract import (
    API_VERSION,
    BackendOptions,
    BackendPlugin,
    Capability,
    LockingPlugin,
    StoragePlugin,
)
from .errors import CapabilityError, ConfigurationError, PluginError, PluginNotFoundError
from .events import Observer
from .hookspecs import PROJECT, CodecPlugin
from .wording import did_you_mean, listed, mask, shown

__all__ = ["Plugins", "registered"]

P = TypeVar("P", BackendPlugin, StoragePlugin, LockingPlugin, CodecPlugin)

_EXTRAS = {"redis": "sessiontracker[redis]", "sql": "sessiontracker[sql]"}
_DIALECTS = {
    **dict.fromkeys(("sqlite", "postgresql", "postgres", "mysql", "mariadb", "sqlalchemy"), "sql"),
    **dict.fromkeys(("valkey", "keydb"), "redis"),
}


class Plugins:
    """The plugins of one configuration."""

    observers: tuple[Observer, ...]
    codecs: Mapping[str, Codec]
    """By name, those that are built in among them."""

    errors: tuple[ConfigurationError, ...]
    """What is wrong with the plugins; always empty if they were loaded strictly."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loaded: dict[str, _Plugin] = {}
        self._backends: dict[str, _Roles] = {}
        errors: list[ConfigurationError] = []

        def attempt(step: Callable[..., None], *arguments: str) -> None:
            try:
                step(*arguments)
            except ConfigurationError as error:
                errors.append(error)

        for name in config.backends:
            attempt(self._load_backend, name)
        self._codecs = dict(CODECS)
        self._observers: list[Observer] = []
        for name in config.plugins:
            attempt(self._load_other, name)
        for section in (None, *config.sessions):
            codec, where, wrong = config.explain(section)["codec"]
            if not wrong and codec not in self._codecs:
                attempt(self._load_codec, codec, where)
        self.codecs = self._codecs
        self.observers = tuple(self._observers)
        if not errors and not config.problems:
            for name in config.sessions:
                attempt(self.check_roles, name)
        self.errors = tuple(errors)

    @classmethod
    def load(cls, config: Config, *, strict: bool = True) -> Plugins:
        """Load what ``config`` names. With ``strict=False`` what is wrong is in ``errors``.

        Raises: PluginNotFoundError, PluginError, CapabilityError.
        """
        plugins = cls(config)
        if plugins.errors and strict:
            raise _all_in_one(plugins.errors)
        return plugins

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends whose plugins are there, by their names in the configuration."""
        return tuple(self._backends)

    def backend(self, name: str) -> BackendPlugin:
        """The plugin that opens the backend of this name in the configuration."""
        return self._backends[name].opener

    def capabilities(self, name: str) -> frozenset[Capability]:
        """What the backend of this name in the configuration can do."""
        settings = self._config.backends[name]
        options = BackendOptions(name, settings.url, settings.options)
        return self.backend(name).capabilities_of(options)

    def roles(self, name: str) -> tuple[StoragePlugin | None, LockingPlugin | None]:
        """The roles that this backend's plugin plays; None for one that it does not."""
        backend = self._backends[name]
        return backend.storage, backend.locking

    def check_roles(
        self, type_name: str, settings: SessionSettings | None = None, *, owned: bool = False
    ) -> None:
        """Check that the backends of a session type, whose sessions may have owners, do what it
        needs of them.

        Raises: CapabilityError.
        """
        settings = settings or self._config.settings_for(type_name)
        explained = self._config.explain(type_name)
        for role, backend, plugin, does in (
            ("storage", settings.storage, self._backends[settings.storage].storage, "sessions"),
            ("locking", settings.locking, self._backends[settings.locking].locking, "locks"),
        ):
            if plugin is None:
                use = self._config.backends[backend].use
                raise CapabilityError(
                    f"{explained[role].where}: backend {shown(backend)} cannot keep {does} (its "
                    f"plugin {shown(use)} does not): set sessions.{type_name}.{role} to another"
                )
            if owned and role == "storage" and Capability.OWNERS not in self.capabilities(backend):
                raise CapabilityError(
                    f"{explained[role].where}: backend {shown(backend)} has not the capability "
                    f"{Capability.OWNERS.value!r}, and {type_name!r} is a type of owned sessions: "
                    f"set sessions.{type_name}.{role} to another"
                )

    # Loading -----------------------------------------------------------------

    def _load(self, name: str, where: str, known: Sequence[str] = ()) -> _Plugin:
        if name not in self._loaded:
            self._loaded[name] = _Plugin(_find(name, where, known), where)
        return self._loaded[name]

    def _load_backend(self, name: str) -> None:
        where = self._config.where("backends", name, "use")
        plugin = self._load(self._config.backends[name].use, where)
        storage = plugin.ask("sessiontracker_storage", StoragePlugin)
        locking = plugin.ask("sessiontracker_locking", LockingPlugin)
        opener = storage or locking
        if opener is None:
            raise PluginError(
                f"{plugin.label} is no backend: it keeps neither sessions nor locks; use another"
            )
        self._backends[name] = _Roles(opener, storage, locking)

    def _load_codec(self, name: str, where: str) -> None:
        plugin = self._load(name, where, tuple(CODECS))
        codec = plugin.ask("sessiontracker_codec", CodecPlugin)
        if codec is None:
            raise PluginError(
                f"{plugin.label} has no codec: write {listed(map(shown, CODECS))}, or a plugin "
                "that has one"
            )
        self._codecs[name] = codec.codec

    def _load_other(self, name: str) -> None:
        plugin = self._load(name, self._config.where("plugins"))
        codec = plugin.ask("sessiontracker_codec", CodecPlugin)
        if codec is not None:
            self._codecs[name] = codec.codec
        elif not plugin.has("sessiontracker_observer"):
            raise PluginError(
                f"{plugin.label} has neither an observer nor a codec: take it out of plugins"
            )
        observer = plugin.call("sessiontracker_observer", config=self._config)
        if observer is None:
            return
        if not callable(getattr(observer, "notify", None)):
            raise PluginError(
                f"{plugin.label} returned {shown(observer)} as its observer, which has no "
                f"notify(event): upgrade {plugin.distribution}"
            )
        self._observers.append(observer)


class _Roles(NamedTuple):
    opener: BackendPlugin
    storage: StoragePlugin | None
    locking: LockingPlugin | None


# Finding ---------------------------------------------------------------------


class _Claim(NamedTuple):
    """One distribution's claim to provide the plugin of a name."""

    name: str
    distribution: str
    module: str
    load: Callable[[], Any]


_registered: dict[str, list[_Claim]] = {}


@contextmanager
def registered(name: str, plugin: object) -> Generator[None]:
    """Make ``plugin`` known by ``name`` inside the block, as if it were installed; for tests."""
    claim = _Claim(name, "this process", "", lambda: plugin)
    claims = _registered.setdefault(name, [])
    claims.append(claim)
    try:
        yield
    finally:
        claims.remove(claim)


def _find(name: str, where: str, known: Sequence[str]) -> _Claim:
    claims = [_claim(entry) for entry in entry_points(group=PROJECT, name=name)]
    claims += _registered.get(name, ())
    if not claims:
        raise _not_found(name, where, known)
    if len(claims) > 1:
        raise PluginError(
            f"{where}: the plugin {shown(name)} is claimed by "
            f"{listed(claim.distribution for claim in claims)}: uninstall all but one"
        )
    return claims[0]


def _claim(entry: EntryPoint) -> _Claim:
    distribution = "an unnamed distribution"
    if entry.dist is not None:
        distribution = f"{entry.dist.name} {entry.dist.version}"
    return _Claim(entry.name, distribution, entry.module, entry.load)


def _not_found(name: str, where: str, known: Sequence[str]) -> PluginNotFoundError:
    installed = sorted({entry.name for entry in entry_points(group=PROJECT)} | {*known})
    if name in _EXTRAS:
        hint = f': pip install "{_EXTRAS[name]}"'
    elif name in _DIALECTS:
        use = _DIALECTS[name]
        hint = f", write {shown(use)}"
        if use not in installed:
            hint += f', and pip install "{_EXTRAS[use]}"'
    else:
        near = did_you_mean(name, (*installed, *_EXTRAS))
        hint = near or (
            f": pip install the distribution that provides it, or name one that is there: "
            f"{listed(map(shown, installed))}"
        )
    return PluginNotFoundError(f"{where}: no plugin {shown(name)} is installed{hint}")


# Checking --------------------------------------------------------------------


class _Plugin:
    """One plugin, imported and held against the hooks' specifications.

    Each has a manager of its own, so that one is asked without the others.
    """

    def __init__(self, claim: _Claim, where: str) -> None:
        self.name = claim.name
        self.distribution = claim.distribution
        self.label = f"{where}: the plugin {shown(claim.name)} of {claim.distribution}"
        plugin = self._import(claim)
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        try:
            self._manager.register(plugin, claim.name)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(
                f"{self.label} has a hook that does not fit: {_line(error)}: upgrade "
                f"{self.distribution}"
            ) from error
        if not self._manager.get_hookcallers(plugin):
            raise PluginError(
                f"{self.label} implements no hook: are its functions marked with @hookimpl of "
                "sessiontracker.backend?"
            )

    def _import(self, claim: _Claim) -> object:
        try:
            return claim.load()
        except Exception as error:
            remedy = f"upgrade {claim.distribution}"
            if isinstance(error, ModuleNotFoundError):
                remedy = _missing_module(error.name or "", claim)
            what = f"{type(error).__name__}: {_line(error)}"
            raise PluginError(f"{self.label} cannot be imported ({what}): {remedy}") from error

    def has(self, hook: str) -> bool:
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    def call(self, hook: str, **arguments: Any) -> Any:
        """What the plugin's ``hook`` returns; None if there is none. Raises: PluginError."""
        try:
            results = getattr(self._manager.hook, hook)(**arguments)
        except ConfigurationError:
            raise
        except Exception as error:
            raise PluginError(
                f"{self.label} failed in {hook} ({type(error).__name__}: {_line(error)}): upgrade "
                f"{self.distribution}"
            ) from error
        return results[0] if results else None

    def ask(self, hook: str, kind: type[P]) -> P | None:
        """The plugin object that ``hook`` returns, checked; None if it has no such hook.

        Raises: PluginError.
        """
        if not self.has(hook):
            return None
        value = self.call(hook)
        if not isinstance(value, kind):
            raise PluginError(
                f"{self.label} returned {shown(value)} from {hook}, not a {kind.__name__}: upgrade "
                f"{self.distribution}"
            )
        version: Any = value.api_version
        if version != API_VERSION:
            newer = isinstance(version, int) and version > API_VERSION
            raise PluginError(
                f"{self.label} was written for version {shown(version)} of the plugin "
                f"contract, and this sessiontracker has version {API_VERSION}: upgrade "
                f"{'sessiontracker' if newer else self.distribution}"
            )
        if value.name != self.name:
            raise PluginError(
                f"{self.label} calls itself {shown(value.name)} in {hook}: its entry point must "
                f"have the same name; upgrade {self.distribution}"
            )
        return value


def _missing_module(name: str, claim: _Claim) -> str:
    top = name.partition(".")[0]
    if not top or top == claim.module.partition(".")[0]:
        return f"its files are incomplete, so reinstall {claim.distribution}"
    if top != name and find_spec(top) is not None:
        return f"{top} does not have what it needs, so upgrade {top} or {claim.distribution}"
    return f"pip install {top}"


def _line(error: BaseException) -> str:
    return mask(" ".join(str(error).split()))


def _all_in_one(errors: Sequence[ConfigurationError]) -> ConfigurationError:
    """One error that says all of them, of the narrowest kind that they share."""
    if len(errors) == 1:
        return errors[0]
    kinds = (PluginNotFoundError, PluginError, CapabilityError)
    for kind in kinds:
        if all(isinstance(error, kind) for error in errors):
            return kind("\n".join(map(str, errors)))
    return ConfigurationError("\n".join(map(str, errors)))
