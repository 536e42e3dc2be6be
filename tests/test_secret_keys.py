"""Secret keys: nothing shows one, the store has none, and none can be guessed or made up.

The full size of the guessing is ``nox -s guesses``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from copy import copy
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from sessiontracker import (
    AsyncSessionTracker,
    OwnedSession,
    Session,
    SessionEncodeError,
    SessionInProgressError,
    SessionLimitError,
    SessionLockedError,
    SessionNotFoundError,
    SharedStateError,
    StaleSessionError,
)
from sessiontracker.keys import new_scope, scope_of
from tests.stores import STORES, Place, place_of

GUESSES = int(os.environ.get("SESSIONTRACKER_GUESSES", "2000"))
AT_ONCE = 100


class Profile(msgspec.Struct):
    theme: str = "light"


class Login(OwnedSession[Profile]):
    device: Any = ""


class Order(Session):
    paid: Any = False


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place_of(request.param, tmp_path) as place:
        yield place


def encoded(raw: bytes) -> str:
    return "stk_" + urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(key: str) -> bytes:
    return urlsafe_b64decode(key[4:] + "=" * (-len(key[4:]) % 4))


# Nothing shows one -------------------------------------------------------------


class Witness:
    """Takes down all that anybody could see, and is an observer that fails."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.secrets: list[str] = []

    def notify(self, event: Any, /) -> None:
        self.seen.append(f"{event!r} {event}")
        raise RuntimeError("so that the event is logged")

    def sees(self, session: Any) -> Any:
        """A session with a secret key."""
        assert session.key.startswith("stk_")
        self.secrets.append(session.key)
        self.seen.append(f"{session!r} {session} {session.id}")
        return session

    async def refused(self, call: Awaitable[Any], kind: type[Exception]) -> None:
        with pytest.raises(kind) as raised:
            await call
        self.seen += traceback.format_exception(raised.value)
        error: BaseException | None = raised.value
        while error is not None:
            self.seen.append(f"{error!r} {error.args!r} {vars(error)!r}")
            error = error.__cause__ or error.__context__


async def live(tracker: AsyncSessionTracker, witness: Witness) -> None:
    """All that can become of sessions with secret keys, and some of what cannot."""
    refused, sees = witness.refused, witness.sees
    for first in (sees(await tracker.start(Order())), sees(await tracker.start(Login(owner="al")))):
        kind, key = type(first), first.key
        stale = await tracker.get(kind, key)
        await refused(tracker.start(copy(first)), SessionInProgressError)
        await tracker.update(first)
        await refused(tracker.update(stale), StaleSessionError)
        unfit = copy(first)
        setattr(unfit, unfit.__struct_fields__[0], object())
        await refused(tracker.update(unfit), SessionEncodeError)
        async with tracker.get_locked(kind, key) as held:
            witness.seen.append(repr(tracker.lock_of(held)))
            await refused(tracker.finish(kind, key), SessionLockedError)
        await refused(entered(tracker.lock(kind, id=key)), SessionNotFoundError)
        await tracker.finish(kind, key)
        witness.seen.append(repr(await tracker.get_finished(kind, key)))
        await tracker.resume(kind, key)
        witness.seen.append(repr(await tracker.get_many(kind, [first.id])))
        sees(await tracker.rotate(await tracker.get(kind, key)))
        await refused(tracker.get(kind, key), SessionNotFoundError)
        await refused(tracker.get(kind, id=key), SessionNotFoundError)
        witness.seen += [repr(session) async for session in tracker.scan(kind)]

    visitor = sees(await tracker.start(Login(device="library")))
    await refused(tracker.finish_all(Login, "al", keep=visitor.key), SessionNotFoundError)
    mine = sees(await tracker.rotate(visitor, owner="al"))
    await refused(tracker.start(Login(owner="al")), SessionLimitError)
    await tracker.update_shared(Login, "al", lambda profile: Profile("dark"))
    mine = await tracker.get(Login, mine.key)
    mine.shared.theme = "light"
    await refused(tracker.update(mine), SharedStateError)
    witness.seen.append(repr([*await tracker.list_sessions(Login, "al"), mine.shared]))
    await refused(tracker.get(Login, mine.key, owner="bob"), SessionNotFoundError)
    assert await tracker.finish_all(Login, "al", keep=mine.key) == 1


async def entered(block: Any) -> None:
    async with block:
        pass


async def test_nothing_shows_a_secret_key(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    witness = Witness()
    config = {**place.config(), "sessions": {"login": {"max_per_owner": 2}}}
    async with AsyncSessionTracker(config, observers=[witness]) as tracker:
        await live(tracker, witness)
        witness.seen.append(f"{tracker!r} {tracker}")
        dumps = [place.dump()]
    dumps.append(place.dump())

    shown = "\n".join([*witness.seen, caplog.text])
    for name in ("SessionStarted", "SessionRotated", "OwnerLoggedOut", "so that the event is"):
        assert name in shown
    assert len(set(witness.secrets)) == 6
    for secret in witness.secrets:
        raw = decoded(secret)[-32:]
        tail = secret[-41:-1]  # what of a spelling is the same wherever it begins
        for spelling in (tail, tail.swapcase(), raw.hex(), repr(raw)[2:-1]):
            assert spelling not in shown
        for dump in dumps:
            for stored in (raw, tail.encode(), raw.hex().encode(), raw.hex().upper().encode()):
                assert stored not in dump
    for login in ("al", "library", "dark"):  # what they do hold
        assert login.encode() in dumps[1]


# None can be made up -----------------------------------------------------------


class Guesser:
    """Makes up keys out of genuine ones."""

    def __init__(self, seed: int, genuine: dict[type[Any], list[str]]) -> None:
        self._random = Random(seed)
        self._genuine = genuine
        self._ways: list[Callable[[type[Any], str], str]] = [
            self._another_letter,
            self._another_bit,
            self._another_secret,
            self._another_scope,
            self._another_length,
        ]

    def guess(self) -> tuple[type[Any], str]:
        kind = self._random.choice([Order, Login])
        genuine = self._genuine[kind]
        key = self._random.choice(self._ways)(kind, self._random.choice(genuine))
        return (kind, key) if key not in genuine else self.guess()

    def _another_letter(self, kind: type[Any], key: str) -> str:
        at = self._random.randrange(4, len(key))
        return key[:at] + self._random.choice("ABYZabyz0189-_=. ä") + key[at + 1 :]

    def _another_bit(self, kind: type[Any], key: str) -> str:
        raw = bytearray(decoded(key))
        raw[self._random.randrange(len(raw))] ^= 1 << self._random.randrange(8)
        return encoded(raw)

    def _another_secret(self, kind: type[Any], key: str) -> str:
        return encoded(decoded(key)[:-32] + self._random.randbytes(32))

    def _another_scope(self, kind: type[Any], key: str) -> str:
        """That of somebody who is not there, or of nobody, or another type's."""
        somebody = scope_of("login", f"owner {self._random.random()}")
        scope = decoded("stk_" + self._random.choice([new_scope(), somebody]))
        return encoded(scope + decoded(key)[-32:])

    def _another_length(self, kind: type[Any], key: str) -> str:
        return self._random.choice([key[:-1], key + "A", key + "=", key[:4], key[:4] + key])


async def get_many(tracker: AsyncSessionTracker, kind: type[Any], key: str) -> object:
    return await tracker.get_many(kind, [key])


async def get_locked(tracker: AsyncSessionTracker, kind: type[Any], key: str) -> object:
    async with tracker.get_locked(kind, key) as session:
        return session


CALLS: list[Callable[[AsyncSessionTracker, type[Any], str], Awaitable[object]]] = [
    *[AsyncSessionTracker.get] * 3,
    AsyncSessionTracker.touch,
    AsyncSessionTracker.finish,
    AsyncSessionTracker.get_finished,
    AsyncSessionTracker.resume,
    AsyncSessionTracker.delete,
    get_many,
    get_locked,
]
QUIET = {AsyncSessionTracker.delete, get_many}
"""Those that say so by what they return."""


async def test_a_key_that_was_made_up_is_not_found_and_leaves_nothing(place: Place) -> None:
    async with AsyncSessionTracker(place.config()) as tracker:
        orders = [await tracker.start(Order()) for _ in range(5)]
        logins = [await tracker.start(Login(owner=f"owner {number % 2}")) for number in range(5)]
        await tracker.update_shared(Login, "owner 0", lambda _: Profile("dark"))
        before = place.count()
        genuine = {Order: [each.key for each in orders], Login: [each.key for each in logins]}
        guesser = Guesser(1, genuine)
        said: Counter[str] = Counter()

        async def use(number: int) -> None:
            kind, key = guesser.guess()
            call = CALLS[number % len(CALLS)]
            try:
                found = await call(tracker, kind, key)
            except SessionNotFoundError:
                said["refused"] += 1
            else:
                said["refused" if call in QUIET and not found else f"{key} was accepted"] += 1

        for first in range(0, GUESSES, AT_ONCE):
            await asyncio.gather(*map(use, range(first, min(GUESSES, first + AT_ONCE))))
        assert said == {"refused": GUESSES}
        assert place.count() == before
        for kind, keys in genuine.items():
            for key in keys:
                assert (await tracker.get(kind, key)).version == 1
