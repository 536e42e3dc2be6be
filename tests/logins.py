"""Logins of users who have several devices, as an application starts them."""

from __future__ import annotations

from typing import Any

import msgspec

from sessiontracker import (
    OwnedSession,
)
from tests.clock import Clock

__all__ = ["DAY", "Login", "Profile", "Seat", "devices", "logins"]

DAY = 86_400


class Profile(msgspec.Struct):
    name: str = ""
    tags: list[str] = []


class Login(OwnedSession[Profile]):
    device: str = ""


class Seat(OwnedSession):
    number: int = 0


async def logins(tracker: Any, clock: Clock, *devices: str, owner: str = "alice") -> list[Login]:
    """A session for each device, a second apart."""
    started = []
    for device in devices:
        started.append(await tracker.start(Login(owner=owner, device=device)))
        clock.move(1)
    return started


def devices(sessions: list[Login]) -> list[str]:
    return [session.device for session in sessions]
