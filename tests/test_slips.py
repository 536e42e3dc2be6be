"""A secret that stands where it does not belong is not shown by the error that says so."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessiontracker import (
    Config,
    ConfigurationError,
    OwnedSession,
    Session,
    SessionTracker,
    SessionTrackerError,
    errors,
)
from sessiontracker.cli import main

URL = "redis://:swordfish@h:1/0"
NOT_UTF_8 = b"sword\xfcfish".decode(errors="surrogateescape")  # as os.environ has it


class Order(Session):
    paid: bool = False


class Login(OwnedSession[None]):
    device: str = ""


def said(error: BaseException) -> str:
    """All that a log would have of ``error``, and of what led to it."""
    text = "".join(traceback.format_exception(error)) + repr(vars(error))
    chain: BaseException | None = error
    while chain is not None:
        text += f"{chain!r} {chain.args!r}"
        chain = chain.__cause__ or chain.__context__
    return text


SLIPS: dict[str, Callable[[], object]] = {
    "config": lambda: SessionTracker(URL),  # type: ignore[arg-type]
    "backend": lambda: SessionTracker(backend=URL),
    "a list": lambda: SessionTracker(backend="redis", url=[URL]),  # type: ignore[arg-type]
    "a file": lambda: SessionTracker.from_toml(URL),
    "a name": lambda: Config(backends={URL: {"use": "redis"}}),
    "a variable": lambda: Config(backends={"hot": {"use": "redis", "url": f"env:{URL}"}}),
    "a type": lambda: Config(sessions={URL: {"storage": "cold"}}),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_url_in_the_wrong_place_is_not_shown(slip: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        SLIPS[slip]()
    assert "swordfish" not in said(raised.value)


def test_a_url_in_place_of_the_plugin_is_not_shown() -> None:
    config = Config(backends={"hot": {"use": URL}})
    tracker = SessionTracker(config, types=[Order])
    with pytest.raises(ConfigurationError) as raised:
        tracker.open()
    assert "swordfish" not in said(raised.value) + repr(config) + repr(config.backends)


def test_it_is_not_printed_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sessions.toml"
    file.write_text(f'plugins = ["{URL}"]\n[backends.hot]\nuse = "{URL}"\n')
    for arguments in (["check", str(file)], ["check", "--json", str(file)], ["check", URL]):
        assert main(arguments) == 1
    printed = capsys.readouterr()
    assert "swordfish" not in printed.out + printed.err


def test_what_is_shown_of_an_object_is_not_its_password() -> None:
    class Pool:
        def __repr__(self) -> str:
            return "<Pool(host=h,password=swordfish)>"

    with pytest.raises(ConfigurationError) as raised:
        SessionTracker(backend="memory", max_sessions=Pool()).open()
    assert "swordfish" not in said(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"url": f"redis://:{NOT_UTF_8}@h"},
        {"url": "redis://h", "password": NOT_UTF_8},
        {"url": "postgresql://h", "connect_args": {"password": [NOT_UTF_8]}},
    ],
)
def test_what_is_no_utf_8_is_refused_before_a_driver_stumbles_over_it(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", options["url"])
    for given in (options, {**options, "url": "env:PLACE"}):
        with pytest.raises(ConfigurationError, match=r"backends\.hot\.\w+ in .*UTF-8") as raised:
            Config(backends={"hot": {"use": "redis", **given}})
        assert "fish" not in said(raised.value)


CALLS: dict[str, Callable[[Any, str], object]] = {
    "get": lambda tracker, key: tracker.get(key),
    "get_many": lambda tracker, key: tracker.get_many(key, [key]),
    "finish": lambda tracker, key: tracker.finish(key),
    "get_locked": lambda tracker, key: tracker.get_locked(key).__enter__(),
    "lock": lambda tracker, key: tracker.lock(key).__enter__(),
    "lease": lambda tracker, key: tracker.lock(Order, "x", lease=key).__enter__(),
    "scan": lambda tracker, key: list(tracker.scan(key)),
    "list_sessions": lambda tracker, key: tracker.list_sessions(key),
    "finish_all": lambda tracker, key: tracker.finish_all(key, "alice"),
    "keep": lambda tracker, key: tracker.finish_all(Login, "alice", keep=key),
    "edit_shared": lambda tracker, key: tracker.edit_shared(key).__enter__(),
    "types": lambda tracker, key: SessionTracker(types=[key]).open(),  # type: ignore[list-item]
    "id": lambda tracker, key: tracker.get(Order, id=key),
    "misspelt": lambda tracker, key: tracker.get(Login, f" {key} "),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_secret_key_in_the_wrong_place_is_not_shown(call: str) -> None:
    with SessionTracker() as tracker:
        key = tracker.start(Order()).key
        with pytest.raises((TypeError, SessionTrackerError)) as raised:
            CALLS[call](tracker, key)
    assert key[8:-8] not in said(raised.value)


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_is_the_same_in_another_process(name: str) -> None:
    error = getattr(errors, name)("what happened")
    vars(error).update(dict.fromkeys(vars(error), 7))
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert str(again) == "what happened"
        assert vars(again) == vars(error)
