"""What MariaDB's and MySQL's errors mean, by number: to be tried again, nothing done, refused."""

from __future__ import annotations

from .talk import NotConnectedError, ServerError

__all__ = [
    "DONE_BY_ANOTHER",
    "DUPLICATE",
    "LEFT_OUT",
    "LOCKED",
    "is_lost",
    "is_own",
    "is_passing",
    "is_stale",
    "not_connected",
    "read",
    "reason",
    "refusal",
]

LOCKED = "1205"
DUPLICATE = "1062"
LEFT_OUT = {LOCKED, DUPLICATE}
"""Somebody has the row locked, or has made it: what is done to others stands."""
# A record that changed since it was read, a row that others made or have locked, a deadlock.
_PASSING = {"1020", DUPLICATE, LOCKED, "1213", "3572"}
# A table, a column or an index that another process made.
DONE_BY_ANOTHER = {"1050", "1060", "1061"}

_UNAVAILABLE = {
    "1020": "others kept changing the same rows",
    "1021": "the server's disk is full: free some space there",
    "1040": "the server has no connection left: raise its max_connections, or use fewer",
    "1062": "others kept making the same rows",
    "1114": "the server's disk is full, or the table as large as it may be: free some space there",
    "1203": "this user has no connection left: raise its max_user_connections, or use fewer",
    "1205": "others keep the row locked: end their transaction",
    "1213": "others kept the rows locked",
    "1226": "a limit of this user is reached",
    "1290": "this server takes no writes (any more): name the primary in the url",
    "1317": "the server cancelled the statement",
    "1792": "the server takes no writes by default (tx_read_only): name one that does in the url",
    "1836": "this server takes no writes (any more): name the primary in the url",
    "1969": "the server cancelled the statement: raise its max_statement_time for this user",
    "3024": "the server cancelled the statement: raise its max_execution_time for this user",
    "3572": "others keep the row locked: end their transaction",
}
_REFUSED = {
    "1044": "this user may not use the database: grant it that, or correct the url",
    "1045": "the username or the password is wrong: correct the url",
    "1049": "there is no such database: create it, or correct the url",
    "1054": "the tables were changed since the tracker opened: restore them",
    "1142": "this user may not: grant it what the README of sessiontracker-sql lists",
    "1143": "this user may not: grant it what the README of sessiontracker-sql lists",
    "1146": "the tables were dropped since the tracker opened: restore them, or open it again",
    "1153": "one session is larger than a packet may be: raise the server's max_allowed_packet",
    "1698": "this user may not connect so: correct the url, or how the server identifies it",
}


def read(error: Exception) -> tuple[str, str]:
    """The number and the words of a driver's ``error``; "0" where it has no number."""
    number, *words = error.args or ("",)
    if not isinstance(number, int):
        return "0", str(error) or repr(error)
    return str(number), str(words[0]) if words else ""


def not_connected(error: Exception) -> ServerError | NotConnectedError:
    """What it is called that no connection could be made because of ``error``."""
    code, message = read(error)
    if isinstance(error, OSError) or is_lost(code):
        return NotConnectedError(error)
    return ServerError(code, message)


def is_lost(code: str) -> bool:
    """Whether with this error the connection ended, and the answer may be missing."""
    return code in {"0", "1053", "1152", "1158", "1159", "1160", "1161", "1927", "4031"} or (
        code.startswith("2") and len(code) == 4
    )


def is_passing(error: ServerError) -> bool:
    return error.code in _PASSING


def is_own(error: ServerError) -> bool:
    return error.code in {"1048", "1153", "1264", "1366", "1406", "1021", "1114", "22000"}


def is_stale(error: ServerError) -> bool:
    return error.code in {"1290", "1792", "1836"}


def reason(error: ServerError) -> str | None:
    """Why nothing was done, where that may pass; None where it lasts."""
    if error.code in _UNAVAILABLE:
        return f"{_UNAVAILABLE[error.code]} ({error})"
    return None


def refusal(error: ServerError) -> str:
    """What is wrong, where that lasts, and what to do."""
    if error.code in _REFUSED:
        return f"{_REFUSED[error.code]} ({error})"
    return f"the server refused the operation ({error.code}: {error})"
