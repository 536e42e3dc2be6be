"""Plugins: only what is named is loaded, and what is wrong is named with its remedy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from sessiontracker import AsyncSessionTracker, Session, SessionTracker, memory
from sessiontracker.backend import LockingPlugin, StoragePlugin, hookimpl
from sessiontracker.codec import JsonCodec
from sessiontracker.config import Config
from sessiontracker.contract import API_VERSION
from sessiontracker.errors import (
    CapabilityError,
    ConfigurationError,
    PluginError,
    PluginNotFoundError,
)
from sessiontracker.events import Event
from sessiontracker.hookspecs import CodecPlugin
from sessiontracker.plugins import Plugins, registered

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs distributions: their metadata and modules, in a folder on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def make(
        distribution: str, entries: dict[str, str], *, version: str = "1.0", **modules: str
    ) -> None:
        info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        lines = [f"{name} = {target}" for name, target in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[sessiontracker]", *lines]))
        for module, source in modules.items():
            (tmp_path / f"{module}.py").write_text(source)

    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


BACKEND = """
from msgspec.structs import replace
from sessiontracker import memory
from sessiontracker.backend import hookimpl

@hookimpl
def sessiontracker_storage():
    return replace(memory.sessiontracker_storage(), name="shelf")

@hookimpl
def sessiontracker_locking():
    return replace(memory.sessiontracker_locking(), name="shelf")
"""

OBSERVER = """
from sessiontracker.backend import hookimpl

class Observer:
    def notify(self, event):
        pass

@hookimpl
def sessiontracker_observer(config):
    return Observer()
"""


def storage(name: str, **changes: Any) -> StoragePlugin:
    return replace(memory.sessiontracker_storage(), name=name, **changes)


def locking(name: str, **changes: Any) -> LockingPlugin:
    return replace(memory.sessiontracker_locking(), name=name, **changes)


def plugin(**hooks: Callable[..., Any]) -> SimpleNamespace:
    """A plugin whose hooks are these functions."""
    return SimpleNamespace(
        **{f"sessiontracker_{name}": hookimpl(hook) for name, hook in hooks.items()}
    )


def using(name: str, **more: Any) -> Config:
    return Config(backends={"hot": {"use": name}}, **more)


def error_of(config: Config) -> PluginError:
    with pytest.raises(PluginError) as caught:
        Plugins.load(config)
    return caught.value


# Finding ---------------------------------------------------------------------


def test_the_backend_in_memory_is_a_plugin_like_any_other() -> None:
    plugins = Plugins.load(Config())
    assert plugins.backend("memory").name == "memory"
    assert set(plugins.codecs) == {"msgpack", "json"}
    assert plugins.observers == ()


def test_an_installed_distribution_is_found_by_name(install: Install) -> None:
    install("sessiontracker-shelf", {"shelf": "shelf_plugin"}, shelf_plugin=BACKEND)
    assert Plugins.load(using("shelf")).backend("hot").name == "shelf"


def test_only_what_is_named_is_imported(install: Install) -> None:
    install(
        "poison",
        {"arsenic": "poison_plugin", "otel": "poison_plugin", "zip": "poison_plugin"},
        poison_plugin='raise RuntimeError("imported")',
    )
    install("sessiontracker-shelf", {"shelf": "shelf_plugin"}, shelf_plugin=BACKEND)
    Plugins.load(using("shelf"))
    assert "shelf_plugin" in sys.modules
    assert "poison_plugin" not in sys.modules
    assert "imported" in str(error_of(using("arsenic")))


@pytest.mark.parametrize(
    "name,message",
    [
        ("redis", ': pip install "sessiontracker[redis]"'),
        ("reddis", ', did you mean "redis"?'),
        ("memroy", ', did you mean "memory"?'),
        ("Memory", ', did you mean "memory"?'),
        ("valkey", ', write "redis", and pip install "sessiontracker[redis]"'),
        ("zzz", ': pip install the distribution that provides it, or name one that is there: "'),
    ],
)
def test_what_is_not_installed_says_what_to_do(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "redis")
    error = error_of(Config.from_mapping({"backends": {"hot": {"use": name}}}, source="s.toml"))
    assert isinstance(error, PluginNotFoundError)
    assert str(error).startswith(
        f'backends.hot.use in s.toml: no plugin "{name}" is installed{message}'
    )


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As if no distribution had plugins of these names."""
    from sessiontracker import plugins

    real = plugins.entry_points
    monkeypatch.setattr(
        plugins,
        "entry_points",
        lambda **query: [entry for entry in real(**query) if entry.name not in names],
    )


def test_a_database_is_a_dialect_of_sql(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "sql")
    assert 'write "sql", and pip install "sessiontracker[sql]"' in str(error_of(using("sqlite")))
    assert ': pip install "sessiontracker[sql]"' in str(error_of(using("sql")))


def test_a_name_that_two_distributions_claim(install: Install) -> None:
    install("shelf-one", {"shelf": "shelf_one"}, shelf_one=BACKEND)
    install("shelf-two", {"shelf": "shelf_two"}, version="2.5", shelf_two=BACKEND)
    message = str(error_of(using("shelf")))
    assert message.startswith("backends.hot.use in Config: ")
    assert "shelf-one 1.0" in message
    assert "shelf-two 2.5" in message
    assert "uninstall all but one" in message
    assert not {"shelf_one", "shelf_two"} & set(sys.modules)


def test_a_process_may_register_a_plugin_of_its_own() -> None:
    with registered("toy", plugin(storage=lambda: storage("toy"))):
        assert Plugins.load(using("toy")).backend("hot").name == "toy"
    assert isinstance(error_of(using("toy")), PluginNotFoundError)
    with registered("memory", plugin(storage=lambda: storage("memory"))):
        message = str(error_of(Config()))
        assert "is claimed by sessiontracker " in message
        assert "this process" in message


# Importing -------------------------------------------------------------------


def test_a_plugin_whose_module_is_missing_something(install: Install) -> None:
    install(
        "shelf-one",
        {
            "driver": "shelf_driver",
            "part": "shelf_part",
            "gone": "shelf_gone",
            "broken": "shelf_broken",
            "attribute": "shelf_fine:nothing",
        },
        shelf_driver="import no_such_driver.sub",
        shelf_part="import json.no_such_part",
        shelf_broken='raise RuntimeError("redis://:swordfish@h refused")',
        shelf_fine=BACKEND,
    )
    label = 'backends.hot.use in Config: the plugin "{}" of shelf-one 1.0 cannot be imported '
    for name, what, remedy in [
        ("driver", "ModuleNotFoundError: No module named 'no_such", "pip install no_such_driver"),
        ("part", "ModuleNotFoundError: No module named 'json.no", "upgrade json or shelf-one 1.0"),
        ("gone", "ModuleNotFoundError: No module named 'shelf_gone'", "reinstall shelf-one 1.0"),
        ("broken", "RuntimeError: redis://:***@h refused", "upgrade shelf-one 1.0"),
        ("attribute", "AttributeError: ", "upgrade shelf-one 1.0"),
    ]:
        error = error_of(using(name))
        assert str(error).startswith(f"{label.format(name)}({what}")
        assert str(error).endswith(remedy)
        assert error.__cause__ is not None


# Checking --------------------------------------------------------------------


def refuse() -> StoragePlugin:
    raise RuntimeError("no\nlicence")


def forget() -> Any:
    return None


def wants_more(colour: str) -> StoragePlugin:
    raise AssertionError(colour)


class Codec(JsonCodec):
    name = "toy"


@pytest.mark.parametrize(
    "toy,message",
    [
        (plugin(), "implements no hook: are its functions marked with @hookimpl"),
        (
            SimpleNamespace(sessiontracker_storage=lambda: storage("toy")),
            "implements no hook: are its functions marked with @hookimpl",
        ),
        (
            plugin(store=lambda: None),
            "has a hook that does not fit: unknown hook 'sessiontracker_store'",
        ),
        (plugin(storage=wants_more), "has a hook that does not fit: "),
        (
            plugin(storage=refuse),
            "failed in sessiontracker_storage (RuntimeError: no licence): upgrade this process",
        ),
        (plugin(storage=forget), "returned None from sessiontracker_storage, not a StoragePlugin"),
        (
            plugin(storage=lambda: "memory"),
            'returned "memory" from sessiontracker_storage, not a StoragePlugin: upgrade this',
        ),
        (
            plugin(storage=lambda: locking("toy")),
            "from sessiontracker_storage, not a StoragePlugin",
        ),
        (
            plugin(locking=lambda: storage("toy")),
            "from sessiontracker_locking, not a LockingPlugin",
        ),
        (
            plugin(storage=lambda: storage("toy", api_version=API_VERSION - 1)),
            (
                f"was written for version {API_VERSION - 1} of the plugin contract, and this "
                f"sessiontracker has version {API_VERSION}: upgrade this process"
            ),
        ),
        (
            plugin(storage=lambda: storage("toy", api_version=API_VERSION + 1)),
            (
                f"was written for version {API_VERSION + 1} of the plugin contract, and this "
                f"sessiontracker has version {API_VERSION}: upgrade sessiontracker"
            ),
        ),
        (
            plugin(storage=lambda: storage("toy", api_version="2")),
            'was written for version "2" of the plugin contract',
        ),
        (
            plugin(storage=lambda: storage("troy")),
            'calls itself "troy" in sessiontracker_storage: its entry point must have the',
        ),
        (
            plugin(observer=lambda config: None),
            "is no backend: it keeps neither sessions nor locks",
        ),
    ],
)
def test_a_plugin_that_is_no_good(toy: object, message: str) -> None:
    with registered("toy", toy):
        error = error_of(using("toy"))
    assert str(error).startswith('backends.hot.use in Config: the plugin "toy" of this process ')
    assert message in str(error)
    assert "\n" not in str(error)


def test_a_plugin_that_plays_one_role_is_not_used_for_the_other() -> None:
    with ExitStack() as stack:
        stack.enter_context(registered("keeper", plugin(storage=lambda: storage("keeper"))))
        stack.enter_context(registered("locker", plugin(locking=lambda: locking("locker"))))
        backends = {"rows": {"use": "keeper"}, "locks": {"use": "locker"}}
        both = {"storage": "rows", "locking": "locks"}
        Plugins.load(Config(backends=backends, sessions={"checkout": both}))
        with pytest.raises(CapabilityError) as caught:
            Plugins.load(Config(backends=backends, sessions={"checkout": {"storage": "locks"}}))
        assert str(caught.value) == (
            'sessions.checkout.storage in Config: backend "locks" cannot keep sessions (its plugin '
            '"locker" does not): set sessions.checkout.storage to another'
        )
        with pytest.raises(CapabilityError, match=r"sessions\.checkout\.locking to another"):
            Plugins.load(Config(backends=backends, sessions={"checkout": {"storage": "rows"}}))
        lazily = Config(backends=backends, defaults={"storage": "rows"})
        plugins = Plugins.load(lazily)
        with pytest.raises(CapabilityError, match=r"as storage: defaults\.storage in Config: back"):
            plugins.check_roles("login", lazily.settings_for("login"))


def test_all_that_is_wrong_comes_at_once() -> None:
    config = Config(
        backends={"hot": {"use": "nothing"}, "ledger": {"use": "nowhere"}},
        defaults={"storage": "hot", "codec": "nocodec"},
        plugins=["nobody"],
    )
    error = error_of(config)
    assert type(error) is PluginNotFoundError
    assert [line.split(" in ")[0] for line in str(error).splitlines()] == [
        "backends.hot.use",
        "backends.ledger.use",
        "plugins",
        "defaults.codec",
    ]
    with registered("nowhere", plugin(storage=refuse)):
        assert type(error_of(config)) is PluginError
    assert len(Plugins.load(config, strict=False).errors) == 4


# Codecs and observers --------------------------------------------------------


def test_a_codec_is_loaded_by_its_name() -> None:
    toy = plugin(codec=lambda: CodecPlugin(codec=Codec(), api_version=API_VERSION))
    with registered("toy", toy):
        for config in (
            Config(defaults={"codec": "toy"}),
            Config(sessions={"checkout": {"codec": "toy"}}),
            Config(plugins=["toy"]),
        ):
            assert type(Plugins.load(config).codecs["toy"]) is Codec
        assert "toy" not in Plugins.load(Config()).codecs


@pytest.mark.parametrize(
    "toy,message",
    [
        (plugin(storage=lambda: storage("toy")), 'has no codec: write "msgpack" and "json"'),
        (plugin(codec=lambda: Codec()), "from sessiontracker_codec, not a CodecPlugin"),
        (
            plugin(codec=lambda: CodecPlugin(codec=Codec(), api_version=API_VERSION + 1)),
            "upgrade sessiontracker",
        ),
        (
            plugin(codec=lambda: CodecPlugin(codec=JsonCodec(), api_version=API_VERSION)),
            'calls itself "json"',
        ),
    ],
)
def test_a_codec_that_is_no_good(toy: object, message: str) -> None:
    with registered("toy", toy):
        error = error_of(Config(sessions={"checkout": {"codec": "toy"}}))
    assert str(error).startswith('sessions.checkout.codec in Config: the plugin "toy" of ')
    assert message in str(error)


def test_a_codec_that_is_not_installed() -> None:
    error = error_of(Config(defaults={"codec": "jsn"}))
    assert str(error) == (
        'defaults.codec in Config: no plugin "jsn" is installed, did you mean "json"?'
    )


class Recorder:
    def __init__(self, config: Config) -> None:
        self.config = config

    def notify(self, event: Event, /) -> None:
        raise AssertionError("nothing happens here")


def test_observers_are_told_the_configuration() -> None:
    with ExitStack() as stack:
        stack.enter_context(registered("watch", plugin(observer=lambda config: Recorder(config))))
        stack.enter_context(registered("idle", plugin(observer=lambda config: None)))
        stack.enter_context(registered("unnamed", plugin(observer=refuse)))
        config = Config(plugins=["watch", "idle"])
        (observer,) = Plugins.load(config).observers
    assert isinstance(observer, Recorder)
    assert observer.config is config


def test_an_observer_of_an_installed_distribution(install: Install) -> None:
    install("watcher", {"watch": "watch_plugin"}, watch_plugin=OBSERVER)
    (observer,) = Plugins.load(Config(plugins=["watch"])).observers
    assert type(observer).__module__ == "watch_plugin"


@pytest.mark.parametrize(
    "toy,message",
    [
        (plugin(observer=lambda config: 5), "returned 5 as its observer, which has no notify"),
        (plugin(storage=lambda: storage("toy")), "has neither an observer nor a codec"),
    ],
)
def test_an_observer_that_is_no_good(toy: object, message: str) -> None:
    with registered("toy", toy):
        error = error_of(Config(plugins=["toy"]))
    assert str(error).startswith('plugins in Config: the plugin "toy" of this process ')
    assert message in str(error)


def test_a_plugin_may_refuse_a_configuration_in_its_own_words() -> None:
    def choosy(config: Config) -> None:
        raise ConfigurationError("otel.endpoint: say where")

    says = pytest.raises(ConfigurationError, match=r"^otel\.endpoint: say where$")
    with registered("toy", plugin(observer=choosy)), says:
        Plugins.load(Config(plugins=["toy"]))


# Through a tracker -----------------------------------------------------------


class Basket(Session):
    items: int = 0


async def test_a_tracker_uses_the_plugin_that_its_configuration_names(install: Install) -> None:
    install("sessiontracker-shelf", {"shelf": "shelf_plugin"}, shelf_plugin=BACKEND)
    async with AsyncSessionTracker(backend="shelf") as tracker:
        await tracker.start(Basket(key="a", items=3))
        assert (await tracker.get(Basket, "a")).items == 3
    with SessionTracker(backend="shelf") as tracker_in_threads:
        tracker_in_threads.start(Basket(key="a", items=3))
        assert tracker_in_threads.get(Basket, "a").items == 3


async def test_a_plugin_that_is_missing_stops_a_tracker_from_opening() -> None:
    with pytest.raises(PluginNotFoundError, match=r"backends\.zzz\.use in the tracker's argum"):
        await AsyncSessionTracker(backend="zzz").open()


def test_an_entry_point_may_be_an_object(install: Install) -> None:
    source = f"{BACKEND}\nclass Hooks:\n    pass\nhooks = Hooks()\n"
    source += "hooks.sessiontracker_storage = sessiontracker_storage\n"
    install("sessiontracker-shelf", {"shelf": "shelf_plugin:hooks"}, shelf_plugin=source)
    assert not isinstance(Plugins.load(using("shelf")).backend("hot"), ModuleType)
