"""What was acknowledged is there when the store is opened again."""

from __future__ import annotations

import pytest

from ..contract import Capability, new_id
from ..operations import (
    FOREVER,
    Acquire,
    Address,
    Delete,
    Deleted,
    Finish,
    Found,
    Granted,
    Locked,
    Lost,
    Missing,
    Read,
    Release,
    Released,
    Renew,
    Saved,
    Start,
    Unknown,
    Write,
)
from .harness import LONG, Mode
from .subject import Subject

pytestmark = pytest.mark.needs(Capability.DURABLE)


@pytest.mark.roles("storage")
def test_sessions_outlive_their_backend(subject: Subject, mode: Mode, address: Address) -> None:
    store = subject.open(mode)
    store.expect(Start(address, new_id(), b"old"), Saved)
    done = store.expect(Finish(address, new_id(), FOREVER), Found)
    meta = store.expect(Start(address, new_id(), b"one", owner="alice", idle=LONG), Saved).meta
    meta = store.expect(Write(address, new_id(), meta.stamp, b"two\x00\xff"), Saved).meta
    store.close()
    store = subject.open(mode)
    assert store.expect(Read(address), Found) == Found(meta, b"two\x00\xff")
    assert store.expect(Read(address, finished=True), Found) == done
    store.close()


@pytest.mark.roles("locking")
def test_locks_and_tokens_outlive_their_backend(
    subject: Subject, mode: Mode, address: Address
) -> None:
    ticket = new_id()
    locks = subject.open(mode)
    token = locks.expect(Acquire(address, ticket, LONG, "web-1:7"), Granted).token
    locks.close()
    locks = subject.open(mode)
    assert locks.expect(Acquire(address, new_id(), LONG, queue=False), Locked).holder == "web-1:7"
    locks.expect(Renew(address, new_id(), token, LONG), Lost)
    locks.expect(Renew(address, ticket, token, LONG), Granted)
    locks.expect(Release(address, ticket), Released)
    locks.close()
    locks = subject.open(mode)
    assert locks.expect(Acquire(address, new_id(), LONG), Granted).token > token
    locks.close()


@pytest.mark.roles("storage")
def test_the_last_deed_outlives_its_backend(subject: Subject, mode: Mode, address: Address) -> None:
    store = subject.open(mode)
    store.expect(Start(address, new_id(), b"one"), Saved)
    delete = Delete(address, new_id())
    store.expect(delete, Deleted)
    store.close()
    store = subject.open(mode)
    assert store.expect(store.repeated(delete, 30_000), Deleted).existed
    store.expect(Start(address, new_id(), b"two"), Saved)
    store.expect(store.repeated(delete, 30_000), Unknown)
    store.expect(Read(address), Found)
    store.close()


@pytest.mark.roles("storage")
def test_what_expired_meanwhile_is_not_there(
    subject: Subject, mode: Mode, address: Address
) -> None:
    store = subject.open(mode)
    store.expect(Start(address, new_id(), b"one", idle=store.tick), Saved)
    store.elapse(1)
    store.close()
    store = subject.open(mode)
    store.expect(Read(address), Missing)
    store.close()
