"""A cluster's slots: which of them a key is in, who has which, and where a node sends us."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from redis.cluster import parse_cluster_slots
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import InvalidResponse

from .failures import code_of

__all__ = ["SLOTS", "Endpoint", "Range", "Redirection", "ranges", "redirection", "slot_of"]

SLOTS = REDIS_CLUSTER_HASH_SLOTS
Endpoint = tuple[str, int]
"""The host and the port of a node."""

_TARGET = re.compile(r"(?<!\S)(\d{1,5}) (\S*):(\d{1,5})\s*$", re.ASCII)


class Range(NamedTuple):
    """The slots from ``first`` to ``last`` are ``primary``'s."""

    first: int
    last: int
    primary: Endpoint


class Redirection(NamedTuple):
    """Nothing was done: ``slot`` is at ``endpoint``; if ``asking``, this one time only."""

    asking: bool
    slot: int
    endpoint: Endpoint


def slot_of(name: str) -> int:
    """The slot of the key ``name``: that of its hash tag."""
    return key_slot(name.encode())


def ranges(reply: Any, asked: Endpoint) -> list[Range]:
    """What the node ``asked`` says to CLUSTER SLOTS, in the order of the slots.

    Raises: InvalidResponse.
    """
    try:
        found = parse_cluster_slots(reply, current_host=asked[0])
        known = sorted(
            Range(int(first), int(last), _endpoint(servers["primary"], asked))
            for (first, last), servers in found.items()
        )
    except Exception as error:  # it is made of what may be anything
        raise InvalidResponse(
            f"CLUSTER SLOTS is answered with what it cannot be: {error!r}"
        ) from None
    for first, last, _ in known:
        if not 0 <= first <= last < SLOTS:
            raise InvalidResponse(f"CLUSTER SLOTS says that slots are from {first} to {last}")
    return known


def redirection(reply: Any, asked: Endpoint) -> Redirection | None:
    """Where the node ``asked`` sends us, if ``reply`` is that."""
    if not isinstance(reply, Exception) or (kind := code_of(reply)) not in ("MOVED", "ASK"):
        return None
    target = _TARGET.search(str(reply))
    if target is None:
        return None
    slot, host, port = target.groups()
    if int(slot) >= SLOTS:
        return None
    return Redirection(kind == "ASK", int(slot), _endpoint((host, port), asked))


def _endpoint(named: tuple[str, Any], asked: Endpoint) -> Endpoint:
    """A node that does not know its own name is where it was asked."""
    host, port = named
    return (host if host not in ("", "?") else asked[0]), int(port)
