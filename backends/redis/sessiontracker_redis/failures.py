"""What redis-py's errors mean: nothing done, refused, or unknown; and what to do about it."""

from __future__ import annotations

import re
from typing import Any

from redis.exceptions import AuthenticationError, AuthorizationError, RedisError

from sessiontracker.backend import BackendError, BackendUnavailableError, operations

__all__ = ["is_stale_connection", "needs_script", "outcome_of", "raised"]

# What an error begins with, or holds where it comes out of a script (before Redis 7).
_WORD = re.compile(r"\b([A-Z]{4,}|OOM|ASK)\b")

_PASSING = {
    "BUSY": "another script blocks the server: end it with SCRIPT KILL",
    "CLUSTERDOWN": "the cluster is down: bring its missing nodes back",
    "LOADING": "the server is loading its data: wait until it has",
    "MASTERDOWN": "this replica has lost its primary: bring it back, or name the primary",
    "MISCONF": "the server cannot save to its disk, so it takes no writes: free some space there",
    "NOREPLICAS": "too few replicas are there for the server to take writes: bring them back",
    "OOM": "the server's memory is full: raise its maxmemory, or end some sessions",
    "READONLY": "this server is a replica: name the primary in the url",
    "TRYAGAIN": "the slot is being moved",
}
_LASTING = {
    "ASK": "this is a node of a Redis Cluster, which this version does not support",
    "CROSSSLOT": "this is a Redis Cluster, which this version does not support",
    "MOVED": "this is a node of a Redis Cluster, which this version does not support",
    "NOAUTH": "the server wants a password: give username and password, or write them in the url",
    "NOPERM": "this user may not: extend its ACL as the README of sessiontracker-redis shows",
    "WRONGPASS": "the username or the password is wrong: correct them",
}
_FOREIGN = {"BROKEN", "WRONGTYPE"}

# After these, another connection may reach a server that can.
_ELSEWHERE = {"LOADING", "MASTERDOWN", "READONLY", "NOAUTH"}


def _word(error: BaseException) -> str:
    """The code of the server's error, wherever it stands."""
    if isinstance(error, AuthenticationError):
        return "WRONGPASS" if "invalid" in str(error).lower() else "NOAUTH"
    if isinstance(error, AuthorizationError):
        return "NOPERM"
    if "ACL failure" in str(error):  # so it comes out of a script
        return "NOPERM"
    kind = _BY_TYPE.get(type(error).__name__)
    if kind is not None:
        return kind
    words = {*_PASSING, *_LASTING, *_FOREIGN, "NOSCRIPT"}
    return next((word for word in _WORD.findall(str(error)) if word in words), "")


# redis-py takes the code away from the errors that it has a class for.
_BY_TYPE = {
    "AskError": "ASK",
    "BusyLoadingError": "LOADING",
    "ClusterCrossSlotError": "CROSSSLOT",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "MovedError": "MOVED",
    "NoPermissionError": "NOPERM",
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "TryAgainError": "TRYAGAIN",
}


def needs_script(reply: Any) -> bool:
    """Whether the server did not know the script."""
    return isinstance(reply, RedisError) and _word(reply) == "NOSCRIPT"


def is_stale_connection(reply: Any) -> bool:
    """Whether the server at the other end should not be asked again."""
    return isinstance(reply, RedisError) and _word(reply) in _ELSEWHERE


def outcome_of(error: Exception, where: str) -> operations.Outcome:
    """What an operation came to that the server answered with ``error``; nothing was done."""
    word = _word(error)
    if word in _PASSING:
        return operations.Unavailable(f"{where}: {_PASSING[word]} ({error})")
    if word in _LASTING:
        return operations.Failed(BackendError(f"{where}: {_LASTING[word]} ({error})"))
    if word in _FOREIGN:
        return operations.Broken(f"{where}: the key holds nothing of sessiontracker's ({error})")
    return operations.Failed(BackendError(f"{where}: the server refused the operation ({error})"))


def raised(error: Exception, where: str) -> BackendError:
    """The error that opening fails with because of ``error``."""
    word = _word(error)
    if word in _LASTING:
        return BackendError(f"{where}: {_LASTING[word]} ({error})")
    reason = f"{_PASSING[word]} ({error})" if word in _PASSING else str(error)
    return BackendUnavailableError(f"{where}: {reason}")
