"""Keys, ids, secret keys and owners as users give them, to every call of a tracker in memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from random import Random
from typing import Any

from sessiontracker import OwnedSession, Session, SessionTracker, keys

from .harness import Target
from .mutations import any_text, any_value, spoilt_text

__all__ = ["CALLS", "TARGETS", "Visit", "Work"]


class Work(Session, name="work"):
    text: str = ""


class Visit(OwnedSession[dict[str, int]], name="visit"):
    text: str = ""


Call = Callable[[SessionTracker, Any, dict[str, Any]], Any]


def _start(tracker: SessionTracker, kind: Any, named: dict[str, Any]) -> Any:
    return tracker.start(kind(text="x", **_made(named)))


def _get_or_start(tracker: SessionTracker, kind: Any, named: dict[str, Any]) -> Any:
    return tracker.get_or_start(kind(text="x", **_made(named)))


def _made(named: dict[str, Any]) -> dict[str, Any]:
    return {("key" if name == "id" else name): value for name, value in named.items()}


def _ask(tracker: SessionTracker, call: str, named: dict[str, Any], kind: Any, **more: Any) -> Any:
    """``call``, with the key where it belongs: it has no name."""
    key = [named["key"]] if "key" in named else []
    rest = {name: value for name, value in named.items() if name != "key"}
    return getattr(tracker, call)(kind, *key, **rest, **more)


def _of(name: str) -> Call:
    def call(tracker: SessionTracker, kind: Any, named: dict[str, Any]) -> Any:
        return _ask(tracker, name, named, kind)

    return call


def _update(tracker: SessionTracker, kind: Any, named: dict[str, Any]) -> Any:
    session = _ask(tracker, "get", named, kind)
    session.text += "y"
    return tracker.update(session)


def _lock(tracker: SessionTracker, kind: Any, named: dict[str, Any]) -> Any:
    with _ask(tracker, "lock", named, kind, lease="1s", wait="0s"):
        return None


def _get_locked(tracker: SessionTracker, kind: Any, named: dict[str, Any]) -> Any:
    with _ask(tracker, "get_locked", named, kind, lease="1s", wait="0s") as session:
        session.text += "z"


def _get_many(tracker: SessionTracker, kind: Any, named: dict[str, Any]) -> Any:
    owner = {"owner": named["owner"]} if "owner" in named else {}
    return tracker.get_many(kind, [named.get("key", named.get("id")), "other"], **owner)


def _of_owner(name: str) -> Call:
    def call(tracker: SessionTracker, kind: Any, named: dict[str, Any]) -> Any:
        return getattr(tracker, name)(kind, named.get("owner", "alice"))

    return call


def _edit_shared(tracker: SessionTracker, kind: Any, named: dict[str, Any]) -> Any:
    with tracker.edit_shared(kind, named.get("owner", "alice")) as shared:
        shared["n"] = shared.get("n", 0) + 1


def _rotate(tracker: SessionTracker, kind: Any, named: dict[str, Any]) -> Any:
    owner = {"owner": named["owner"]} if "owner" in named else {}
    return tracker.rotate(_ask(tracker, "get", named, kind), **owner)


def _scan(tracker: SessionTracker, kind: Any, named: dict[str, Any]) -> Any:
    return [list(tracker.scan(kind, finished=finished)) for finished in (False, True)]


def _finish_read(tracker: SessionTracker, kind: Any, named: dict[str, Any]) -> Any:
    return tracker.finish(_ask(tracker, "get", named, kind))


CALLS: dict[str, Call] = {
    "start": _start,
    "get_or_start": _get_or_start,
    "update": _update,
    "lock": _lock,
    "get_locked": _get_locked,
    "get_many": _get_many,
    "rotate": _rotate,
    "finish_read": _finish_read,
    **{name: _of(name) for name in ("get", "get_finished", "touch", "finish", "resume", "delete")},
    "scan": _scan,
}
"""Each call on the sessions of a type, given what names one."""

OWNERS_CALLS: dict[str, Call] = {
    "edit_shared": _edit_shared,
    **{
        name: _of_owner(name)
        for name in ("list_sessions", "count_sessions", "finish_all", "delete_all", "get_shared")
    },
}
"""Each call on an owner as a whole."""


class Names(Target):
    """A name is taken, refused, or names a session that is not there."""

    name = "names"
    share = 200_000
    may_grow = 4.0

    def open(self) -> None:
        self._tracker = self.using(ExitStack())
        self._few = 0

    def _begin_anew(self) -> SessionTracker:
        """Without what was started in vain, which a scan would find each time."""
        self._tracker.close()
        defaults = {"max_per_owner": 3, "idle_timeout": "1s"}
        return self._tracker.enter_context(SessionTracker({"defaults": defaults}))

    def attempt(self, random: Random) -> str:
        if not self._few:
            self._sessions, self._few = self._begin_anew(), 200
        self._few -= 1
        kind = random.choice((Work, Visit))
        known = kind(key="known", owner="alice") if kind is Visit else kind(key="known")
        secret = kind()
        for session in (known, secret):
            self._sessions.get_or_start(session)
        given = {random.choice(("key", "key", "id")): self._name(random, [known, secret])}
        if kind is Visit and random.random() < 0.7:
            given["owner"] = random.choice(("alice", self._name(random, [known, secret])))
        calls = {**CALLS, **OWNERS_CALLS} if kind is Visit else CALLS
        call = random.choice(list(calls))
        self.made = call, kind.__name__, given
        try:
            calls[call](self._sessions, kind, given)
        finally:
            if call != "rotate":
                self._sessions.delete(secret)
            self._parse(random, given)
        return call

    @staticmethod
    def _name(random: Random, sessions: list[Any]) -> Any:
        valid = [text for session in sessions for text in (session.key, session.id)]
        kind = random.randrange(10)
        if kind == 0:
            return any_value(random) or 0  # None names nothing: that is a TypeError
        if kind == 1:
            return random.choice(valid)
        if kind < 4:
            return any_text(random)
        if kind == 4:
            return keys.new_secret_key(random.choice(("", keys.new_scope())))
        return spoilt_text(random, random.choice(valid), valid)

    @staticmethod
    def _parse(random: Random, given: dict[str, Any]) -> None:
        """What parses names tells, and raises nothing of its own."""
        for text in given.values():
            if isinstance(text, str):
                for owned in (False, True):
                    keys.parse_secret_key(text, owned=owned)
                    keys.parse_id(text, owned=owned)


TARGETS = [Names]
