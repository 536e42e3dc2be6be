"""What a store holds is spoilt, and then everything is asked of it.

What cannot be read is an answer of ours, and stays as it is: whatever an operation is refused
with, nothing was done. Batches and all calls of a tracker meet it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from random import Random
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from sessiontracker import SessionTracker, keys
from sessiontracker.backend import new_id
from sessiontracker.codec import SessionCodec
from sessiontracker.operations import (
    FOREVER,
    Address,
    Broken,
    Failed,
    NoAnswer,
    Operation,
    Outcome,
    Ping,
    Reap,
    Scan,
    Unavailable,
)
from sessiontracker.testing.model import Walker

from .harness import Target
from .mutations import any_bytes, any_number, any_text
from .names import CALLS, OWNERS_CALLS, Visit, Work
from .opened import open_sync

__all__ = ["PLACES", "Contents", "Stored"]

Contents = dict[Any, Any]
"""All that a store holds, by name, in the store's own shapes."""

_IDS = {"id", "life", "write", "ticket", "token"}
_OWNER = "alice"
_SCOPE = keys.scope_of("visit", _OWNER)
PLACES = [
    Address("work", "", "kone"),
    Address("work", "", "ktwo"),
    Address("visit", _SCOPE, "kone"),
    Address("visit", _SCOPE, "ktwo"),
    Address("visit", _SCOPE, "kthree"),
]
_PAYLOAD = SessionCodec(Work).encode(Work(text="x" * 40))


class _Walker(Walker):
    """With payloads that a tracker can read."""

    def _payload(self) -> bytes:
        return _PAYLOAD


class _Scene(NamedTuple):
    """A store as a walk has left it, and what the walk knows of it."""

    contents: Contents
    walker: _Walker
    sent: int


class Stored(Target):
    """The contents of one store."""

    scenes = 12
    steps = 60
    """So many walks, each of so many operations, leave what is spoilt."""

    fair = True

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """A backend's table: its plugin, url and options."""

    @abstractmethod
    def contents(self) -> Contents:
        """All that is there."""

    @abstractmethod
    def put(self, contents: Contents) -> None:
        """Have nothing there but ``contents``."""

    @abstractmethod
    def spoil(self, random: Random, contents: Mapping[Any, Any]) -> Contents:
        """``contents``, not as they should be."""

    def changes(self, before: Contents, after: Contents) -> bool:
        """Whether anything was done between ``before`` and ``after``."""
        return before != after

    def open(self) -> None:
        table = self.config()
        given = {"backends": {"place": table}, "operation_timeout": "10s"}
        given["defaults"] = {"lock_wait": "0s", "max_per_owner": 3, "on_limit": "finish_oldest"}
        self.tracker = self.using(SessionTracker(given))
        self.backend = open_sync(table, self._left)
        self._scenes: dict[int, _Scene] = {}

    def _chosen(self, number: int) -> _Scene:
        """The scene of this number, or the next one that has left anything."""
        if number not in self._scenes:
            self._scenes[number] = self._scene(Random(number))
        scene = self._scenes[number]
        return scene if scene.contents else self._chosen((number + 1) % self.scenes)

    def _scene(self, random: Random) -> _Scene:
        self.put({})
        walker = _Walker(random, PLACES, True, True, self.fair, True, False, True)
        for _ in range(self.steps):
            operation = walker.draw(0, iter(())).operation
            [outcome] = self.backend.execute([operation])
            walker.learn(operation, outcome)
        return _Scene(self.contents(), walker, len(walker.sent))

    def attempt(self, random: Random) -> str:
        scene = self._chosen(random.randrange(self.scenes))
        strange = random.random() < 0.25
        spoilt = scene.contents if strange else self.spoil(random, scene.contents)
        self.put(spoilt)
        self.made = {
            name: value for name, value in spoilt.items() if value != scene.contents.get(name)
        }
        self.made = self.made, [name for name in scene.contents if name not in spoilt]
        if not strange and random.random() < 0.5:
            return self._call(random)
        return self._execute(random, scene, strange)

    def _call(self, random: Random) -> str:
        kind = random.choice((Work, Visit))
        named = {"key": random.choice(("one", "two"))}
        calls = CALLS
        if kind is Visit:
            named["owner"] = _OWNER
            calls = {**CALLS, **OWNERS_CALLS}
        call = random.choice(list(calls))
        self.made = (*self.made, call, kind.__name__)
        calls[call](self.tracker, kind, named)
        return call

    def _execute(self, random: Random, scene: _Scene, strange: bool) -> str:
        walker, asked = scene.walker, list[Any]()
        walker.random = random
        for _ in range(random.choice((1, 1, 1, 2, 5))):
            operation = walker.draw(0, iter(())).operation
            asked.append(_strange(random, operation) if strange else operation)
        del walker.sent[scene.sent :]
        if random.random() < 0.1:
            asked.append(
                random.choice(
                    (
                        Scan("work", random.random() < 0.5), Scan("visit", random.random() < 0.5),
                        Scan("work", cursor=str(new_id())), Reap(10), Ping(),
                    )
                )
            )  # fmt: skip
        self.made = (*self.made, asked)
        before = self.contents()
        outcomes = self.backend.execute(asked)
        if len(outcomes) != len(asked):
            raise AssertionError(f"{len(outcomes)} outcomes for {len(asked)} operations")
        for outcome in outcomes:
            self._check(outcome)
        if all(map(_is_refused, outcomes)) and all(isinstance(each, Operation) for each in asked):
            if self.changes(before, self.contents()):
                raise AssertionError(f"{outcomes}, and the store has changed")
        return type(outcomes[0]).__name__

    def _check(self, outcome: Outcome) -> None:
        if isinstance(outcome, (NoAnswer, Unavailable)):
            raise AssertionError(f"{outcome}: what is spoilt is taken for a store that is away")
        if isinstance(outcome, Failed) and not str(outcome.error):
            raise AssertionError(f"{outcome} says nothing")


def _strange(random: Random, operation: Any) -> Any:
    """``operation`` with numbers, texts and bytes in it that are of any size, and just allowed."""
    changed = {}
    for name in operation.__struct_fields__:
        value = getattr(operation, name)
        if random.random() < 0.5 or name == "scope":
            continue
        if isinstance(value, Struct):
            changed[name] = _strange(random, value)
        elif isinstance(value, bytes):
            changed[name] = (any_bytes(random) * random.choice((1, 1, 1_000)))[:500_000]
        elif isinstance(value, str):
            text = any_text(random).encode(errors="replace").decode().replace("\0", "")
            changed[name] = {"type": value}.get(name, f"k{text[:300]}")
        elif isinstance(value, int) and not isinstance(value, bool):
            most = 2**63 - 1 if name in _IDS else FOREVER
            least = 1 if name in ("id", "ticket") else 0  # which is nobody's
            changed[name] = max(least, min(abs(any_number(random)), most))
    return replace(operation, **changed)


def _is_refused(outcome: Outcome) -> bool:
    return isinstance(outcome, (Broken, Failed))
