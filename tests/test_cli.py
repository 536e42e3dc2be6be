"""The command line: ``sessiontracker check`` says what a configuration means, and what is wrong;
``sessiontracker schema`` prints what an administrator creates."""

from __future__ import annotations

import builtins
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sessiontracker import SessionTracker
from sessiontracker.cli import main, tables

from .trackers import Checkout

GOOD = """
[backends.hot]
use = "memory"
max_sessions = 1000

[backends.ledger]
use = "memory"

[defaults]
storage = "hot"

[sessions.checkout]
storage = "ledger"
idle_timeout = "90s"
max_bytes = "off"
"""

BAD = """
plugins = ["otel"]

[backends.hot]
use = "redis"
url = "redis://:swordfish@cache/0"
password = "swordfish"

[backends.ledger]
use = "memory"
nonsense = 3

[defaults]
storage = "ledger"

[sessions.checkout]
idle_timeout = "30 minits"
storag = "hot"
"""


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "sessions.toml"
    path.write_text(GOOD)
    return str(path)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    path = tmp_path / "bad.toml"
    path.write_text(BAD)
    return str(path)


def section(output: str, title: str) -> list[list[str]]:
    """The rows of one table, in cells; the first is its header."""
    lines = output.splitlines()
    start = lines.index(title) + 1
    rows = lines[start : lines.index("", start)]
    return [row.split(None, 1) if row.startswith("!") else ["", row.strip()] for row in rows]


def cells(output: str, title: str) -> dict[str, tuple[str, ...]]:
    rows = [row[1].split("  ") for row in section(output, title)]
    cleaned = [tuple(cell.strip() for cell in row if cell.strip()) for row in rows]
    return {row[0]: row[1:] for row in cleaned}


def test_it_prints_every_value_and_where_it_came_from(
    good: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONTRACKER__SESSIONS__CHECKOUT__LOCK_LEASE", "1m")
    assert main(["check", good]) == 0
    output = capsys.readouterr().out
    checkout = cells(output, "sessions.checkout")
    assert checkout["storage"] == ("ledger", f"sessions.checkout.storage in {good}")
    assert checkout["locking"] == ("ledger", f"as storage: sessions.checkout.storage in {good}")
    assert checkout["idle_timeout"] == ("1m30s", f"sessions.checkout.idle_timeout in {good}")
    assert checkout["absolute_timeout"] == ("1d", "default")
    assert checkout["touch_every"] == ("a twentieth of the idle timeout", "default")
    assert checkout["max_bytes"] == ("off", f"sessions.checkout.max_bytes in {good}")
    assert checkout["lock_lease"] == (
        "1m",
        (
            "sessions.checkout.lock_lease in the environment variable "
            "SESSIONTRACKER__SESSIONS__CHECKOUT__LOCK_LEASE"
        ),
    )
    assert cells(output, "every other session type")["storage"] == (
        "hot",
        f"defaults.storage in {good}",
    )
    assert cells(output, "backends.hot")["max_sessions"][0] == "1000"
    assert cells(output, "the tracker")["operation_timeout"] == ("5s", "default")
    assert output.endswith("nothing is wrong with it\n")


def test_it_says_all_that_is_wrong_and_fails(
    bad: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["check", bad]) == 1
    output = capsys.readouterr().out
    wrong = [line for line in output.splitlines() if line.startswith("wrong: ")]
    for expected in [
        f'sessions.checkout.idle_timeout in {bad}: "30 minits" is not a duration: write "30m"',
        f'sessions.checkout.storag in {bad}: unknown key, did you mean "storage"?',
        f'plugins in {bad}: no plugin "otel" is installed',
        "backends.ledger.nonsense: ",
    ]:
        assert [line for line in wrong if line.startswith(f"wrong: {expected}")], expected
    assert f"{len(wrong)} things to put right" in output
    marked = [row for row in section(output, "sessions.checkout") if row[0] == "!"]
    (row,) = marked
    assert row[1].startswith('idle_timeout        "30 minits"')


def test_a_plugin_that_is_missing_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.toml"
    path.write_text('[backends.hot]\nuse = "no-such-store"\n')
    assert main(["check", str(path)]) == 1
    output = capsys.readouterr().out
    assert f'wrong: backends.hot.use in {path}: no plugin "no-such-store" is installed' in output
    assert "1 thing to put right" in output


@pytest.mark.parametrize("as_json", [False, True])
def test_no_secret_is_printed(bad: str, as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", bad, *(["--json"] if as_json else [])])
    captured = capsys.readouterr()
    assert "redis://:***@cache/0" in captured.out
    assert "swordfish" not in captured.out + captured.err


def test_programs_get_json(good: str, bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", good]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["source"] == good
    assert said["problems"] == []
    assert said["sessions"]["checkout"]["idle_timeout"] == {
        "value": "1m30s",
        "from": f"sessions.checkout.idle_timeout in {good}",
        "wrong": False,
    }
    assert said["other_sessions"]["storage"]["value"] == "hot"
    assert main(["check", "--json", bad]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["sessions"]["checkout"]["idle_timeout"]["wrong"]
    assert len(said["problems"]) >= 4


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "missing.toml")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"sessiontracker: there is no file {tmp_path}")
    assert captured.err.count("\n") == 1


def test_wrongly_called(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["check"], ["chek", "x"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert "usage: sessiontracker" in capsys.readouterr().err


def test_python_m_is_the_same_command(good: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sessiontracker", "check", good],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "sessions.checkout" in done.stdout


def test_on_a_terminal_rich_draws_the_tables(
    good: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["check", good]) == 0
    output = capsys.readouterr().out
    assert "┏" in output
    assert "1m30s" in output


def test_values_are_not_taken_for_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "s.toml"
    path.write_text('[sessions.checkout]\ncodec = "[bold]x[/bold]"\n')
    assert main(["check", str(path)]) == 1
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "checkout.codec" in line][:1]
    assert "│ [bold]x[/bold] " in row


def test_on_a_terminal_without_rich_the_tables_are_plain(
    good: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_rich(name: str, *arguments: Any, **keywords: Any) -> Any:
        assert not name.startswith("rich")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    monkeypatch.setattr(builtins, "__import__", without_rich)
    assert main(["check", good]) == 0
    output = capsys.readouterr().out
    assert "┏" not in output
    assert cells(output, "sessions.checkout")["idle_timeout"][0] == "1m30s"


# schema ----------------------------------------------------------------------


def test_the_schema_it_prints_is_one_that_a_tracker_uses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sessions.db"
    url = f"sqlite:///{path}"
    assert main(["schema", "--url", url, "--option", "table_prefix=our_"]) == 0
    assert not path.exists(), "nothing is connected"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(capsys.readouterr().out)
    options = {"table_prefix": "our_", "create_tables": False}
    with SessionTracker(backend="sql", url=url, **options) as tracker:
        tracker.start(Checkout(key="order-42"))
        assert tracker.get(Checkout, "order-42").key == "order-42"


def test_the_schema_of_a_file_is_that_of_each_backend_that_has_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sessions.toml"
    path.write_text(
        """
[backends.hot]
use = "memory"

[backends.ledger]
use = "sql"
url = "postgresql://app:swordfish@db/app"
schema = "shop"

[backends.orders]
use = "sql"
url = "mysql://app@db/app"

[defaults]
storage = "hot"
"""
    )
    assert main(["schema", str(path)]) == 0
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("--")] == [
        "-- backend ledger",
        "-- backend orders",
    ]
    assert "CREATE TABLE shop.sessiontracker_keys" in printed
    assert "VARBINARY" in printed
    assert "swordfish" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--url", "x", "--use", "memory"], "none of its backends has tables"),
        (["--url", "oracle://db"], "no database that"),
        (["--url", "sqlite:///s.db", "--option", "table_prefix"], "NAME=VALUE"),
        (["--url", "sqlite:///s.db", "--option", "prefix=x"], "no such option"),
    ],
)
def test_what_has_no_schema_says_so(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", *arguments]) == 1
    assert message in capsys.readouterr().err
