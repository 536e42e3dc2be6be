"""Calls within a transaction of the application's own: all or nothing."""

from __future__ import annotations

import pytest

from sessiontracker import (
    SessionActiveError,
    SessionFinishedError,
    SessionInProgressError,
    SessionLimitError,
    SessionNotFoundError,
    StaleSessionError,
)

from ..callers import Application, Checkout, Login, UndoError


async def test_an_order_and_its_session_change_together(application: Application) -> None:
    tracker = application.tracker
    checkout = await tracker.start(Checkout(key="order-42"))
    async with application.begin() as connection:
        await application.order(connection, "order-42")
        checkout.paid = True
        assert await application.bind(connection).update(checkout) is checkout
        assert not (await tracker.get(Checkout, "order-42", touch=False)).paid
    assert checkout.version == 2
    assert (await tracker.get(Checkout, "order-42")).paid
    assert await application.ordered() == ["order-42"]


async def test_or_not_at_all_and_what_was_saved_is_stale(application: Application) -> None:
    tracker = application.tracker
    checkout = await tracker.start(Checkout(key="order-42"))
    with pytest.raises(UndoError):
        async with application.begin() as connection:
            await application.order(connection, "order-42")
            checkout.paid = True
            await application.bind(connection).update(checkout)
            raise UndoError
    assert await application.ordered() == []
    other = await tracker.get(Checkout, "order-42")
    assert (other.paid, other.version) == (False, 1)
    with pytest.raises(StaleSessionError, match="in a transaction that was rolled back"):
        await tracker.update(checkout)
    await tracker.update(other)
    assert other.version == checkout.version
    with pytest.raises(StaleSessionError):  # the number came again, the write did not
        await tracker.update(checkout)


async def test_what_was_started_in_vain_is_not_there(application: Application) -> None:
    checkout, login = Checkout(key="order-42"), Login(owner="alice")
    with pytest.raises(UndoError):
        async with application.begin() as connection:
            bound = application.bind(connection)
            await bound.start(checkout)
            await bound.start(login)
            assert await bound.count_sessions(Login, "alice") == 1
            raise UndoError
    for session in (checkout, login):
        with pytest.raises(SessionNotFoundError):
            await application.tracker.update(session)
    assert await application.tracker.count_sessions(Login, "alice") == 0
    await application.tracker.start(Checkout(key="order-42"))


async def test_what_was_started_in_vain_can_be_started_again(application: Application) -> None:
    sessions = [Checkout(key="order-42"), Checkout(), Login(owner="alice")]
    for end in ("rollback", "commit"):
        async with application.connect() as connection:
            for session in sessions:
                await application.bind(connection).start(session)
            await getattr(connection, end)()
    for session in sessions:
        session = await application.tracker.get(type(session), session.key)
        assert (await application.tracker.update(session)).version == 2


async def test_all_calls_of_a_life_in_one_transaction(application: Application) -> None:
    async with application.begin() as connection:
        bound = application.bind(connection)
        checkout = await bound.start(Checkout(key="order-42"))
        assert (await bound.get_or_start(Checkout(key="order-42"))).id == checkout.id
        other = await bound.get_or_start(Checkout(key="order-43"))
        assert set(await bound.get_many(Checkout, ["order-43", "order-42", "no"])) == {
            "order-42",
            "order-43",
        }
        await bound.touch(other)
        with pytest.raises(SessionInProgressError):
            await bound.start(Checkout(key="order-42"))
        checkout.count += 1
        await bound.finish(checkout)
        with pytest.raises(SessionFinishedError):
            await bound.get(Checkout, "order-42")
        assert (await bound.get_finished(checkout)).count == 1
        await bound.resume(checkout)
        with pytest.raises(SessionActiveError):
            await bound.get_finished(checkout)
        key = (await bound.rotate(other)).key
        with pytest.raises(SessionNotFoundError):
            await bound.get(Checkout, "order-43")
        gone = await bound.start(Checkout())
        assert await bound.delete(gone)
        assert not await bound.delete(gone)
    tracker = application.tracker
    assert (await tracker.get(Checkout, "order-42")).version == 3
    assert (await tracker.get(Checkout, key)).version == 2
    with pytest.raises(SessionNotFoundError):
        await tracker.get(Checkout, "order-43")


async def test_an_owners_calls_in_one_transaction(application: Application) -> None:
    tracker = application.tracker
    phone = await tracker.start(Login(owner="alice", device="phone"))
    async with application.begin() as connection:
        bound = application.bind(connection)
        laptop = await bound.start(Login(owner="alice", device="laptop"))
        with pytest.raises(SessionLimitError):
            await bound.start(Login(owner="alice", device="tablet"))
        assert {each.device for each in await bound.list_sessions(laptop)} == {"laptop", "phone"}
        old = laptop.key
        await bound.rotate(laptop)
        with pytest.raises(SessionNotFoundError):
            await bound.get(Login, old)
        visitor = await bound.start(Login(device="library"))
        assert await bound.finish_all(Login, "alice", keep=laptop) == 1
        await bound.rotate(visitor, owner="alice")
        assert await bound.count_sessions(Login, "alice") == 2
    logins = await tracker.list_sessions(Login, "alice")
    assert {each.device for each in logins} == {"library", "laptop"}
    with pytest.raises(SessionFinishedError):
        await tracker.get(Login, phone.key)
    with pytest.raises(UndoError):
        async with application.begin() as connection:
            assert await application.bind(connection).delete_all(Login, "alice") == 3
            raise UndoError
    assert await tracker.count_sessions(Login, "alice") == 2


async def test_a_session_of_sqlalchemys(application: Application) -> None:
    async with application.session() as session:
        bound = application.bind(session)
        for n in range(2):  # it has another connection, perhaps, in each transaction
            await application.order(session, f"order-{n}")
            await bound.start(Checkout(key=f"order-{n}"))
            await session.commit()
            assert application.observed.told() == ["SessionStarted"]
        await application.order(session, "order-2")
        await bound.start(Checkout(key="order-2"))
        await session.rollback()
        assert application.observed.told() == []
    keys = [f"order-{n}" for n in range(3)]
    assert sorted(await application.tracker.get_many(Checkout, keys)) == keys[:2]
    assert await application.ordered() == keys[:2]


async def test_several_trackers_on_one_connection(application: Application) -> None:
    async with application.connect() as connection:
        one, other = application.bind(connection), application.bind(connection)
        checkout = await one.start(Checkout(key="order-42"))
        assert (await other.get(Checkout, "order-42")).version == 1
        await other.update(checkout)
        await connection.commit()
        await one.finish(checkout)
        await connection.commit()
    assert (await application.tracker.get_finished(Checkout, "order-42")).version == 3
