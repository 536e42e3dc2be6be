"""What type checkers refuse: checked, never run.

Each wrong line says so. One that a checker no longer finds wrong is an error of
its own: mypy, strict, and pyright, by the next line, refuse a needless ignore.
"""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from sessiontracker.session import OwnedSession, Session


class Checkout(Session):
    items: list[str] = []
    paid: bool = False


class Login(OwnedSession[int]):
    device: str


Checkout("order-42")  # type: ignore[call-arg]
Checkout(itmes=[])  # type: ignore[call-arg]
Checkout(paid="yes")  # type: ignore[arg-type]
Checkout(key=42)  # type: ignore[arg-type]
Checkout(owner="alice")  # type: ignore[call-arg]
Checkout(version=1)  # type: ignore[call-arg]
Login()  # type: ignore[call-arg]
Login(device="ios", owner=1)  # type: ignore[arg-type]

checkout = Checkout()
checkout.paid = "yes"  # type: ignore[assignment]
checkout.piad = True  # type: ignore[attr-defined]
checkout.key = "other"  # type: ignore[misc]
checkout.id = "other"  # type: ignore[misc]
checkout.version = 1  # type: ignore[misc]
checkout.expires_at = None  # type: ignore[misc]
print(checkout.shared)  # type: ignore[attr-defined]

login = Login(device="ios")
login.owner = "bob"  # type: ignore[misc]
login.shared = 1  # type: ignore[misc]


class Misnamed(Session, nmae="x"):  # type: ignore[call-arg]
    pass


class Misnumbered(Session, schema="2"):  # type: ignore[arg-type]
    pass


class Reserved(Session):
    key: str = ""  # type: ignore[misc]
