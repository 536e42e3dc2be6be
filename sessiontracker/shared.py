"""What an owner's sessions share, to bytes and back: in the same envelope as sessions are.

What a newer deploy wrote and this one does not know is kept with the value, wherever it
stands in it, and written back when the value is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from . import shapes
from .codec import CODECS, Body, cause_of, header_of, loses, not_finite, reason_of, split
from .errors import (
    ConfigurationError,
    SessionDecodeError,
    SessionEncodeError,
    SessionTooLargeError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .codec import Codec

__all__ = ["SharedCodec", "Unknown"]

_SCHEMA = 1


class Unknown(NamedTuple):
    """Plain data as it was read, and what of it is known here."""

    as_read: Any
    known: Any


class SharedCodec:
    """Writes and reads what the sessions of one type, called ``name``, share.

    Raises: ConfigurationError, if ``kind`` cannot be encoded, or not be made without arguments.
    """

    def __init__(
        self,
        kind: Any,
        name: str,
        codec: str = "msgpack",
        *,
        codecs: Mapping[str, Codec] = CODECS,
        max_bytes: int | None = None,
    ) -> None:
        self.kind = kind
        self._name = name
        self._codec = codec
        self._max_bytes = max_bytes
        self._codecs = {**CODECS, **codecs}
        where = f"what the {name!r} sessions share"
        shapes.check_type(where, kind, lambda k: self._codecs[codec].decoder(k, shapes.load))
        try:
            kind()
        except Exception as error:
            raise ConfigurationError(
                f"{where}, {_kind_name(kind)}, cannot be made without arguments ({error}): give "
                "each of its fields a default, since an owner begins with one"
            ) from error
        self._bodies: dict[str, Body] = {}
        self._header = header_of(codec, _SCHEMA, shapes.fingerprint_of(kind))
        self._in_order = shapes.in_order(kind)

    def fresh(self) -> Any:
        """What an owner begins with."""
        return self.kind()

    def read(self, payload: bytes | None) -> Any:
        """The value alone. Raises: SessionDecodeError."""
        return self.fresh() if payload is None else self.decode(payload)[0]

    def snapshot(self, value: Any) -> bytes:
        """An encoding that is equal as long as the value is. Raises: SessionEncodeError."""
        try:
            return self._in_order(value)
        except Exception as error:
            raise self._unencodable(error) from error

    def decode(self, payload: bytes) -> tuple[Any, Unknown | None]:
        """The value, and what is not known of it, to be given to `encode`.

        Raises: SessionDecodeError, and nothing else, whatever the payload is.
        """
        try:
            name, _, body = split(payload)
            ready = self._body(name)
            value = ready.decode(body)
            if payload.startswith(self._header):
                return value, None
            as_read, known = ready.decode_plain(body), ready.decode_plain(ready.encode(value))
            return value, Unknown(as_read, known) if loses(as_read, known) else None
        except Exception as error:
            raise SessionDecodeError(
                f"what the {self._name!r} sessions of an owner share cannot be read, and stays as "
                f"it is: {reason_of(error)}"
            ) from cause_of(error)

    def encode(self, value: Any, unknown: Unknown | None = None) -> bytes:
        """The payload to store. Raises: SessionEncodeError, SessionTooLargeError."""
        try:
            ready = self._body(self._codec)
            body = ready.encode(value)
            back = ready.decode(body)
            plain = ready.decode_plain(body)
            if back != value and (
                loses(plain, ready.decode_plain(ready.encode(back)))
                or not_finite(back) != not_finite(value)
            ):
                raise ValueError("a value in it would not come back as it is")
            payload = self._header + body
            if unknown is not None:
                restored = _restored(plain, unknown.as_read, unknown.known)
                mixed = header_of(self._codec, _SCHEMA, bytes(shapes.FINGERPRINT_BYTES))
                payload = mixed + ready.encode_plain(restored)
        except Exception as error:
            raise self._unencodable(error) from error
        if self._max_bytes is not None and len(payload) > self._max_bytes:
            raise SessionTooLargeError(
                f"what the {self._name!r} sessions share weighs {len(payload)} bytes, "
                f"{self._max_bytes} is the most: keep large data elsewhere and its address here, "
                "or raise max_bytes; nothing was written",
                size=len(payload),
                limit=self._max_bytes,
            )
        return payload

    def _unencodable(self, error: Exception) -> SessionEncodeError:
        return SessionEncodeError(
            f"what the {self._name!r} sessions share cannot be stored: {reason_of(error)}; "
            "nothing was written"
        )

    def _body(self, name: str) -> Body:
        body = self._bodies.get(name)
        if body is None:
            body = self._bodies[name] = Body.of(self._codecs, name, self.kind)
        return body


def _restored(new: Any, as_read: Any, known: Any) -> Any:
    """``new`` with what was in ``as_read`` and not in what was ``known`` of it."""
    if not all(isinstance(plain, dict) for plain in (new, as_read, known)):
        return new
    result = dict(new)
    for key, value in as_read.items():
        if key not in known:
            result.setdefault(key, value)
        elif key in result:
            result[key] = _restored(result[key], value, known[key])
    return result


def _kind_name(kind: Any) -> str:
    return getattr(kind, "__qualname__", repr(kind))
