"""What tests of owners on a server begin with."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from sessiontracker.contract import new_id
from sessiontracker.operations import Address, Start
from sessiontracker_sql._sync.backend import ServerBackend

from .conftest import Admin

__all__ = ["literal", "start"]


def start(backend: ServerBackend, owner: Address, key: str, payload: bytes = b"x") -> Any:
    operation = Start(replace(owner, key=key), new_id(), payload, "alice", idle=60_000)
    [outcome] = backend.execute([operation])
    return outcome


def literal(admin: Admin, text: str) -> str:
    hex = text.encode().hex()
    return f"'\\x{hex}'" if admin.is_postgresql else f"X'{hex}'"
