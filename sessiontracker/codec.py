"""Sessions to bytes and back, in a versioned envelope.

A payload is a header and a body. The header names the envelope's version, the
codec, the type's schema and the fingerprint of its fields' names::

    1 | length of the codec's name | the name | schema, 2 bytes | fingerprint, 4 bytes

What begins with exactly the header that this process would write is decoded at
once. Anything else was written by an older or a newer deploy, or with another
codec: it is decoded to plain values, upgraded, and what this deploy does not
know of it is kept with the session, to be written back with it.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar, cast

import msgspec

from . import keys, shapes
from .errors import (
    ConfigurationError,
    SessionDecodeError,
    SessionEncodeError,
    SessionTooLargeError,
)
from .session import Session, address_of, carried_of, key_of, schema_of, set_carried

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .operations import Address, Item

__all__ = [
    "CODECS",
    "MAX_BYTES",
    "Body",
    "Codec",
    "JsonCodec",
    "MsgpackCodec",
    "SessionCodec",
    "cause_of",
    "header_of",
    "loses",
    "not_finite",
    "reason_of",
    "split",
]

MAX_BYTES = 1_048_576
ENVELOPE_VERSION = 1

_MIXED = bytes(shapes.FINGERPRINT_BYTES)  # holds what its writer did not know: in nobody's shape
_PLAIN: Any = dict[str, Any]
_SHOWN = 200  # signs of either end of an error
_NO_NAN = "this codec has no NaN and no infinity: use msgpack"
_PATH = re.compile(r"`\$\.(\w+)")

S = TypeVar("S", bound=Session)


class Codec(Protocol):
    """How bodies are written. A plugin hands out one of these."""

    @property
    def name(self) -> str:
        """What ``codec =`` calls it; 1 to 255 bytes, written into every payload."""
        ...

    def encoder(self, kind: Any, enc_hook: Callable[[Any], Any]) -> Callable[[Any], bytes]:
        """A function that encodes values of type ``kind``.

        It calls ``enc_hook`` with what it does not know, for plain values in its place. It
        raises whatever it likes for what it cannot encode.
        """
        ...

    def decoder(self, kind: Any, dec_hook: Callable[[Any, Any], Any]) -> Callable[[bytes], Any]:
        """A function that decodes values of type ``kind`` (``dict[str, Any]``: plain values).

        It calls ``dec_hook(type, plain)`` for types that it does not know, and raises
        whatever it likes for what is no value of ``kind``.
        """
        ...


class MsgpackCodec:
    """MessagePack, by msgspec: the default. Compact, and fastest."""

    name = "msgpack"

    def encoder(self, kind: Any, enc_hook: Callable[[Any], Any]) -> Callable[[Any], bytes]:
        return msgspec.msgpack.Encoder(enc_hook=enc_hook).encode

    def decoder(self, kind: Any, dec_hook: Callable[[Any, Any], Any]) -> Callable[[bytes], Any]:
        return msgspec.msgpack.Decoder(kind, dec_hook=dec_hook).decode


class JsonCodec:
    """JSON, by msgspec: readable in the store. Bytes are base64, datetimes ISO 8601.

    It has no NaN. Below a field that is declared as Any, what is no JSON comes back as text.
    """

    name = "json"

    def encoder(self, kind: Any, enc_hook: Callable[[Any], Any]) -> Callable[[Any], bytes]:
        return msgspec.json.Encoder(enc_hook=enc_hook).encode

    def decoder(self, kind: Any, dec_hook: Callable[[Any, Any], Any]) -> Callable[[bytes], Any]:
        return msgspec.json.Decoder(kind, dec_hook=dec_hook).decode


CODECS: Mapping[str, Codec] = {codec.name: codec for codec in (MsgpackCodec(), JsonCodec())}
"""The codecs that are always there, by name."""


class Body(NamedTuple):
    """One codec, made ready for one type."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    encode_plain: Callable[[Any], bytes]
    decode_plain: Callable[[bytes], Any]

    @classmethod
    def of(cls, codecs: Mapping[str, Codec], name: str, kind: Any) -> Body:
        """The codec ``name`` for ``kind``. Raises: LookupError."""
        codec = codecs.get(name)
        if codec is None:
            raise LookupError(f"it was written with the codec {name!r}: install its plugin")
        return cls(
            codec.encoder(kind, shapes.dump),
            codec.decoder(kind, shapes.load),
            codec.encoder(_PLAIN, shapes.dump),
            codec.decoder(_PLAIN, shapes.load),
        )


class _Carried(NamedTuple):
    """What was read with a session and is not in its fields: written back when it is saved."""

    codec: str
    schema: int
    unknown: dict[str, Any]  # fields that the class does not have
    nested: dict[str, tuple[Any, bytes]]  # fields that lost something inside: as read; ordered


class SessionCodec(Generic[S]):
    """Writes and reads the sessions of one type.

    ``codec`` is what new payloads are written with, ``codecs`` are those that can be
    read beside the built-in ones, by name. ``max_bytes`` None: no limit.

    Raises: ConfigurationError, if a field has a type that cannot be encoded.
    """

    def __init__(
        self,
        cls: type[S],
        codec: str = "msgpack",
        *,
        codecs: Mapping[str, Codec] = CODECS,
        max_bytes: int | None = MAX_BYTES,
    ) -> None:
        self.cls = cls
        self.codec = codec
        self.max_bytes = max_bytes
        self._codecs = {**CODECS, **codecs}
        if codec not in self._codecs:
            raise ConfigurationError(
                f"there is no codec {codec!r}: use one of {', '.join(sorted(self._codecs))}"
            )
        shapes.check_fields(cls, lambda kind: self._codecs[codec].decoder(kind, shapes.load))
        self._bodies: dict[str, Body] = {}
        self._schema = schema_of(cls)
        fields = msgspec.structs.fields(cast("type[msgspec.Struct]", cls))
        self._fields = {field.encode_name: field.name for field in fields}
        self._required = {field.encode_name for field in fields if field.required}
        self._header = header_of(codec, self._schema, shapes.fingerprint_of(cls))
        self._header_size = len(self._header)
        self._encode_body, self._decode_body = self._body(codec)[:2]
        self._in_order = shapes.in_order(cls)

    def encode(self, session: S) -> bytes:
        """The payload to store. It is decoded once: a value of the wrong type is found here.

        Raises: SessionEncodeError, SessionTooLargeError.
        """
        carried = carried_of(session)
        try:
            if carried is None:
                body = self._encode_body(session)
                if self._decode_body(body) != session:
                    self._check_lossless(self._body(self.codec), session, body)
                payload = self._header + body
            else:
                payload = self._encode_carried(session, carried)
        except Exception as error:
            raise self._unencodable(session, error) from error
        if self.max_bytes is not None and len(payload) > self.max_bytes:
            raise SessionTooLargeError(
                f"{_label(session)} weighs {len(payload)} bytes, {self.max_bytes} is the most: "
                "keep large data elsewhere and its address in the session, or raise max_bytes; "
                "nothing was written",
                size=len(payload),
                limit=self.max_bytes,
            )
        return payload

    def decode(self, payload: bytes, address: Address | None = None) -> S:
        """The session that was stored as ``payload``; ``address`` is for the error's message.

        Raises: SessionDecodeError, and nothing else, whatever the payload is.
        """
        try:
            if payload[: self._header_size] == self._header:
                session: S = self._decode_body(payload[self._header_size :])
                return session
            return self._decode_foreign(payload)
        except Exception as error:
            where = repr(keys.id_of(address.scope, address.key)) if address else "session"
            raise SessionDecodeError(
                f"{self.cls.__name__} {where}: what is stored cannot be read, and stays as it is: "
                f"{reason_of(error)}"
            ) from cause_of(error)

    def decode_all(self, items: Sequence[Item]) -> list[S]:
        """As `decode`, of many. Raises: SessionDecodeError, of the first that cannot be read."""
        header, size, decode = self._header, self._header_size, self._decode_body
        try:
            return [
                decode(payload[size:])
                if (payload := item.payload)[:size] == header
                else self.decode(payload, item.address)
                for item in items
            ]
        except Exception:  # of which of them is not known
            return [self.decode(item.payload, item.address) for item in items]

    def snapshot(self, session: S) -> bytes:
        """An encoding that is equal as long as the fields are, for "did it change?".

        Raises: SessionEncodeError.
        """
        try:
            return self._in_order(session)
        except Exception as error:
            raise self._unencodable(session, error) from error

    def _decode_foreign(self, payload: bytes) -> S:
        """Decode what another deploy or another codec wrote."""
        codec, schema, body = split(payload)
        ready = self._body(codec)
        plain = ready.decode_plain(body)
        if schema < self._schema:
            plain = self._upgraded(plain, schema)
        missing = sorted(self._required - plain.keys())
        if missing:
            raise ValueError(
                f"it has no value for {', '.join(missing)}: give the field a default, or count "
                "schema= up and override upgrade"
            )
        session = ready.decode(ready.encode_plain(plain))
        known = ready.decode_plain(ready.encode(session))
        nested = {
            name: (plain[name], self._in_order(getattr(session, field)))
            for name, field in self._fields.items()
            if name in plain and loses(plain[name], known[name])
        }
        unknown = {name: value for name, value in plain.items() if name not in self._fields}
        current = schema == self._schema and not unknown and not nested
        lasting = schema >= self._schema and not current
        set_carried(session, _Carried(codec, schema, unknown, nested) if lasting else None)
        return cast("S", session)

    def _upgraded(self, plain: dict[str, Any], schema: int) -> dict[str, Any]:
        try:
            upgraded: Any = self.cls.upgrade(plain, schema)
        except Exception as error:
            raise ValueError(f"upgrade(data, {schema}) raised {error!r}") from error
        if not isinstance(upgraded, dict):
            raise TypeError(f"upgrade(data, {schema}) must return the data, not {upgraded!r}")
        return cast("dict[str, Any]", upgraded)

    def _encode_carried(self, session: S, carried: _Carried) -> bytes:
        """Encode a session together with what was read with it, as its own writer had it."""
        ready = self._body(carried.codec)
        body = ready.encode(session)
        if ready.decode(body) != session:
            self._check_lossless(ready, session, body)
        plain = ready.decode_plain(body) | carried.unknown
        for name, (as_read, ordered) in carried.nested.items():
            if self._in_order(getattr(session, self._fields[name])) == ordered:
                plain[name] = as_read
        return header_of(carried.codec, carried.schema, _MIXED) + ready.encode_plain(plain)

    def _check_lossless(self, ready: Body, session: S, body: bytes) -> None:
        """Refuse what would not come back. (What is not equal need not be lost: NaN never is.)"""
        decoded = ready.decode(body)
        written, known = ready.decode_plain(body), ready.decode_plain(ready.encode(decoded))
        for name in written:
            if name not in known or loses(written[name], known[name]):
                raise ValueError(
                    "a value in it has fields that the declared type does not have, and they "
                    f"would be lost - at `$.{name}`"
                )
        for name in self._fields.values():
            if not_finite(getattr(session, name)) != not_finite(getattr(decoded, name)):
                raise ValueError(f"{_NO_NAN} - at `$.{name}`")

    def _body(self, name: str) -> Body:
        body = self._bodies.get(name)
        if body is None:
            body = self._bodies[name] = Body.of(self._codecs, name, self.cls)
        return body

    def _unencodable(self, session: S, error: Exception) -> SessionEncodeError:
        """The error that says which field it is, where that can be found out."""
        encode = self._body(self.codec).encode_plain
        field = ""
        for name in self._fields.values():
            try:
                encode({name: getattr(session, name)})
            except Exception as found:
                error, field = found, f".{name}"
                break
        else:
            path = _PATH.search(str(error))
            if path and path[1] in self._fields:
                field = f".{path[1]}"
                value = getattr(session, self._fields[path[1]])
                if "`null`" in str(error) and not_finite(value):
                    error = ValueError(_NO_NAN)
        return SessionEncodeError(
            f"{_label(session)}{field} cannot be stored: {reason_of(error)}; nothing was written"
        )


def header_of(codec: str, schema: int, fingerprint: bytes) -> bytes:
    name = codec.encode()
    return bytes((ENVELOPE_VERSION, len(name))) + name + schema.to_bytes(2, "big") + fingerprint


def split(payload: bytes) -> tuple[str, int, bytes]:
    """Codec, schema and body of a payload. Raises: ValueError."""
    if not payload:
        raise ValueError("it is empty")
    if payload[0] != ENVELOPE_VERSION:
        raise ValueError(
            f"its envelope has version {payload[0]}, this release reads {ENVELOPE_VERSION}: it is "
            "no session, or a newer release's"
        )
    size = 2 + payload[1] + 2 + shapes.FINGERPRINT_BYTES if len(payload) > 1 else 2
    if len(payload) < size:
        raise ValueError("it is cut short")
    name_end = 2 + payload[1]
    schema = int.from_bytes(payload[name_end : name_end + 2], "big")
    return payload[2:name_end].decode(), schema, payload[size:]


def loses(as_read: Any, known: Any) -> bool:
    """Whether plain data, as read, has anything that is missing in what is known of it."""
    if isinstance(as_read, dict) and isinstance(known, dict):
        inner = cast("Mapping[Any, Any]", known)
        pairs = cast("Mapping[Any, Any]", as_read).items()
        return any(key not in inner or loses(value, inner[key]) for key, value in pairs)
    if isinstance(as_read, list) and isinstance(known, list):
        items, others = cast("Sequence[Any]", as_read), cast("Sequence[Any]", known)
        return len(items) > len(others) or any(map(loses, items, others))
    return False


def not_finite(value: Any) -> int:
    """How many NaN and infinities are in a value of any encodable type."""
    return _count_not_finite(msgspec.to_builtins(value, enc_hook=shapes.dump))


def _count_not_finite(plain: Any) -> int:
    if isinstance(plain, float):
        return not math.isfinite(plain)
    if isinstance(plain, dict):
        return sum(map(_count_not_finite, cast("Mapping[Any, Any]", plain).values()))
    if isinstance(plain, (list, tuple)):
        return sum(map(_count_not_finite, cast("Sequence[Any]", plain)))
    return 0


def _label(session: Session) -> str:
    """The session as messages name it: never by a secret key."""
    name = type(session).__name__
    if address_of(session) is not None:
        return f"{name} {session.id!r}"
    return f"{name} {key_of(session)!r}" if key_of(session) else name


def cause_of(error: Exception) -> Exception | None:
    """``error``, unless it shows much of the data, as its traceback would."""
    return error if len(str(error)) <= 2 * _SHOWN else None


def reason_of(error: Exception) -> str:
    """What ``error`` says, without most of the data that it shows."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = str(error) or type(error).__name__
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]}…{text[-_SHOWN:]}"
