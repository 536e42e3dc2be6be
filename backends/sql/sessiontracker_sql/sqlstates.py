"""What PostgreSQL's errors mean, by SQLSTATE: to be tried again, nothing done, or refused."""

from __future__ import annotations

from .talk import NotConnectedError, ServerError

__all__ = [
    "DONE_BY_ANOTHER",
    "is_lost",
    "is_own",
    "is_passing",
    "is_stale",
    "not_connected",
    "reason",
    "refusal",
]

# Deadlock, serialization failure, lock not available: others were in the way.
_PASSING = {"40001", "40P01", "55P03"}
# A table, an index, a type or a row that somebody made at the same moment.
DONE_BY_ANOTHER = _PASSING | {"42P07", "42710", "23505", "42701"}

_UNAVAILABLE = {
    "25006": "this server takes no writes (any more): name the primary in the url",
    "40001": "others kept changing the same rows",
    "40P01": "others kept the rows locked",
    "55P03": "others keep the row locked: end their transaction",
    "53100": "the server's disk is full: free some space there",
    "53200": "the server has no memory left",
    "53300": "the server has no connection left: raise its max_connections, or use fewer",
    "53400": "a limit of the server's configuration is reached",
    "57014": "the server cancelled the statement: raise its statement_timeout for this user",
    "57P03": "the server is starting up or shutting down: wait until it is there",
}
_REFUSED = {
    "28000": "this user may not connect: correct the url, or the server's pg_hba.conf",
    "28P01": "the username or the password is wrong: correct the url",
    "3D000": "there is no such database: create it, or correct the url",
    "3F000": "there is no such schema: create it, or correct the option schema",
    "42501": "this user may not: grant it what the README of sessiontracker-sql lists",
    "42P01": "the tables were dropped since the tracker opened: restore them, or open it again",
    "42703": "the tables were changed since the tracker opened: restore them",
}
# The server, the database, or one of the timeouts that end a connection.
_ENDED = {"57P01", "57P02", "57P04", "57P05", "25P03", "25P04"}


def not_connected(code: str | None, error: Exception) -> ServerError | NotConnectedError:
    """What it is called that no connection could be made because of ``error``."""
    return NotConnectedError(error) if not code or is_lost(code) else ServerError(code, str(error))


def is_lost(code: str) -> bool:
    """Whether with this error the connection ended, and the answer may be missing."""
    return code.startswith("08") or code in _ENDED


def is_passing(error: ServerError) -> bool:
    return error.code in _PASSING


def is_own(error: ServerError) -> bool:
    return error.code[:2] in {"22", "23", "54"} or error.code == "53100"


def is_stale(error: ServerError) -> bool:
    # A prepared statement that is not there, or not what it was: another connection has its own.
    return error.code in {"25006", "26000", "42P05", "0A000"} or error.code.startswith("57P")


def reason(error: ServerError) -> str | None:
    """Why nothing was done, where that may pass; None where it lasts."""
    if error.code in _UNAVAILABLE:
        return f"{_UNAVAILABLE[error.code]} ({error})"
    return f"the connection cannot be used any more ({error})" if is_stale(error) else None


def refusal(error: ServerError) -> str:
    """What is wrong, where that lasts, and what to do."""
    if error.code in _REFUSED:
        return f"{_REFUSED[error.code]} ({error})"
    return f"PostgreSQL refused the operation ({error.code or 'no code'}: {error})"
