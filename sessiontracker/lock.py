"""The lock of a session, as its holder has it in hand."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Generic, Literal, TypeVar

from .errors import LockLostError
from .keys import id_of
from .operations import Address, Hold

__all__ = ["SessionLock"]

SignalT = TypeVar("SignalT")


class SessionLock(Generic[SignalT]):
    """A lease on a session's key: held while it is renewed, lost for good when it is not.

    ``lost`` can be awaited with `AsyncSessionTracker`, and waited for
    (``lost.wait(timeout)``) with `SessionTracker`; it is true once the lock is lost.
    """

    __slots__ = (
        "_address",
        "_baseline",
        "_deadline",
        "_ended",
        "_hold",
        "_make_signal",
        "_on_loss",
        "_signal",
        "_state",
    )

    def __init__(
        self,
        address: Address,
        hold: Hold,
        deadline: float,
        make_signal: Callable[[], SignalT],
    ) -> None:
        self._address = address
        self._hold = hold
        self._deadline = deadline
        self._make_signal = make_signal
        self._on_loss: Callable[[], None] | None = None
        self._signal: SignalT | None = None
        self._state: Literal["held", "lost", "released"] = "held"
        # Of get_locked: how the session looked when it was last read or saved, and how the
        # holder itself ended it in the body.
        self._baseline = b""
        self._ended = ""

    @property
    def token(self) -> int:
        """The fencing token: greater than that of every earlier holder of this key."""
        return self._hold.token

    @property
    def expires_in(self) -> float:
        """How many seconds the lease lasts if it is not renewed; 0 if it is not held."""
        return max(0.0, self._deadline - monotonic()) if self._state == "held" else 0.0

    @property
    def lost(self) -> SignalT:
        if self._state == "held" and monotonic() >= self._deadline:
            self._lose()
        if self._signal is None:
            self._signal = self._make_signal()
            if self._state == "lost":
                self._signal.set()  # type: ignore[attr-defined]
        return self._signal

    def check(self) -> None:
        """Raises: LockLostError if the lock is not held any more."""
        if self._state == "held" and monotonic() < self._deadline:
            return
        if self._state == "released":
            raise LockLostError(
                f"the lock of {self._label} was let go before: use it inside its own block only"
            )
        self._lose()
        raise LockLostError(
            f"the lock of {self._label} was lost: its lease ran out before it was renewed. What "
            "was not saved before is not saved; take the lock again, with a longer lease= if the "
            "process stalls for that long"
        )

    def __repr__(self) -> str:
        return f"<SessionLock of {self._label}: {self._state}, token {self.token}>"

    @property
    def _label(self) -> str:
        address = self._address
        return f"{address.type!r} session {id_of(address.scope, address.key)!r}"

    # For the tracker

    def _prolong(self, deadline: float) -> bool:
        """Whether it is still held, and so is held until ``deadline``."""
        if self._state != "held":
            return False
        self._deadline = deadline
        return True

    def _lose(self) -> None:
        if self._state != "held":
            return
        self._state = "lost"
        if self._signal is not None:
            self._signal.set()  # type: ignore[attr-defined]
        if self._on_loss is not None:
            self._on_loss()

    def _release(self) -> None:
        if self._state == "held":
            self._state = "released"

    def _abandon(self) -> None:
        """In a forked child: it never was this process's. Whoever waits for ``lost`` is gone."""
        self._on_loss = self._signal = None
        if self._state == "held":
            self._state = "lost"
