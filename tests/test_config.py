"""Configuration: its sources, what each key means, and what every error says."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessiontracker.backend import BackendOptions
from sessiontracker.config import Config
from sessiontracker.errors import ConfigurationError
from sessiontracker.wording import mask, masked

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

TOML = """
operation_timeout = "2s"
max_in_flight = 100
reap_every = "5m"
plugins = ["otel"]

[backends.hot]
use = "redis"
url = "env:REDIS_URL"
prefix = "shop:"

[backends.ledger]
use = "sql"
url = "postgresql://app:hunter2@db/app"

[defaults]
storage = "hot"
idle_timeout = "20m"

[sessions.checkout]
storage = "ledger"
locking = "hot"
idle_timeout = "2h"
codec = "json"

[sessions."shop.basket"]
absolute_timeout = "14d"
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.upper().startswith("SESSIONTRACKER__"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("REDIS_URL", "redis://:swordfish@cache/0")


def write(tmp_path: Path, text: str, name: str = "sessions.toml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(config: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        Config.from_mapping(config, source="s.toml")
    return str(caught.value).splitlines()


def nested(value: Any, depth: int) -> Any:
    """``value`` in so many tables, or arrays."""
    for _ in range(depth):
        value = {"a": value} if isinstance(value, dict) else [value]
    return value


def problem(config: dict[str, Any]) -> str:
    (line,) = problems(config)
    return line


# What it means ---------------------------------------------------------------


def test_with_no_configuration_a_tracker_is_in_memory() -> None:
    for config in (Config(), Config.of(), Config.of({}), Config.from_mapping({})):
        assert {name: backend.use for name, backend in config.backends.items()} == {
            "memory": "memory"
        }
        settings = config.settings_for("anything")
        assert (settings.storage, settings.locking) == ("memory", "memory")
        assert config.operation_timeout == 5_000
        assert config.max_in_flight is None
        assert config.reap_every is None
        assert config.plugins == ()


def test_what_is_not_set_has_its_documented_value() -> None:
    settings = Config().settings_for("checkout")
    assert settings.idle_timeout == 30 * MINUTE
    assert settings.absolute_timeout == 24 * HOUR
    assert settings.finished_retention == 24 * HOUR
    assert settings.touch_every is None
    assert settings.lock_lease == 30_000
    assert settings.lock_wait == 10_000
    assert settings.token_retention == HOUR
    assert settings.codec == "msgpack"
    assert settings.max_bytes == 1_048_576
    assert settings.max_per_owner is None
    assert settings.on_limit == "reject"
    assert settings.shared_retention == 30 * DAY


def test_a_file_says_what_it_says(tmp_path: Path) -> None:
    config = Config.from_toml(write(tmp_path, TOML))
    assert config.operation_timeout == 2_000
    assert config.max_in_flight == 100
    assert config.reap_every == 300_000
    assert config.plugins == ("otel",)
    hot = config.backends["hot"]
    assert (hot.use, hot.url, hot.options) == (
        "redis",
        "redis://:swordfish@cache/0",
        {"prefix": "shop:"},
    )
    checkout = config.settings_for("checkout")
    assert (checkout.storage, checkout.locking, checkout.codec) == ("ledger", "hot", "json")
    assert checkout.idle_timeout == 2 * HOUR
    assert checkout.absolute_timeout == 24 * HOUR
    basket = config.settings_for("shop.basket")
    assert (basket.storage, basket.locking) == ("hot", "hot")
    assert basket.idle_timeout == 20 * MINUTE
    assert basket.absolute_timeout == 14 * DAY
    assert config.settings_for("other").idle_timeout == 20 * MINUTE


def test_the_same_shape_in_code_means_the_same(tmp_path: Path) -> None:
    in_code = Config(
        operation_timeout=timedelta(seconds=2),
        max_in_flight=100,
        reap_every="5m",
        plugins=["otel"],
        backends={
            "hot": {"use": "redis", "url": "env:REDIS_URL", "prefix": "shop:"},
            "ledger": {"use": "sql", "url": "postgresql://app:hunter2@db/app"},
        },
        defaults={"storage": "hot", "idle_timeout": 1200},
        sessions={
            "checkout": {
                "storage": "ledger",
                "locking": "hot",
                "idle_timeout": timedelta(hours=2),
                "codec": "json",
            },
            "shop.basket": {"absolute_timeout": timedelta(days=14)},
        },
    )
    from_file = Config.from_toml(write(tmp_path, TOML))
    for name in ("checkout", "shop.basket", "other"):
        assert in_code.settings_for(name) == from_file.settings_for(name)
    assert in_code.backends == from_file.backends
    assert in_code.operation_timeout == from_file.operation_timeout
    assert in_code.reap_every == from_file.reap_every
    assert in_code.plugins == from_file.plugins


def test_a_pyproject_holds_it_under_tool(tmp_path: Path) -> None:
    inner = TOML.replace("[backends", "[tool.sessiontracker.backends")
    inner = inner.replace("[defaults", "[tool.sessiontracker.defaults")
    inner = inner.replace("[sessions", "[tool.sessiontracker.sessions")
    text = f'[project]\nname = "shop"\n\n[tool.sessiontracker]\n{inner}'
    path = write(tmp_path, text, "pyproject.toml")
    config = Config.from_toml(path)
    assert config.settings_for("checkout").storage == "ledger"
    assert config.source == f"{path} [tool.sessiontracker]"


def test_off_is_none_and_zero_is_zero() -> None:
    settings = Config(
        defaults={
            "idle_timeout": "off",
            "absolute_timeout": None,
            "finished_retention": "0s",
            "touch_every": 0,
            "lock_wait": "0s",
            "max_bytes": "off",
            "max_per_owner": "off",
            "shared_retention": 0,
        }
    ).settings_for("x")
    assert settings.idle_timeout is None
    assert settings.absolute_timeout is None
    assert settings.finished_retention == 0
    assert settings.touch_every == 0
    assert settings.lock_wait == 0
    assert settings.max_bytes is None
    assert settings.max_per_owner is None
    assert settings.shared_retention == 0
    kept = Config(defaults={"finished_retention": "off", "lock_wait": "off"}).settings_for("x")
    assert kept.finished_retention is None
    assert kept.lock_wait is None


def test_the_only_backend_is_the_storage_of_all() -> None:
    config = Config(backends={"ledger": {"use": "sql", "url": "sqlite:///s.db"}})
    settings = config.settings_for("checkout")
    assert (settings.storage, settings.locking) == ("ledger", "ledger")


def test_of_several_backends_one_must_be_chosen() -> None:
    backends = {"hot": {"use": "redis"}, "ledger": {"use": "sql"}}
    config = Config(backends=backends, sessions={"checkout": {"storage": "hot"}})
    assert config.settings_for("checkout").locking == "hot"
    with pytest.raises(ConfigurationError, match=r'sessions.login.storage .*"hot" and "ledger"'):
        config.settings_for("login")
    assert problem({"backends": backends, "sessions": {"login": {}}}) == (
        "sessions.login.storage in s.toml: say which backend keeps these sessions, here or as "
        'defaults.storage: "hot" and "ledger"'
    )


def test_locks_are_where_the_sessions_are_unless_said() -> None:
    backends = {"hot": {"use": "redis"}, "ledger": {"use": "sql"}}
    config = Config(
        backends=backends,
        defaults={"storage": "hot"},
        sessions={"checkout": {"storage": "ledger"}},
    )
    assert config.settings_for("checkout").locking == "ledger"
    config = Config(backends=backends, defaults={"storage": "ledger", "locking": "hot"})
    assert config.settings_for("checkout").locking == "hot"


def test_one_backend_for_everything() -> None:
    config = Config.of(backend="redis", url="redis://cache", options={"prefix": "a"})
    (backend,) = config.backends.values()
    assert (backend.use, backend.url, backend.options) == (
        "redis",
        "redis://cache",
        {"prefix": "a"},
    )
    assert config.settings_for("x").storage == "redis"


def test_a_config_is_itself_and_a_mapping_is_not_changed() -> None:
    config = Config()
    assert Config.of(config) is config
    mapping = {"defaults": {"idle_timeout": "5m"}}
    Config.of(mapping)
    assert mapping == {"defaults": {"idle_timeout": "5m"}}


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"config": {}, "backend": "redis"}, "a configuration, or backend="),
        ({"config": {}, "options": {"prefix": "a"}}, "a configuration, or backend="),
        ({"config": "sessions.toml"}, "read a file with from_toml"),
        ({"config": Path("sessions.toml")}, "read a file with from_toml"),
        ({"config": 5}, "a Config or a mapping of its shape, not 5"),
        ({"url": "redis://x"}, "url= wants backend="),
        ({"options": {"typs": []}}, "no argument 'typs', did you mean \"types\"?"),
        ({"options": {"prefix": "a"}}, "options of a backend want backend="),
    ],
)
def test_arguments_that_make_no_configuration(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Config.of(**arguments)
    assert message in str(caught.value)


def test_sections_that_no_type_claimed() -> None:
    config = Config(sessions={"checkout": {}, "login": {}})
    assert config.unclaimed(["login"]) == ["checkout"]
    assert config.unclaimed(["login", "checkout", "other"]) == []


# The environment -------------------------------------------------------------


def test_the_environment_overrides_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONTRACKER__SESSIONS__CHECKOUT__STORAGE", "hot")
    monkeypatch.setenv("SESSIONTRACKER__SESSIONS__CHECKOUT__MAX_PER_OWNER", "7")
    monkeypatch.setenv("SESSIONTRACKER__DEFAULTS__IDLE_TIMEOUT", "5m")
    monkeypatch.setenv("SESSIONTRACKER__DEFAULTS__LOCK_WAIT", "90")
    monkeypatch.setenv("SESSIONTRACKER__OPERATION_TIMEOUT", "1.5")
    monkeypatch.setenv("SESSIONTRACKER__MAX_IN_FLIGHT", "off")
    monkeypatch.setenv("SESSIONTRACKER__PLUGINS", "otel, audit")
    monkeypatch.setenv("sessiontracker__Backends__Hot__prefix", "other")
    monkeypatch.setenv("SESSIONTRACKER__BACKENDS__HOT__POOL", "5")
    monkeypatch.setenv("SESSIONTRACKER__BACKENDS__HOT__TLS__VERIFY", "false")
    monkeypatch.setenv("SESSIONTRACKER__BACKENDS__HOT__NODES", '["a", "b"]')
    monkeypatch.setenv("SESSIONTRACKER__DEFAULTS__CODEC", "")
    config = Config.from_toml(write(tmp_path, TOML))
    checkout = config.settings_for("checkout")
    assert checkout.storage == "hot"
    assert checkout.max_per_owner == 7
    assert checkout.idle_timeout == 2 * HOUR
    assert checkout.lock_wait == 90_000
    assert checkout.codec == "json"
    assert config.settings_for("other").idle_timeout == 5 * MINUTE
    assert config.settings_for("other").codec == "msgpack"
    assert config.operation_timeout == 1_500
    assert config.max_in_flight is None
    assert config.plugins == ("otel", "audit")
    assert config.backends["hot"].options == {
        "prefix": "other",
        "pool": 5,
        "tls": {"verify": False},
        "nodes": ["a", "b"],
    }


def test_a_list_may_be_a_toml_literal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONTRACKER__PLUGINS", '["otel", "a,b"]')
    assert Config().plugins == ("otel", "a,b")


def test_the_environment_alone_configures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONTRACKER__BACKENDS__HOT__USE", "redis")
    monkeypatch.setenv("SESSIONTRACKER__BACKENDS__HOT__URL", "env:REDIS_URL")
    config = Config.of()
    assert config.backends["hot"].url == "redis://:swordfish@cache/0"
    assert config.settings_for("x").storage == "hot"


def test_text_stays_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONTRACKER__BACKENDS__1__USE", "123")
    assert Config().backends["1"].use == "123"


def test_names_that_variables_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONTRACKER__SESSIONS__SHOP_BASKET__IDLE_TIMEOUT", "5m")
    named = Config(sessions={"shop.basket": {"codec": "json"}, "other": {}})
    assert named.settings_for("shop.basket").idle_timeout == 5 * MINUTE
    assert named.settings_for("shop.basket").codec == "json"
    assert named.settings_for("other").idle_timeout == 30 * MINUTE
    assert named.sessions == ("shop.basket", "other")
    alone = Config()
    for name in ("shop.basket", "shop-basket", "shop_basket"):
        assert alone.settings_for(name).idle_timeout == 5 * MINUTE
        assert alone.unclaimed([name]) == []
    assert alone.unclaimed(["shop"]) == ["shop_basket"]
    with pytest.raises(ConfigurationError, match=r'may mean any of sessions."shop.basket" and'):
        Config(sessions={"shop.basket": {}, "shop-basket": {}})


@pytest.mark.parametrize(
    "variable,value,message",
    [
        (
            "SESSIONTRACKER__SESSIONS__CHECKOUT__IDLE_TIMEOUT",
            "30 minits",
            (
                "sessions.checkout.idle_timeout in the environment variable "
                'SESSIONTRACKER__SESSIONS__CHECKOUT__IDLE_TIMEOUT: "30 minits" is not a duration: '
                'write "30m", "1h30m" or "off"'
            ),
        ),
        (
            "SESSIONTRACKER__OPERATION_TIMEOT",
            "5s",
            (
                "operation_timeot in the environment variable SESSIONTRACKER__OPERATION_TIMEOT: "
                'unknown key, did you mean "operation_timeout"?'
            ),
        ),
        (
            "SESSIONTRACKER__SESSIONS",
            "checkout",
            (
                'sessions in the environment variable SESSIONTRACKER__SESSIONS: "checkout" is no '
                "table: write [sessions], and keys under it"
            ),
        ),
        (
            "SESSIONTRACKER__DEFAULTS____CODEC",
            "json",
            (
                "the environment variable SESSIONTRACKER__DEFAULTS____CODEC names no setting: "
                "write it like SESSIONTRACKER__DEFAULTS__IDLE_TIMEOUT"
            ),
        ),
    ],
)
def test_an_error_of_the_environment_names_the_variable(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        Config()
    assert str(caught.value) == message


def test_a_variable_cannot_repair_what_is_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONTRACKER__SESSIONS__CHECKOUT__CODEC", "json")
    assert problem({"sessions": 5}).startswith("sessions in s.toml: 5 is no table")


def test_a_variable_that_is_named_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"use": "redis", "url": "env:REDIS_URL", "password": "env:REDIS_PASSWORD"}
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("REDIS_PASSWORD", "")
    assert problems({"backends": {"hot": table}}) == [
        (
            "backends.hot.url in s.toml: the environment variable REDIS_URL is not set: set it, or "
            "write the value here"
        ),
        (
            "backends.hot.password in s.toml: the environment variable REDIS_PASSWORD is empty: "
            "set it, or write the value here"
        ),
    ]


def test_an_option_may_name_a_variable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "swordfish")
    config = Config(backends={"hot": {"use": "redis", "password": "env:REDIS_PASSWORD"}})
    assert config.backends["hot"].options == {"password": "swordfish"}


# Errors ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "config,message",
    [
        (
            {"sessions": {"checkout": {"idle_timeout": "30 minits"}}},
            (
                'sessions.checkout.idle_timeout in s.toml: "30 minits" is not a duration: write '
                '"30m", "1h30m" or "off"'
            ),
        ),
        (
            {"defaults": {"idle_timout": "30m"}},
            'defaults.idle_timout in s.toml: unknown key, did you mean "idle_timeout"?',
        ),
        (
            {"backend": {}},
            'backend in s.toml: unknown key, did you mean "backends"?',
        ),
        (
            {"zzz": 1},
            (
                "zzz in s.toml: unknown key: it may be backends, defaults, sessions, plugins, "
                "operation_timeout, max_in_flight and reap_every"
            ),
        ),
        (
            {"idle_timeout": "5m"},
            (
                "idle_timeout in s.toml: unknown key: it goes into [defaults], or into a type's "
                "[sessions.…]"
            ),
        ),
        (
            {"defaults": {"operation_timeout": "5s"}},
            (
                "defaults.operation_timeout in s.toml: unknown key: it goes to the top of the "
                "file, before the first [table]"
            ),
        ),
        (
            {"sessions": {"shop": {"basket": {"codec": "json"}}}},
            (
                "sessions.shop.basket in s.toml: unknown key: a name with a dot in it wants "
                'quotes, [sessions."shop.basket"]'
            ),
        ),
        (
            {"defaults": {"storage": "memry"}},
            'defaults.storage in s.toml: no backend is named "memry", did you mean "memory"?',
        ),
        (
            {"sessions": {"login": {"locking": "hot"}}},
            'sessions.login.locking in s.toml: no backend is named "hot": there is "memory"',
        ),
        (
            {"backends": {"hot": {"url": "redis://x"}}},
            (
                'backends.hot in s.toml: say which plugin it uses, as in use = "redis", "sql", '
                '"file" or "memory"'
            ),
        ),
        ({"backends": {"hot": "redis"}}, 'backends.hot in s.toml: "redis" is no table'),
        ({"backends": {"hot": {"use": 5}}}, "backends.hot.use in s.toml: 5 is no name"),
        ({"backends": {"hot": {"use": "redis", "url": 5}}}, "backends.hot.url in s.toml: 5 is no"),
        ({"backends": {}}, "backends in s.toml: names no backend"),
        ({"defaults": []}, "defaults in s.toml: [] is no table"),
        ({"sessions": {"a": 1}}, "sessions.a in s.toml: 1 is no table"),
        ({"plugins": "otel"}, 'plugins in s.toml: "otel" is no list of names'),
        ({"plugins": [1]}, "plugins in s.toml: [1] is no list of names"),
        ({"plugins": "\ud800"}, "is no list of names"),
        ({"backends": {"hot": {"use": "memory", "url": "env:\ud800"}}}, "is not set"),
        (nested({}, 33), ".a in s.toml is nested too deeply"),
        (nested({}, 50_000), ".a in s.toml is nested too deeply"),
        ({"defaults": {"codec": nested([], 40)}}, "defaults.codec in s.toml is nested too deeply"),
        ({"operation_timeout": "off"}, "operation_timeout in s.toml: this cannot be off"),
        ({"operation_timeout": 0}, "operation_timeout in s.toml: this cannot be zero"),
        ({"reap_every": 0}, "reap_every in s.toml: this cannot be zero"),
        ({"max_in_flight": 0}, "max_in_flight in s.toml: 0 is no number of operations"),
        ({"max_in_flight": True}, "max_in_flight in s.toml: True is no number"),
        (
            {"defaults": {"idle_timeout": 0}},
            (
                "idle_timeout in s.toml: this cannot be zero: write "
                'how long, such as "30m", or "off" for none'
            ),
        ),
        ({"defaults": {"absolute_timeout": -1}}, "absolute_timeout in s.toml: -1 is negative"),
        ({"defaults": {"touch_every": "off"}}, "touch_every in s.toml: this cannot be off"),
        ({"defaults": {"lock_lease": "off"}}, "lock_lease in s.toml: this cannot be off"),
        ({"defaults": {"lock_lease": "0s"}}, "lock_lease in s.toml: this cannot be zero"),
        ({"defaults": {"token_retention": "off"}}, "token_retention in s.toml: this cannot be"),
        ({"defaults": {"max_bytes": "1MB"}}, 'max_bytes in s.toml: "1MB" is no number of bytes'),
        ({"defaults": {"max_bytes": 1.5}}, "max_bytes in s.toml: 1.5 is no number of bytes"),
        ({"defaults": {"codec": 1}}, "defaults.codec in s.toml: 1 is no name"),
        (
            {"defaults": {"on_limit": "rejct"}},
            (
                'on_limit in s.toml: "rejct" is neither "reject" nor "finish_oldest", did you mean '
                '"reject"?'
            ),
        ),
    ],
)
def test_an_error_names_key_path_source_and_what_to_write(
    config: dict[str, Any], message: str
) -> None:
    assert message in problem(config)


def test_all_errors_come_at_once_one_a_line() -> None:
    lines = problems(
        {
            "operation_timeot": 1,
            "backends": {"hot": {"use": "redis"}, "ledger": {"url": "x"}},
            "defaults": {"storage": "hto", "lock_lease": "soon"},
            "sessions": {"checkout": {"codec": 1, "idle_timeout": "x"}},
        }
    )
    assert [line.split(" in s.toml")[0] for line in lines] == [
        "operation_timeot",
        "backends.ledger",
        "defaults.storage",
        "defaults.lock_lease",
        "sessions.checkout.codec",
        "sessions.checkout.idle_timeout",
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no file .*missing\.toml"):
        Config.from_toml(tmp_path / "missing.toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Config.from_toml(tmp_path)
    with pytest.raises(ConfigurationError, match=r"bad\.toml is not TOML: .*line 1"):
        Config.from_toml(write(tmp_path, "x = \ny = 1", "bad.toml"))
    with pytest.raises(ConfigurationError, match=r"has no \[tool\.sessiontracker\]"):
        Config.from_toml(write(tmp_path, "[project]\n", "pyproject.toml"))
    path = tmp_path / "latin.toml"
    path.write_bytes(b'plugins = ["\xe9"]')
    with pytest.raises(ConfigurationError, match=r"latin\.toml is not UTF-8"):
        Config.from_toml(path)


def test_what_is_no_url_is_explained_all_the_same(tmp_path: Path) -> None:
    text = '[backends.hot]\nuse = "memory"\nurl = nan\n'
    config = Config.from_toml(write(tmp_path, text), strict=False)
    assert "nan is no URL" in config.problems[0]
    assert "url" in config.explain_backends()["hot"]


@pytest.mark.parametrize("value", ["[" * 5_000 + "]" * 5_000, "9" * 5_000])
def test_a_file_that_python_cannot_read(
    tmp_path: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match=r"bad\.toml cannot be read: "):
        Config.from_toml(write(tmp_path, f"plugins = {value}", "bad.toml"))
    monkeypatch.setenv("SESSIONTRACKER__DEFAULTS__IDLE_TIMEOUT", value)
    monkeypatch.setenv("SESSIONTRACKER__PLUGINS", value)
    with pytest.raises(ConfigurationError):
        Config(plugins=["x"])


def test_an_error_names_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[sessions.checkout]\nidle_timeout = "30 minits"\n')
    with pytest.raises(ConfigurationError) as caught:
        Config.from_toml(path)
    assert str(caught.value).startswith(f'sessions.checkout.idle_timeout in {path}: "30 minits"')


def test_not_strictly_read_it_tells_what_is_wrong_and_explains_the_rest(tmp_path: Path) -> None:
    text = '[sessions.checkout]\nidle_timeout = "x"\ncodec = "json"\nstorage = "nowhere"\n'
    config = Config.from_toml(write(tmp_path, text), strict=False)
    assert len(config.problems) == 2
    assert config.explain("checkout")["storage"].wrong
    explained = config.explain("checkout")
    assert explained["idle_timeout"].wrong
    assert explained["idle_timeout"].value == "x"
    assert explained["codec"].value == "json"
    with pytest.raises(ConfigurationError, match="is not a duration"):
        config.settings_for("checkout")


def test_each_setting_says_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONTRACKER__SESSIONS__CHECKOUT__LOCK_LEASE", "1m")
    path = write(tmp_path, TOML)
    explained = Config.from_toml(path).explain("checkout")
    assert explained["storage"].where == f"sessions.checkout.storage in {path}"
    assert explained["max_bytes"].where == "default"
    assert explained["lock_lease"].where == (
        "sessions.checkout.lock_lease in the environment variable "
        "SESSIONTRACKER__SESSIONS__CHECKOUT__LOCK_LEASE"
    )
    explained = Config.from_toml(path).explain("other")
    assert explained["idle_timeout"].where == f"defaults.idle_timeout in {path}"
    assert explained["locking"].where == f"as storage: defaults.storage in {path}"


# Secrets ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text,expected",
    [
        ("redis://user:swordfish@h:6379/0", "redis://user:***@h:6379/0"),
        ("redis://:swordfish@h", "redis://:***@h"),
        ("redis//u:swordfish@h", "redis//u:***@h"),
        ("redis:/u:swordfish@h", "redis:***@h"),
        ("u:swordfish@h", "u:***@h"),
        ("alice@example.org", "alice@example.org"),
        ("redis://:sword/fi@sh@h/0", "redis://:***@h/0"),
        ("redis://:swordfish@h1,redis://:swordfish@h2", "redis://:***@h2"),
        ("postgresql://h/d?password=swordfish&x=1", "postgresql://h/d?password=***&x=1"),
        ("postgresql://h/d?sslPassword=swordfish", "postgresql://h/d?sslPassword=***"),
        ("host=h password=swordfish user=u", "host=h password=*** user=u"),
        # Signs that ought to be quoted there
        ("postgresql://h/d?password=sword@fish&x=1", "postgresql://h/d?password=***&x=1"),
        ("postgresql://h:5432/d?password=sword@fish&x=1", "postgresql://h:***&x=1"),
        ("postgresql://h/d?password=sword fish&x=1", "postgresql://h/d?password=***&x=1"),
        ("postgresql://h/d?password=sword&fish;!&x=1", "postgresql://h/d?password=***&x=1"),
        ("unix:///run/r.sock?password=sword\nfish", "unix:///run/r.sock?password=***"),
        ("host=h password=sword fish user=u", "host=h password=*** user=u"),
        ("u:sword//fish@h", "u:***@h"),
        ("postgresql://app@db:5432/app", "postgresql://app@db:5432/app"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("sqlite:///sessions.db", "sqlite:///sessions.db"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, expected: str) -> None:
    assert mask(text) == expected


@pytest.mark.parametrize(
    "piece", ["://:", "//u:", "pass", "pass=", "a=", " = ", "@", "pass= ", "&a", "pass=&a "]
)
def test_masking_takes_no_longer_than_the_text_is_long(piece: str) -> None:
    for end in ("", "@", "="):
        assert mask(piece * 100_000 + end)


def test_options_that_are_named_like_secrets_are_masked() -> None:
    given = {
        "password": "swordfish",
        "auth_token": "swordfish",
        "tls": {"keyPassphrase": "swordfish", "verify": True},
        "nodes": ["redis://:swordfish@h"],
        "prefix": "shop",
        "pwd": 12345678,
        "connect_args": {"passphrase": [12345678]},
    }
    shown = repr(masked(given))
    assert "swordfish" not in shown
    assert "12345678" not in shown
    assert "'shop'" in shown
    assert "True" in shown


def test_no_secret_is_ever_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALT", "swordfish")
    config = Config(
        backends={
            "hot": {"use": "redis", "url": "env:REDIS_URL", "password": "swordfish"},
            "warm": {"use": "redis", "url": "redis://u:swordfish@h", "salt": "env:SALT"},
        },
        defaults={"storage": "hot"},
    )
    shown = [
        repr(config),
        repr(config.backends),
        str(config.explain_backends()),
        repr([BackendOptions(name, b.url, b.options) for name, b in config.backends.items()]),
    ]
    assert "swordfish" not in "".join(shown)
    with pytest.raises(ConfigurationError) as caught:
        Config.from_mapping(
            {
                "backends": {
                    "a": "redis://:swordfish@h",
                    "b": {"use": "redis", "url": ["redis://:swordfish@h"]},
                    "c": {"use": {"password": "swordfish"}},
                },
                "defaults": {"storage": "redis://:swordfish@h"},
                "plugins": "redis://:swordfish@h",
            }
        )
    assert "swordfish" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 5
