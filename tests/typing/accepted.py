"""What type checkers accept, and the types that they see: checked, never run."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any, ClassVar, assert_type

import msgspec

from sessiontracker.session import OwnedSession, Session


@dataclasses.dataclass
class Profile:
    name: str = ""


class Checkout(Session, name="checkout", schema=2):
    LIMIT: ClassVar[int] = 3
    items: list[str] = []
    paid: bool = False
    profile: Profile = Profile()
    tags: set[str] = msgspec.field(default_factory=set[str])
    notes: list[str] = dataclasses.field(default_factory=list[str])

    @classmethod
    def upgrade(cls, data: dict[str, Any], schema: int) -> dict[str, Any]:
        return data

    def pay(self) -> None:
        self.paid = True


class Gift(Checkout):
    message: str


class Login(OwnedSession[Profile]):
    device: str


class Phone(Login, name="phone"):
    number: int = 0


class SharesNothing(OwnedSession):
    device: str = ""


checkout = Checkout(key="order-42", items=["book"], paid=True, tags={"new"}, notes=[])
checkout.items.append("pen")
checkout.paid = False
assert_type(Checkout(), Checkout)
assert_type(checkout.items, list[str])
assert_type(checkout.key, str)
assert_type(checkout.id, str)
assert_type(checkout.owner, str)
assert_type(checkout.version, int)
assert_type(checkout.started_at, datetime | None)
assert_type(checkout.updated_at, datetime | None)
assert_type(checkout.expires_at, datetime | None)
assert_type(checkout.finished_at, datetime | None)

gift = Gift(key="g", message="for you", items=["book"])
assert_type(gift.message, str)
assert_type(gift.paid, bool)

login = Login(owner="alice", device="ios")
assert_type(login.owner, str)
assert_type(login.shared, Profile)
assert_type(Phone(device="ios", number=1, owner="alice", key="ios").shared, Profile)
assert_type(SharesNothing(owner="alice").shared, None)


def keep(session: Session) -> str:
    return session.key


keep(checkout)
keep(login)
