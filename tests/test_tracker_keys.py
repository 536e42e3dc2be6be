"""Keys of one's own, secret keys and ids: what names a session, and what must never be seen."""

from __future__ import annotations

import base64
import logging
import string
from typing import Any

import pytest

from sessiontracker import (
    AsyncSessionTracker,
    InvalidKeyError,
    OwnedSession,
    SessionActiveError,
    SessionFinishedError,
    SessionInProgressError,
    SessionLockedError,
    SessionNotFoundError,
    SessionTrackerError,
    StaleSessionError,
)
from sessiontracker.keys import id_of, parse_id
from tests.trackers import ALL, FUSED, Checkout, opened


class Login(OwnedSession):
    pass


@pytest.fixture(params=ALL, ids="-".join)
async def tracker(request: pytest.FixtureRequest) -> Any:
    async with opened(request.param) as tracker:
        yield tracker


@pytest.mark.parametrize("scope", ["", "A" * 22, "!", "AAAA", "a" * 21, "a" * 22, "é"])
@pytest.mark.parametrize(
    "stored",
    [
        "", "da", "d", "d!", "xorder-42", "k", "kstk_a", f"ksti_{'A' * 43}", f"d{'A' * 42}B",
        f"d{'A' * 60}",
    ],
)  # fmt: skip
def test_what_no_session_of_ours_is_stored_as_has_nobodys_id(scope: str, stored: str) -> None:
    """Not even one that looks like another's."""
    id = id_of(scope, stored)
    assert id.startswith("sti_")
    assert parse_id(id, owned=bool(scope)) is None


async def test_a_key_that_is_not_given_is_secret_and_made_at_the_start(tracker: Any) -> None:
    given = Checkout()
    assert (given.key, given.id) == ("", "")
    started = await tracker.start(given)
    assert started.key.startswith("stk_")
    assert len(base64.urlsafe_b64decode(started.key[4:] + "=")) * 8 == 256
    assert started.id.startswith("sti_")
    assert (await tracker.get(Checkout, started.key)).id == started.id
    assert (await tracker.start(Checkout())).key != started.key


async def test_an_id_names_a_session_wherever_a_key_does(tracker: Any) -> None:
    started = await tracker.start(Checkout(items=["book"]))
    found = await tracker.get(Checkout, id=started.id)
    assert (found.items, found.key, found.id) == (["book"], "", started.id)
    await tracker.touch(Checkout, id=started.id)
    async with tracker.get_locked(Checkout, id=started.id) as locked:
        locked.paid = True
    async with tracker.lock(Checkout, id=started.id):
        pass
    assert (await tracker.finish(Checkout, id=started.id)).paid
    assert (await tracker.get_finished(Checkout, id=started.id)).paid
    assert (await tracker.resume(Checkout, id=started.id)).paid
    assert await tracker.delete(Checkout, id=started.id) is True
    with pytest.raises(SessionNotFoundError):
        await tracker.get(Checkout, started.key)


@pytest.mark.parametrize("type", [Checkout, Login])
async def test_an_id_is_text(type: Any) -> None:
    async with AsyncSessionTracker() as tracker:
        for id in (7, b"sti_", [], 0.5):
            with pytest.raises(InvalidKeyError, match="id is text"):
                await tracker.get(type, id=id)


@pytest.mark.parametrize("own", ["", "\ud800", "k" * 1025, "stk_x"])
async def test_an_id_with_a_key_that_nobody_can_have_is_not_found(own: str) -> None:
    async with AsyncSessionTracker() as tracker:
        login = await tracker.start(Login(key="ios", owner="alice"))
        with pytest.raises(SessionNotFoundError, match="pass it as id="):
            await tracker.get(Login, login.id)
        with pytest.raises(SessionNotFoundError):
            await tracker.get(Login, id=login.id.removesuffix("ios") + own)


async def test_with_a_key_of_one_s_own_the_id_is_the_key(tracker: Any) -> None:
    await tracker.start(Checkout(key="order-42"))
    found = await tracker.get(Checkout, id="order-42")
    assert (found.key, found.id) == ("order-42", "order-42")


async def test_an_id_is_never_a_key(tracker: Any) -> None:
    started = await tracker.start(Checkout())
    with pytest.raises(SessionNotFoundError, match="pass it as id="):
        await tracker.get(Checkout, started.id)
    with pytest.raises(SessionNotFoundError):
        await tracker.finish(Checkout, "stk_" + started.id[4:])
    assert await tracker.delete(Checkout, started.id) is False
    assert (await tracker.get(Checkout, started.key)).version == 1


async def test_a_secret_key_is_never_an_id(tracker: Any) -> None:
    started = await tracker.start(Checkout())
    with pytest.raises(SessionNotFoundError) as refused:
        await tracker.get(Checkout, id=started.key)
    assert started.key not in str(refused.value)
    with pytest.raises(SessionNotFoundError):
        await tracker.get(Checkout, id="sti_" + started.key[4:])


@pytest.mark.parametrize("key", ["stk_mine", "sti_mine", "stk_", "", "k" * 1025, "ä" * 513])
async def test_a_key_that_no_session_can_have_is_refused_by_start(key: str) -> None:
    with pytest.raises(InvalidKeyError, match="key"):
        Checkout(key=key)


@pytest.mark.parametrize("key", ["\ud800", "", "k" * 1025])
async def test_a_key_that_no_session_can_have_is_refused_everywhere(tracker: Any, key: str) -> None:
    for call in (tracker.get, tracker.touch, tracker.finish, tracker.delete):
        with pytest.raises(InvalidKeyError):
            await call(Checkout, key)
        with pytest.raises(InvalidKeyError):
            await call(Checkout, id=key)
    with pytest.raises(InvalidKeyError, match=r"str\(key\)"):
        await tracker.get(Checkout, 42)


@pytest.mark.parametrize(
    "key",
    ["k" * 1024, "st", "s", "{a}{b}", "a:b/c d\n\0", "ключ-🔑", "ｋ", "'; DROP TABLE", "%_*?"],
)
async def test_odd_keys_are_keys(tracker: Any, key: str) -> None:
    await tracker.start(Checkout(key=key, items=[key]))
    await tracker.start(Checkout(key="other"))
    assert (await tracker.get(Checkout, key)).items == [key]
    assert list(await tracker.get_many(Checkout, [key])) == [key]
    async with tracker.get_locked(Checkout, key) as session:
        session.paid = True
    assert (await tracker.finish(Checkout, id=key)).key == key


async def test_a_secret_key_misspelt_is_a_session_that_is_not_found(tracker: Any) -> None:
    key = (await tracker.start(Checkout())).key
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    other_spelling = letters[letters.index(key[-1]) + 1]
    for wrong in (
        key[:-1],
        key + "=",
        key + "A",
        key[:-1] + other_spelling,  # the same 256 bits, spelt otherwise
        key[:10] + "\n" + key[10:],
        key[:10] + " " + key[10:],
        key.swapcase(),
        "stk_",
        "stk_" + key,
        key[:4] + "ä" + key[5:],
    ):
        with pytest.raises(SessionNotFoundError):
            await tracker.get(Checkout, wrong)
        assert await tracker.get_many(Checkout, [wrong]) == {}
    with pytest.raises(InvalidKeyError):  # this one is of nobody's shape but one's own
        Checkout(key=key[:-1])


async def test_a_session_listed_by_its_id_cannot_be_started_again(tracker: Any) -> None:
    await tracker.start(Checkout())
    (listed,) = [session async for session in tracker.scan(Checkout)]
    await tracker.delete(listed)
    with pytest.raises(InvalidKeyError, match="without its secret key"):
        await tracker.start(listed)


@pytest.mark.parametrize("tracker", FUSED, ids="-".join, indirect=True)
async def test_a_secret_key_is_seen_nowhere(tracker: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []

    async def refused(call: Any, kind: type[Exception]) -> None:
        with pytest.raises(kind) as raised:
            await call
        error: BaseException | None = raised.value
        while error is not None:
            seen.append(f"{error!s} {error!r} {error.args!r} {vars(error)!r}")
            error = error.__cause__ or error.__context__

    session = await tracker.start(Checkout())
    key = session.key
    stale = await tracker.get(Checkout, key)
    await tracker.update(session)
    seen.append(repr(session) + str(session))
    await refused(tracker.start(Checkout.__replace__(session)), SessionInProgressError)
    await refused(tracker.update(stale), StaleSessionError)
    await refused(tracker.resume(Checkout, key), SessionActiveError)
    await refused(tracker.get(Checkout, id=key), SessionNotFoundError)
    async with tracker.get_locked(Checkout, key) as held:
        lock = tracker.lock_of(held)
        seen.append(repr(lock) + repr(held))
        await refused(tracker.finish(Checkout, key), SessionLockedError)
        await refused(_entered(tracker.lock(Checkout, key, wait=0.05)), SessionTrackerError)
    await refused(_checked(lock), SessionTrackerError)
    await tracker.finish(Checkout, key)
    await refused(tracker.get(Checkout, key), SessionFinishedError)
    await tracker.delete(Checkout, key)
    await refused(tracker.get(Checkout, key), SessionNotFoundError)
    await refused(tracker.get(Checkout, key[:-1]), SessionNotFoundError)
    seen.append(caplog.text)
    assert len(seen) > 10
    assert not [text for text in seen if key in text or key[4:-1] in text]


async def _entered(block: Any) -> None:
    async with block:
        pass


async def _checked(lock: Any) -> None:
    lock.check()


async def test_the_store_never_sees_a_secret_key() -> None:
    class Typed(Checkout, name="typed"):
        pass

    async with AsyncSessionTracker() as tracker:
        session = await tracker.start(Typed())
        async with tracker.get_locked(Typed, session.key) as held:
            held.count += 1
        await tracker.finish(Typed, session.key)
        (asker,) = tracker._askers.values()
        stored = repr(asker.backend._store.slots)  # type: ignore[attr-defined]
        assert "typed" in stored
        assert session.key not in stored
        assert session.key[4:] not in stored
