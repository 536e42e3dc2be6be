"""Outcomes that are refusals, as the errors that a caller sees."""

from __future__ import annotations

from typing import Any

from .binding import Binding
from .errors import (
    BackendUnavailableError,
    LockLostError,
    OutcomeUnknownError,
    SessionActiveError,
    SessionDecodeError,
    SessionFinishedError,
    SessionInProgressError,
    SessionLimitError,
    SessionLockedError,
    SessionTrackerError,
    StaleSessionError,
)
from .operations import (
    Address,
    Broken,
    Failed,
    InProgress,
    IsActive,
    IsFinished,
    LimitReached,
    Locked,
    Lost,
    Missing,
    NoAnswer,
    Outcome,
    Stale,
    Unavailable,
    Unknown,
)

__all__ = ["lock_lost", "owner_refusal", "refusal", "store_error"]


def refusal(
    outcome: Outcome, binding: Binding[Any], address: Address, expected: int = 0
) -> Exception:
    """The error for ``outcome``; ``expected`` is the version that a writer had read."""
    label, name = binding.label(address), binding.name
    match outcome:
        case Missing():
            return binding.not_found(label)
        case IsFinished():
            return SessionFinishedError(
                f"the {name!r} session {label!r} is finished: get_finished() reads it, resume() "
                "makes it active again"
            )
        case IsActive():
            return SessionActiveError(
                f"the {name!r} session {label!r} is active: get() reads it, finish() finishes it"
            )
        case InProgress(found):
            return SessionInProgressError(
                f"the {name!r} session {label!r} is in progress already: it is this error's "
                ".session; get_or_start() takes whichever is there",
                binding.decoded(address, None, found),
            )
        case LimitReached(count):
            return SessionLimitError(
                f"its owner has {count} active {name!r} sessions, and max_per_owner is "
                f"{binding.settings.max_per_owner}: finish one of them (list_sessions() shows "
                'them), raise max_per_owner, or set on_limit = "finish_oldest" to have the oldest '
                "make room for a new one",
                count,
            )
        case Stale(actual, same_life):
            if not same_life:
                what = "was started anew since this one was read"
            elif actual > expected:
                what = f"is at version {actual} by now, and this one was read at version {expected}"
            else:
                what = (
                    f"is at version {actual} by another write than this one's, of version "
                    f"{expected}, which was lost, or was in a transaction that was rolled back"
                )
            return StaleSessionError(
                f"the {name!r} session {label!r} {what}: get() it again and repeat the change, or "
                "change it under get_locked()",
                expected,
                actual,
            )
        case Locked(holder, expires_in):
            return SessionLockedError(
                f"the {name!r} session {label!r} is locked by {holder or 'somebody'} for "
                f"{expires_in / 1000:.3g} s more: wait for it with get_locked() or lock(), or, as "
                "the holder, pass the session that get_locked() gave or lock=",
                holder,
            )
        case Lost():
            return lock_lost(binding, address)
        case Broken(reason):
            return SessionDecodeError(
                f"what is stored for the {name!r} session {label!r} cannot be read: {reason}. It "
                "stays as it is, until it is removed in the store itself"
            )
        case Unknown():
            return OutcomeUnknownError(
                f"the connection was lost in the middle of a call for the {name!r} session "
                f"{label!r}, and others have changed it since: get() it and see what became of it"
            )
        case _:
            return store_error(outcome)


def owner_refusal(outcome: Outcome, binding: Binding[Any], expected: int = 0) -> Exception:
    """The error for an ``outcome`` of what concerns an owner as a whole."""
    name = binding.name
    match outcome:
        case Stale(actual):
            return StaleSessionError(
                f"what an owner's {name!r} sessions share was written by another since it was "
                "read: edit_shared() it again, or let update_shared() repeat the change",
                expected,
                actual,
            )
        case Unknown():
            return OutcomeUnknownError(
                f"the connection was lost while an owner's {name!r} sessions, or what they share, "
                "were changed, and others have changed them since: list_sessions() or "
                "get_shared() and see what became of it"
            )
        case Broken(reason):
            return SessionDecodeError(
                f"what is stored for an owner's {name!r} sessions cannot be read: {reason}. It "
                "stays as it is"
            )
        case _:
            return store_error(outcome)


def lock_lost(binding: Binding[Any], address: Address) -> LockLostError:
    return LockLostError(
        f"the lock of the {binding.name!r} session {binding.label(address)!r} was lost: its lease "
        "ran out before it was renewed. What was not saved before is not saved; take the lock "
        "again, with a longer lease= if the process stalls for that long"
    )


def store_error(outcome: Outcome) -> Exception:
    """The error for an outcome that says nothing of any session."""
    match outcome:
        case Failed(error):
            return error
        case Unavailable(reason):
            return BackendUnavailableError(f"{reason}; nothing was done")
        case NoAnswer(reason):
            return OutcomeUnknownError(
                f"{reason}; the operation was sent, and whether it was done is not known"
            )
        case _:
            kind = type(outcome).__name__  # which may hold a whole session
            return SessionTrackerError(f"the backend gave an answer that does not fit: {kind}")
