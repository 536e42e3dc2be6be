"""What a server says of itself, and whether it can be used."""

from __future__ import annotations

import logging

from sessiontracker.backend import BackendError

__all__ = ["check", "identity"]

_OLDEST = (6, 2)
_log = logging.getLogger("sessiontracker.redis")


def check(info: bytes, where: str) -> bool:
    """Judge the reply to INFO. Whether it is a node of a cluster. Raises: BackendError."""
    said = _said(info)
    version = said.get("redis_version", "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers and numbers < _OLDEST:
        raise BackendError(
            f"{where}: the server is Redis {version}: 6.2 is the oldest that can be used"
        )
    policy = said.get("maxmemory_policy", "")
    if policy.startswith(("allkeys-", "volatile-")):  # nearly all of our keys have a timeout
        _log.warning(
            "%s: the server's maxmemory-policy is %s, so that it may drop sessions and locks "
            "at any time: set it to noeviction",
            where,
            policy,
        )
    return said.get("cluster_enabled") == "1"


def identity(info: object) -> tuple[str, bool]:
    """What the server that says ``info`` is called until it ends, and whether it is a primary."""
    said = _said(info) if isinstance(info, bytes) else {}  # this user may not ask
    return said.get("run_id", "")[:12], said.get("role", "master") == "master"


def _said(info: bytes) -> dict[str, str]:
    lines = info.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
