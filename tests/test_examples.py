"""The small examples run, and say what they mean to show."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from sessiontracker import Session, SessionNotFoundError, SessionTracker

EXAMPLES = Path(__file__).parent.parent / "examples"


class Checkout(Session):
    items: list[str]


class TypingIndicator(Session):
    channel: str = ""


def run(name: str) -> list[str]:
    """What an example printed, line by line; it must succeed and complain of nothing."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_quickstart() -> None:
    saved, refused, finished, resumed = run("quickstart.py")
    assert "version=2" in saved
    assert "paid=True" in saved
    assert "is finished" in refused
    assert "version=3" in finished
    assert "version=4" in resumed
    assert "paid=True" in resumed


def test_quickstart_sync() -> None:
    counted, finished = run("quickstart_sync.py")
    assert "count=100" in counted
    assert "version=101" in counted
    assert "version=102" in finished


LOGINS = """\
old cookie:     dead
new cookie:     library
tablet refused: 3 devices already
on the phone:   dark
devices:        ['laptop', 'library', 'phone']
left:           2
ended at once:  1
still in:       ['laptop']
"""


def test_logins() -> None:
    assert run("logins.py") == LOGINS.splitlines()


def test_the_page_about_logins_shows_the_example_as_it_is() -> None:
    page = (EXAMPLES.parent / "docs" / "logins.md").read_text(encoding="utf-8")
    example = (EXAMPLES / "logins.py").read_text(encoding="utf-8")
    assert f"```python\n{example}```" in page
    assert f"```\n{LOGINS}```" in page


def test_orders() -> None:
    assert run("orders.py") == [
        "together:    True",
        "not at all:  False",
        "stale:       get() it again",
        "orders:      ['order-42']",
    ]


def test_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each type lives where the file says, for as long as it says."""
    monkeypatch.chdir(tmp_path)
    types = [Checkout, TypingIndicator]
    with SessionTracker.from_toml(EXAMPLES / "sessions.toml", types=types) as tracker:
        checkout = tracker.start(Checkout(key="order-42", items=["book"]))
        typing = tracker.start(TypingIndicator(key="alice", channel="general"))
        assert lifetime(checkout) == timedelta(hours=2)
        assert lifetime(typing) == timedelta(seconds=5)
    assert (tmp_path / "sessions.db").is_file()
    with SessionTracker.from_toml(EXAMPLES / "sessions.toml", types=types) as tracker:
        assert tracker.get(Checkout, "order-42").items == ["book"]
        with pytest.raises(SessionNotFoundError):
            tracker.get(TypingIndicator, "alice")


def lifetime(session: Session) -> timedelta:
    assert session.started_at is not None
    assert session.expires_at is not None
    return session.expires_at - session.started_at
