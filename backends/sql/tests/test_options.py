"""What a configuration may say, and what it is told when it says something else."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from psycopg.conninfo import conninfo_to_dict

from sessiontracker.backend import BackendOptions, Capability, ConfigurationError
from sessiontracker_sql import plugin
from sessiontracker_sql.options import Options
from sessiontracker_sql.server_options import ServerOptions


def given(url: str | None, **options: Any) -> BackendOptions:
    return BackendOptions("hot", url, options)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///sessions.db", "{cwd}/sessions.db"),
        ("sqlite:///data/sessions.db", "{cwd}/data/sessions.db"),
        ("sqlite:////var/lib/sessions.db", "/var/lib/sessions.db"),
        ("sqlite:///~/sessions.db", "{home}/sessions.db"),
        ("sqlite+aiosqlite:////var/lib/sessions.db", "/var/lib/sessions.db"),
        ("sqlite:////var/lib/my sessions#1.db", "/var/lib/my sessions#1.db"),
    ],
)
def test_a_url_names_a_file(
    url: str, path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    wanted = path.format(cwd=tmp_path, home="/home/somebody")
    assert str(Options.of(given(url)).path) == wanted


def test_options_stand_in_the_url_or_beside_it() -> None:
    url = "sqlite:////x.db?timeout=2&synchronous=FULL&create_tables=false&table_prefix=a_"
    options = Options.of(given(url))
    assert options == Options.of(
        given(
            "sqlite:////x.db",
            timeout="2s",
            synchronous="full",
            create_tables=False,
            table_prefix="a_",
        )
    )
    assert (options.timeout, options.synchronous, options.create_tables) == (2.0, "full", False)


@pytest.mark.parametrize(
    "url", ["sqlite:////x.db", "postgresql://app@db/app", "mysql://app@db/app"]
)
def test_an_answer_is_waited_for_no_longer_than_a_call_has(url: str) -> None:
    def timeout_of(whole: float | None, **options: Any) -> float:
        kind = Options if url.startswith("sqlite") else ServerOptions
        found = kind.of(BackendOptions("hot", url, options, whole))
        assert found.opening >= 2.0  # tables are made in their own time
        return found.timeout

    assert timeout_of(5.0) == 2.0
    assert timeout_of(0.5) == pytest.approx(0.2)
    assert timeout_of(5.0, timeout="3s") == 3.0
    assert timeout_of(5.0, timeout="7s") == 5.0
    assert timeout_of(None, timeout="7s") == 7.0


def test_what_is_left_out_has_a_default() -> None:
    options = Options.of(given("sqlite:////x.db"))
    assert (options.timeout, options.synchronous, options.table_prefix) == (
        2.0,
        "normal",
        "sessiontracker_",
    )
    assert options.clock() > 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        (None, {}, r"backends\.hot\.url: say which database"),
        ("", {}, r"backends\.hot\.url: say which database"),
        ("sessions.db", {}, "is no URL of a database"),
        ("sqlite://", {}, 'use = "memory"'),
        ("sqlite:///:memory:", {}, 'use = "memory"'),
        ("sqlite:///file:x?mode=memory&uri=true", {}, 'use = "memory"'),
        ("sqlite://sessions.db", {}, "three slashes"),
        ("oracle://app@db/app", {}, "'oracle' is no database that this version"),
        ("mssql://app@db/app", {}, "it knows SQLite"),
        (
            "postgresql://app@db/app",
            {"colour": 1},
            r"backends\.hot\.colour: there is no such option",
        ),
        ("postgresql://app@db/app?timeout=soon", {}, r"backends\.hot\.timeout"),
        ("mysql://app@db/app?ssl=perhaps", {}, r"backends\.hot\.url: ssl=perhaps is neither"),
        ("mysql://app@db/app?ssl_ca=/nowhere.pem", {}, r"hot\.url: a certificate or key cannot"),
        ("postgresql://app@db/app", {"connect_args": "ssl"}, "no table of what the driver takes"),
        ("postgresql://app@db/app", {"schema": "a\0b"}, "is no name of a schema"),
        ("postgresql://app@db/app%00", {}, r"hot\.url: it holds a NUL"),
        ("mysql://app\0@db/app", {}, r"hot\.url: it holds a NUL"),
        (
            "postgresql://app@db/app",
            {"connect_args": {"options": "a\0b"}},
            r"hot\.connect_args\.options: it holds a NUL",
        ),
        ("postgresql://app@db/app", {"schema": "\ud800"}, "is no name of a schema"),
        (
            "postgresql://app@db/app",
            {"listen_url": "sqlite:///x"},
            r"listen_url: .* is no URL of a",
        ),
        ("sqlite:////x.db", {"colour": 1}, r"backends\.hot\.colour: SQLite has no such option"),
        ("sqlite:////x.db?colour=1", {}, r"backends\.hot\.colour: SQLite has no such option"),
        ("sqlite:////x.db", {"timeout": "soon"}, r"backends\.hot\.timeout"),
        ("sqlite:////x.db", {"timeout": 0}, "leaves no time"),
        ("sqlite:////x.db", {"timeout": "off"}, "leaves no time"),
        ("sqlite:////x.db?timeout=-1", {}, r"backends\.hot\.timeout"),
        ("sqlite:////x.db", {"synchronous": "always"}, "none of off, normal, full, extra"),
        ("sqlite:////x.db", {"table_prefix": "a b"}, "cannot begin a table's name"),
        ("sqlite:////x.db", {"table_prefix": 7}, "cannot begin a table's name"),
        ("sqlite:////x.db", {"create_tables": "maybe"}, "neither true nor false"),
        ("sqlite:////x.db", {"clock": 7}, "callable that returns µs"),
        ("sqlite:////x.db", {"create_tables": 10**5000}, "a huge int is neither true nor false"),
        ("sqlite:///~nobody-of-this-name/x.db", {}, r"backends\.hot\.url: .* is no path"),
        ("sqlite:///x\0.db", {}, r"backends\.hot\.url: .* is no path: it holds a NUL"),
        ("sqlite:///x\ud800.db", {}, r"backends\.hot\.url: .* is no path: it holds a lone"),
        ("postgresql://app@db:54a32/app", {}, r"hot\.url: .* is no URL of a database"),
        ("postgresql://[::1/app", {}, r"hot\.url: .* is no URL of a database"),
        ("mysql://app@db/app?ssl_ca=/x&ssl_ca=/y", {}, r"hot\.url: a certificate or key cannot"),
    ],
)
def test_what_cannot_be_is_told(url: str | None, options: dict[str, Any], message: str) -> None:
    for opener in (
        plugin.sessiontracker_storage().open_async,
        plugin.sessiontracker_locking().open_sync,
    ):
        with pytest.raises(ConfigurationError, match=message):
            opener(given(url, **options))


@pytest.mark.parametrize("sign", [*"/?#@:[] %&", "@/", "/@", ":/"])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:{}@h:1/d",
        "postgresql://:{}@h/d",
        "mysql://u:{}@h/d",
        "mysql://h:1/d?charset=utf8mb4&password={}",
        "sqlite://u:{}@h/x.db",
        "oracle://u:{}@h/d",
    ],
)
def test_no_piece_of_a_password_is_shown(url: str, sign: str) -> None:
    """Whatever sign there is in it that ought to be quoted; nor is one taken for a host's name."""
    password = f"blade{sign}trout"
    options = None
    try:
        kind = Options if url.startswith(("sqlite", "oracle")) else ServerOptions
        options = kind.of(given(url.format(password), connect_args={"password": password}))
        shown = repr(options)
    except ConfigurationError as error:
        shown = str(error)
        assert "backends.hot." in shown
    assert "blade" not in shown
    assert "trout" not in shown
    if isinstance(options, ServerOptions):
        assert "trout" not in f"{options.url.host} {options.url.database}"


@pytest.mark.parametrize("text", ["a b", "a+b", "a@b", "a/b?c#d&e=f", "ä%20"])
def test_whatever_stands_in_a_url_comes_to_the_driver(text: str) -> None:
    written = quote(text, safe="")
    url = f"postgresql://{written}:{written}@h/{written}?application_name={written}"
    found = conninfo_to_dict(ServerOptions.of(given(url)).dsn)
    assert found == {
        "host": "h",
        "user": text,
        "password": text,
        "dbname": text,
        "application_name": text,
    }


def test_the_plugin_declares_what_it_can() -> None:
    for role in (plugin.sessiontracker_storage(), plugin.sessiontracker_locking()):
        assert role.name == "sql"
        assert role.capabilities == set(Capability)
        for url in ("sqlite:///sessions.db", "postgresql://app@db/app", "mariadb://app@db/app"):
            assert role.capabilities_of(BackendOptions("ledger", url)) == set(Capability)


def test_tls_is_asked_for_in_the_url(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    of_client = authority.issue_cert("app@example.org")
    of_client.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    url = f"mysql://app@db/app?charset=utf8mb4&ssl_ca={tmp_path}/ca.pem&ssl_cert={tmp_path}/client.pem"
    options = ServerOptions.of(given(url))
    tls = options.where_to_connect.pop("ssl")
    assert isinstance(tls, ssl.SSLContext)
    assert tls.check_hostname
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert set(options.where_to_connect) == {"host", "user", "database", "charset", "ssl"}
    lenient = ServerOptions.of(given(f"{url}&ssl_check_hostname=false")).tls
    assert lenient is not None
    assert not lenient.check_hostname
    assert lenient.verify_mode is ssl.CERT_REQUIRED
    for without in ("mysql://app@db/app", "mysql://app@db/app?ssl=false"):
        assert "ssl" not in ServerOptions.of(given(without)).where_to_connect
    # libpq's own words are its drivers' to read.
    assert (
        "sslmode=verify-full" in ServerOptions.of(given("postgresql://db/?sslmode=verify-full")).dsn
    )
