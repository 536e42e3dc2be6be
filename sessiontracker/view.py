"""What a session sees of what its owner's sessions share."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Protocol

from msgspec import Struct

__all__ = ["SharedView", "Sight"]

_UNREAD: Any = object()


class Sight(Protocol):
    """How a shared state is read and compared: a `SharedCodec`, seen from below."""

    def read(self, payload: bytes | None, /) -> Any: ...
    def snapshot(self, value: Any, /) -> bytes: ...


class SharedView(Struct, eq=False):
    """The shared state as it was stored when the session was read; decoded when looked at.

    What it was then is remembered from the first look on, so that a change made in place is
    found when the session is saved.
    """

    _sight: Sight | None
    _payload: bytes | None
    _value: Any = _UNREAD
    _before: bytes | None = None

    @classmethod
    def of(cls, value: Any, before: bytes | None = None) -> SharedView:
        """A view of ``value``, of which nothing is stored yet, or which was ``before``."""
        return cls(None, None, value, before)

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
        value = self._value if self._value is _UNREAD else deepcopy(self._value, memo)
        return SharedView(self._sight, self._payload, value, self._before)

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedView.of, (self.value, self._before)
