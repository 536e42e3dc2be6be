"""What redis-py's errors mean: nothing done, refused, or unknown; and what to do about it."""

from __future__ import annotations

import re
import reprlib
from typing import Any

from redis.exceptions import AuthenticationError, AuthorizationError, RedisError

from sessiontracker.backend import (
    BackendError,
    BackendUnavailableError,
    OutcomeUnknownError,
    operations,
)

__all__ = [
    "NotConnectedError",
    "code_of",
    "is_error",
    "is_foreign",
    "needs_script",
    "outcome_of",
    "raised",
    "senseless",
    "stale_error",
    "without_arguments",
]


class NotConnectedError(Exception):
    """There is no connection: nothing was sent. ``error`` says why."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error) or type(error).__name__)
        self.error = error


# What a server says behind the name of a command that it does not know, HELLO's password included.
_ARGUMENTS = re.compile(r",? with args beginning with: .*", re.DOTALL)

# What an error begins with, or holds where it comes out of a script (before Redis 7).
_CODE = re.compile(r"\b([A-Z]{4,}|OOM|ASK)\b")

_PASSING = {
    "BUSY": "another script blocks the server: end it with SCRIPT KILL",
    "CLUSTERDOWN": "the cluster is down: bring its missing nodes back",
    "LOADING": "the server is loading its data: wait until it has",
    "MASTERDOWN": "this replica has lost its primary: bring it back, or name the primary",
    "MISCONF": "the server cannot save to its disk, so it takes no writes: free some space there",
    "NOPRIMARY": "no sentinel that answers knows a primary of that name which is up",
    "NOREPLICAS": "too few replicas are there for the server to take writes: bring them back",
    "NOSCRIPT": "the server has forgotten its scripts, and there was no time left to send them",
    "OOM": "the server's memory is full: raise its maxmemory, or end some sessions",
    "READONLY": "this server is a replica: name the primary in the url",
    "TRYAGAIN": "the slot is being moved",
}
_CLUSTER = "this is a node of a Redis Cluster: write redis+cluster:// in the url"
_LASTING = {
    "ASK": _CLUSTER,
    "CROSSSLOT": _CLUSTER,
    "MOVED": _CLUSTER,
    "NOAUTH": "the server wants a password: give username and password, or write them in the url",
    "NOPERM": "this user may not: extend its ACL as the README of sessiontracker-redis shows",
    "SENTINELAUTH": "the sentinels want a password, or another one: correct sentinel_username and "
    "sentinel_password",
    "WRONGPASS": "the username or the password is wrong: correct them",
}
_FOREIGN = {"BROKEN", "WRONGTYPE"}

# After these, another connection may reach a server that can.
_ELSEWHERE = {"LOADING", "MASTERDOWN", "READONLY", "NOAUTH"}


def without_arguments(error: Exception) -> Exception:
    """``error``, or one like it that does not repeat what the server was told."""
    text = str(error)
    short = _ARGUMENTS.sub("", text)
    return error if short == text else type(error)(short)


def code_of(error: BaseException) -> str:
    """The code of the server's error, wherever it stands."""
    if isinstance(error, AuthenticationError):
        return "WRONGPASS" if "invalid" in str(error).lower() else "NOAUTH"
    if isinstance(error, AuthorizationError):
        return "NOPERM"
    if "ACL failure" in str(error):  # so it comes out of a script
        return "NOPERM"
    if type(error).__name__ == "MasterNotFoundError":  # redis-py's words for it name all sentinels
        return "SENTINELAUTH" if "AuthenticationError" in str(error) else "NOPRIMARY"
    kind = _BY_TYPE.get(type(error).__name__)
    if kind is not None:
        return kind
    codes = {*_PASSING, *_LASTING, *_FOREIGN}
    return next((code for code in _CODE.findall(str(error)) if code in codes), "")


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


def needs_script(reply: Any, *, of_transaction: bool = False) -> bool:
    """Whether the server did not know the script; or, its memory full, takes no transaction, not
    even one that only reads."""
    codes = ("NOSCRIPT", "OOM") if of_transaction else ("NOSCRIPT",)
    return isinstance(reply, RedisError) and code_of(reply) in codes


def is_foreign(error: Exception) -> bool:
    """Whether the key holds what is none of ours: so it says, or a script stumbled over it."""
    return code_of(error) in ("", *_FOREIGN)


def is_error(reply: Any) -> bool:
    """Whether ``reply`` is an error, or has one among its parts."""
    return any(map(_is_error, reply)) if type(reply) is list else isinstance(reply, Exception)


def _is_error(part: Any) -> bool:
    return isinstance(part, Exception)


def stale_error(reply: Any) -> Exception | None:
    """What in ``reply`` says that the server at the other end should not be asked again."""
    if type(reply) is list:
        return next((part for part in reply if _is_stale(part)), None)
    return reply if _is_stale(reply) else None


def _is_stale(reply: Any) -> bool:
    return isinstance(reply, RedisError) and code_of(reply) in _ELSEWHERE


def outcome_of(error: Exception | None, where: str) -> operations.Outcome:
    """What an operation came to that was answered with ``error``, so that nothing was done;
    None: there was no answer."""
    if error is None:
        return operations.NoAnswer(f"{where}: the connection was lost, or time was up")
    if isinstance(error, NotConnectedError):
        refused = raised(error.error, where)
        if isinstance(refused, BackendUnavailableError):
            return operations.Unavailable(str(refused))
        return operations.Failed(refused)
    code = code_of(error)
    if code in _PASSING:
        return operations.Unavailable(f"{where}: {_PASSING[code]} ({_said(error)})")
    if code in _LASTING:
        return operations.Failed(BackendError(f"{where}: {_LASTING[code]} ({_said(error)})"))
    if code in _FOREIGN:
        return operations.Broken(f"{where}: the key holds nothing of sessiontracker's ({error})")
    return operations.Failed(BackendError(f"{where}: the server refused the operation ({error})"))


def raised(error: Exception, where: str) -> BackendError:
    """The error that opening fails with because of ``error``."""
    code = code_of(error)
    if code in _LASTING:
        return BackendError(f"{where}: {_LASTING[code]} ({_said(error)})")
    said = _said(error) or type(error).__name__
    if code in _PASSING:
        return BackendUnavailableError(f"{where}: {_PASSING[code]} ({said})")
    return BackendUnavailableError(
        f"{where}: there is no connection to the server ({said}): start it, or correct the url"
    )


_READING = (
    operations.CountOwner,
    operations.ListOwner,
    operations.Read,
    operations.ReadShared,
    operations.Time,
)
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2


def senseless(operation: Any, reply: Any, where: str) -> operations.Outcome:
    """What ``operation`` came to, which was answered with what nothing of ours answers."""
    said = (
        f"{where}: the server answered with {_SHORT.repr(reply)}, which makes no sense: look what "
        "is at the other end of the url, or between"
    )
    if operation.address is None or isinstance(operation, _READING):
        return operations.Failed(BackendError(said))
    return operations.Failed(OutcomeUnknownError(f"{said}; whether anything was done is unknown"))


def _said(error: Exception) -> str:
    """In its own words, without what redis-py knows of each sentinel."""
    return str(error).partition(" : <")[0]
