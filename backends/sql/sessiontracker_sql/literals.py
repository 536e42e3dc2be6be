"""MariaDB and MySQL: values within a statement, which nothing can be smuggled into; the clock."""

from __future__ import annotations

from collections.abc import Sequence

from .optimistic import Place
from .talk import ServerError

__all__ = ["KEY", "any_of", "at", "literal", "ms", "text", "us"]

KEY = ("`type`", "`scope`", "`key`")


def us(moment: str) -> str:
    return f"CAST(UNIX_TIMESTAMP({moment}) * 1000000 AS SIGNED)"


def ms(moment: str) -> str:
    return f"CAST(UNIX_TIMESTAMP({moment}) * 1000 AS SIGNED)"


def literal(value: bytes | int | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if not -(2**63) <= value < 2**63:
        raise ServerError("1264", f"{value} is out of a column's range")
    return str(value)


def text(name: str) -> str:
    return f"CONVERT(X'{name.encode().hex()}' USING utf8mb4)"


def at(place: Sequence[bytes]) -> str:
    """A condition on as much of the primary key as ``place`` has."""
    return " AND ".join(f"{name} = {literal(part)}" for name, part in zip(KEY, place, strict=False))


def any_of(places: Sequence[Place]) -> str:
    """A condition that the primary key is looked up by: (a, b, c) IN (…) is not, everywhere."""
    within: dict[tuple[bytes, bytes], list[bytes]] = {}
    for type, scope, key in places:
        within.setdefault((type, scope), []).append(key)
    return " OR ".join(
        f"({at(scope)} AND `key` IN ({', '.join(map(literal, keys))}))"
        for scope, keys in within.items()
    )
