"""What a session sees of what its owner's sessions share."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Protocol

__all__ = ["SharedView", "Sight"]

_UNREAD: Any = object()


class Sight(Protocol):
    """How a shared state is read and compared: a `SharedCodec`, seen from below."""

    def read(self, payload: bytes | None, /) -> Any: ...
    def snapshot(self, value: Any, /) -> bytes: ...


class SharedView:
    """The shared state as it was stored when the session was read; decoded when looked at.

    What it was then is remembered from the first look on, so that a change made in place is
    found when the session is saved.
    """

    __slots__ = ("_before", "_payload", "_sight", "_value")

    def __init__(self, sight: Sight, payload: bytes | None) -> None:
        self._sight: Sight | None = sight
        self._payload = payload
        self._value = _UNREAD
        self._before: bytes | None = None

    @classmethod
    def of(cls, value: Any, before: bytes | None = None) -> SharedView:
        """A view of ``value``, of which nothing is stored yet, or which was ``before``."""
        view = cls.__new__(cls)
        view._sight, view._payload, view._value, view._before = None, None, value, before
        return view

    @property
    def value(self) -> Any:
        """Raises: SessionDecodeError."""
        if self._value is _UNREAD:
            assert self._sight is not None
            value = self._sight.read(self._payload)
            self._before = self._sight.snapshot(value)
            self._value = value
        return self._value

    def is_changed(self, sight: Sight) -> bool:
        """Whether the value is another than was stored, or than a new one if nothing was."""
        if self._value is _UNREAD:
            return False
        before = sight.snapshot(sight.read(None)) if self._before is None else self._before
        return sight.snapshot(self._value) != before

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedView:
        copy = SharedView.of(_UNREAD, self._before)
        copy._sight, copy._payload = self._sight, self._payload
        if self._value is not _UNREAD:
            copy._value = deepcopy(self._value, memo)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedView.of, (self.value, self._before)
