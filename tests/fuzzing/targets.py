"""All targets, by name."""

from __future__ import annotations

from . import (
    answers,
    blobs,
    configurations,
    lying,
    names,
    notifications,
    payloads,
    redis_store,
    sql_store,
)
from .harness import Target

__all__ = ["TARGETS"]

_MODULES = (
    payloads,
    names,
    configurations,
    blobs,
    redis_store,
    answers,
    lying,
    sql_store,
    notifications,
)
TARGETS: dict[str, type[Target]] = {
    target.name: target for module in _MODULES for target in module.TARGETS
}
