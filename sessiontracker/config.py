"""Config: what a tracker is told, checked as a whole. No I/O but reading a file that is named."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from msgspec import UNSET, UnsetType, ValidationError, convert
from msgspec.structs import fields

from .durations import Duration
from .errors import ConfigurationError
from .settings import SESSION, TRACKER, BackendSettings, Reader, SessionSettings, text
from .sources import KeyPath, Sources, dotted, read_toml, variable_name
from .wording import did_you_mean, listed, mask, masked, shown

__all__ = ["BackendSettings", "Config", "SessionSettings", "Setting"]

_TABLES = ("backends", "defaults", "sessions")
_TOP = (*_TABLES, "plugins", *TRACKER)
_UNLESS_SET = {field.name: field.default for field in fields(SessionSettings) if not field.required}
_ENVIRONMENT = "env:"


class Setting(NamedTuple):
    """A setting as it is in force: its value, and where that came from."""

    value: Any
    where: str  # "sessions.checkout.idle_timeout in sessions.toml", or "default"
    wrong: bool = False  # the value is what was written, and cannot be used


class Config:
    """A tracker's configuration, in the shape of its TOML::

        Config(
            backends={"hot": {"use": "redis", "url": "env:REDIS_URL"}},
            defaults={"idle_timeout": "30m"},
            sessions={"checkout": {"idle_timeout": "2h"}},
            plugins=["otel"],
        )

    Environment variables override each setting: ``SESSIONTRACKER__SESSIONS__CHECKOUT__STORAGE``
    (see `sources.Sources`). A text in a backend's table that begins with ``env:`` is read
    from the environment variable that it names. Without backends, there is one in memory; if
    there is one alone, it is the storage of all that name none; locks are where the sessions
    are unless ``locking`` says otherwise.

    ``operation_timeout`` (5 s) is how long one call may take in all, ``max_in_flight`` limits
    how many operations may be under way; with ``reap_every``, an open tracker removes what
    expired that often.

    Raises: ConfigurationError, with all that is wrong, one a line.
    """

    def __init__(
        self,
        *,
        backends: Mapping[str, Mapping[str, Any]] | UnsetType = UNSET,
        defaults: Mapping[str, Any] | UnsetType = UNSET,
        sessions: Mapping[str, Mapping[str, Any]] | UnsetType = UNSET,
        plugins: Sequence[str] | UnsetType = UNSET,
        operation_timeout: Duration | UnsetType = UNSET,
        max_in_flight: int | UnsetType | None = UNSET,
        reap_every: Duration | UnsetType | None = UNSET,
    ) -> None:
        given = {
            "backends": backends,
            "defaults": defaults,
            "sessions": sessions,
            "plugins": plugins,
            "operation_timeout": operation_timeout,
            "max_in_flight": max_in_flight,
            "reap_every": reap_every,
        }
        self._read({name: value for name, value in given.items() if value is not UNSET}, "Config")
        self._refuse_what_is_wrong()

    # Where it may come from --------------------------------------------------

    @classmethod
    def of(
        cls,
        config: Config | Mapping[str, Any] | None = None,
        *,
        backend: str | None = None,
        url: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Config:
        """What a tracker's arguments say: a configuration, one backend for all, or nothing.

        Raises: ConfigurationError.
        """
        if config is not None and (backend is not None or url is not None or options):
            raise ConfigurationError(
                "give a tracker a configuration, or backend= with its url= and options, not both"
            )
        if isinstance(config, Config):
            return config
        if config is not None:
            return cls.from_mapping(config)
        if backend is None:
            _refuse_options(url, options or {})
            return cls.from_mapping({}, source="the defaults")
        table = {**(options or {}), "url": url, "use": backend}
        return cls.from_mapping(
            {"backends": {backend: table}, "defaults": {"storage": backend}},
            source="the tracker's arguments",
        )

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], *, source: str = "the mapping") -> Config:
        """A configuration in the shape of its TOML; ``source`` is what errors call it.

        Raises: ConfigurationError.
        """
        given = cast("object", mapping)
        if not isinstance(given, Mapping):
            hint = ": read a file with from_toml()" if isinstance(given, str | Path) else ""
            raise ConfigurationError(
                f"a configuration is a Config or a mapping of its shape, not {shown(given)}{hint}"
            )
        config = cls.__new__(cls)
        config._read(mapping, source)
        config._refuse_what_is_wrong()
        return config

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], *, strict: bool = True) -> Config:
        """The configuration in a TOML file, or in a pyproject's ``[tool.sessiontracker]``.

        With ``strict=False`` what is wrong in it is in ``problems``, and `explain` all it is
        good for. Raises: ConfigurationError, also for a file that cannot be read.
        """
        data, source = read_toml(Path(path))
        config = cls.__new__(cls)
        config._read(data, source)
        if strict:
            config._refuse_what_is_wrong()
        return config

    # What it says ------------------------------------------------------------

    source: str
    """What it was read from, as errors name it."""

    problems: tuple[str, ...]
    """What is wrong with it, each with its key path and source."""

    backends: Mapping[str, BackendSettings]
    plugins: tuple[str, ...]
    operation_timeout: int
    """In ms."""

    max_in_flight: int | None

    reap_every: int | None
    """In ms; None: what expired is removed when `reap` is called, or by the store itself."""

    @property
    def sessions(self) -> tuple[str, ...]:
        """The session types that it speaks of, by name."""
        return tuple(self._sessions)

    def settings_for(self, name: str) -> SessionSettings:
        """How the sessions of the type ``name`` are kept. Raises: ConfigurationError."""
        self._refuse_what_is_wrong()
        settings = {key: setting.value for key, setting in self.explain(name).items()}
        if settings["storage"] is None:
            raise ConfigurationError(self._homeless(name))
        return SessionSettings(**settings)

    def explain(self, name: str | None = None) -> dict[str, Setting]:
        """Every setting of a type and where it came from; None: of types it does not name.

        A ``storage`` of None is missing: there are several backends, and none was chosen.
        """
        section = self._section(name)
        own = {} if section is None else self._sessions[section]
        explained = {
            key: own.get(key) or self._defaults.get(key) or Setting(_UNLESS_SET.get(key), "default")
            for key in SESSION
        }
        storage = explained["storage"]
        if storage.value is None:
            storage = explained["storage"] = self._only_backend()
        if explained["locking"].value is None:
            explained["locking"] = storage._replace(where=f"as storage: {storage.where}")
        return explained

    def explain_backends(self) -> dict[str, dict[str, Setting]]:
        """Every key of every backend and where it came from, without its secrets.

        Those whose ``use`` is wrong are left out.
        """
        return {name: self._explain_backend(name) for name in self.backends}

    def explain_tracker(self) -> dict[str, Setting]:
        """What concerns the tracker as a whole, and where it came from."""
        return dict(self._tracker)

    def where(self, *path: str) -> str:
        """How messages name a key: ``backends.hot.use in sessions.toml``."""
        return self._sources.where(path)

    def unclaimed(self, names: Collection[str]) -> list[str]:
        """The session types that it speaks of and that are none of ``names``."""
        claimed = {self._section(name) for name in names}
        return [section for section in self._sessions if section not in claimed]

    def __repr__(self) -> str:
        used = listed(f"{name} ({mask(backend.use)})" for name, backend in self.backends.items())
        return f"<Config from {self.source}: backends {used or 'none'}>"

    # Reading -----------------------------------------------------------------

    def _read(self, data: Mapping[str, Any], source: str) -> None:
        self._sources = Sources(data, source, os.environ)
        self._problems = list(self._sources.problems)
        self.source = source
        top = self._sources.data
        for key in top:
            if key not in _TOP:
                self._unknown((key,), _TOP)
        tables = {name: self._table((name,), top.get(name, {})) for name in _TABLES}
        if not tables["backends"] and "backends" not in top:
            tables["backends"]["memory"] = {"use": "memory"}
        self._names = tuple(tables["backends"])
        self.backends = {
            name: backend
            for name, table in tables["backends"].items()
            if (backend := self._backend(name, table))
        }
        self._defaults = self._settings(("defaults",), tables["defaults"])
        self._sessions = {
            name: self._settings(("sessions", name), self._table(("sessions", name), table))
            for name, table in tables["sessions"].items()
        }
        self.plugins = self._plugin_names(top.get("plugins", ()))
        self._tracker = {
            key: self._value((key,), top[key], reader)
            if key in top
            else Setting(unless_set, "default")
            for key, (reader, unless_set) in TRACKER.items()
        }
        self.operation_timeout = self._tracker["operation_timeout"].value
        self.max_in_flight = self._tracker["max_in_flight"].value
        self.reap_every = self._tracker["reap_every"].value
        if not self._names:
            self._problem(("backends",), "names no backend: leave it out for one in memory")
        else:
            self._problems += [
                self._homeless(name)
                for name in self._sessions
                if self.explain(name)["storage"].value is None
            ]
        self.problems = tuple(self._problems)

    def _table(self, path: KeyPath, value: object) -> dict[str, Any]:
        if isinstance(value, dict):
            return cast("dict[str, Any]", value)
        table = f"[{dotted(path)}]"
        self._problem(path, f"{shown(value)} is no table: write {table}, and keys under it")
        return {}

    def _backend(self, name: str, value: object) -> BackendSettings | None:
        path = ("backends", name)
        table = self._table(path, value)
        if not isinstance(value, dict):
            return None
        if "://" in name:
            self._problem(path, 'a URL is no name: write use = "redis", or the like, and url = …')
            return None
        if "use" not in table:
            example = 'use = "redis", "sql", "file" or "memory"'
            self._problem(path, f"say which plugin it uses, as in {example}")
            return None
        use = self._value((*path, "use"), table["use"], text)
        options = {
            key: self._from_environment((*path, key), value)
            for key, value in table.items()
            if key != "use"
        }
        for key, option in options.items():
            if not _is_utf_8(option):
                self._problem((*path, key), "it holds bytes that are no UTF-8: write it as that")
        url = options.pop("url", None)
        if url is not None and not isinstance(url, str):
            self._problem((*path, "url"), f"{shown(url)} is no URL: write it as text")
            url = None
        return None if use.wrong else BackendSettings(use.value, url, options)

    def _explain_backend(self, name: str) -> dict[str, Setting]:
        backend = self.backends[name]
        given = self._sources.data.get("backends", {}).get(name)
        if given is None:
            return {"use": Setting(backend.use, "default")}
        explained: dict[str, Setting] = {}
        for key, value in given.items():
            display = masked(value, key)
            if key == "url" and backend.url is not None and backend.url != value:
                display = f"{value}, which is {mask(backend.url)}"
            explained[key] = Setting(display, self._sources.where(("backends", name, key)))
        return explained

    def _from_environment(self, path: KeyPath, value: Any) -> Any:
        if not isinstance(value, str) or not value.startswith(_ENVIRONMENT):
            return value
        name = value.removeprefix(_ENVIRONMENT)
        try:
            found = os.environ.get(name)
        except UnicodeEncodeError:  # no variable can have that name
            found = None
        if not found:
            state = "not set" if found is None else "empty"
            what = f"the environment variable {mask(name)} is {state}"
            self._problem(path, f"{what}: set it, or write the value here")
        return found or None

    def _settings(self, path: KeyPath, table: dict[str, Any]) -> dict[str, Setting]:
        settings: dict[str, Setting] = {}
        for key, value in table.items():
            if key not in SESSION:
                self._unknown((*path, key), SESSION, value)
                continue
            setting = self._value((*path, key), value, SESSION[key])
            if key in ("storage", "locking") and not setting.wrong and value not in self._names:
                setting = self._no_backend((*path, key), value)
            settings[key] = setting
        return settings

    def _value(self, path: KeyPath, value: object, reader: Reader) -> Setting:
        where = self._sources.where(path)
        try:
            return Setting(reader(value, where), where)
        except ConfigurationError as error:
            self._problems.append(str(error))
            return Setting(value, where, wrong=True)

    def _plugin_names(self, value: object) -> tuple[str, ...]:
        try:
            return convert(value, tuple[str, ...])
        except (ValidationError, UnicodeEncodeError):  # and what is no text
            self._problem(
                ("plugins",), f'{shown(value)} is no list of names: write plugins = ["otel"]'
            )
            return ()

    # What is wrong -----------------------------------------------------------

    def _problem(self, path: KeyPath, what: str) -> None:
        self._problems.append(f"{self._sources.where(path)}: {what}")

    def _unknown(self, path: KeyPath, known: Iterable[str], value: object = None) -> None:
        key = path[-1]
        near = did_you_mean(key, known)
        if isinstance(value, dict) and path[0] == "sessions":
            name = ".".join(path[1:])
            hint = f': a name with a dot in it wants quotes, [sessions."{name}"]'
        elif key in SESSION:
            hint = ": it goes into [defaults], or into a type's [sessions.…]"
        elif key in TRACKER or key == "plugins":
            hint = ": it goes to the top of the file, before the first [table]"
        else:
            hint = near or f": it may be {listed(known)}"
        self._problem(path, f"unknown key{hint}")

    def _no_backend(self, path: KeyPath, name: str) -> Setting:
        near = did_you_mean(name, self._names)
        known = f": there is {listed(map(shown, self._names))}"
        self._problem(path, f"no backend is named {shown(name)}{near or known}")
        return Setting(name, self._sources.where(path), wrong=True)

    def _homeless(self, name: str) -> str:
        where = self._sources.where(("sessions", self._section(name) or name, "storage"))
        return (
            f"{where}: say which backend keeps these sessions, here or as defaults.storage: "
            f"{listed(map(shown, self._names))}"
        )

    def _only_backend(self) -> Setting:
        if len(self._names) == 1:
            chosen = "the only backend" if "backends" in self._sources.data else "default"
            return Setting(self._names[0], chosen)
        return Setting(None, "nowhere")

    def _section(self, name: str | None) -> str | None:
        """The ``[sessions.…]`` of a type; None if there is none."""
        if name is None or name in self._sessions:
            return name
        made = variable_name(name)
        return made if ("sessions", made) in self._sources.made else None

    def _refuse_what_is_wrong(self) -> None:
        if self.problems:
            raise ConfigurationError("\n".join(self.problems))


def _is_utf_8(value: object) -> bool:
    """Whether all text in ``value`` is: a variable's bytes that are none come as surrogates."""
    if isinstance(value, str):
        return not any("\ud800" <= sign <= "\udfff" for sign in value)
    if isinstance(value, Mapping):
        return all(map(_is_utf_8, cast("Mapping[object, object]", value).values()))
    if isinstance(value, list | tuple):
        return all(map(_is_utf_8, cast("Sequence[object]", value)))
    return True


def _refuse_options(url: str | None, options: Mapping[str, Any]) -> None:
    if url is not None:
        raise ConfigurationError('url= wants backend= beside it, as in backend="redis"')
    for name in options:
        near = did_you_mean(name, ("backend", "url", "types", "observers", "config"))
        raise ConfigurationError(
            f"a tracker has no argument {name!r}{near or ': options of a backend want backend='}"
        )
