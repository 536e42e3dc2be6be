"""Keys, secret keys, ids and scopes: how a session is named, and what the store gets to see.

A *key of one's own* is any text; the store holds it marked with ``k``. A
*secret key* (``stk_…``) is 256 random bits, behind its owner's scope if it has
an owner; the store holds only its digest, marked with ``d``. The digest is also
the session's public *id* (``sti_…``). So an id can never be taken for a key:
used as one, it would be digested once more, or refused.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

from .errors import InvalidKeyError

__all__ = [
    "MAX_KEY_BYTES",
    "check_id",
    "check_own_key",
    "check_owner",
    "id_of",
    "is_secret_key",
    "new_scope",
    "new_secret_key",
    "own_key_of",
    "parse_id",
    "parse_secret_key",
    "scope_of",
    "stored_own_key",
]

MAX_KEY_BYTES = 1024
SECRET_PREFIX = "stk_"
ID_PREFIX = "sti_"

_SECRET_BYTES = 32
_DIGEST_BYTES = 32
_SCOPE_BYTES = 16
_LENGTHS = ((0, _DIGEST_BYTES), (_SCOPE_BYTES, _DIGEST_BYTES))
_OWN = "k"
_DIGEST = "d"


def check_own_key(key: object) -> str:
    """Return ``key`` if a session may have it as a key of its own.

    Raises: InvalidKeyError.
    """
    if not isinstance(key, str):
        raise InvalidKeyError(f"a session's key is text, not {type(key).__name__}: write str(key)")
    if not key:
        raise InvalidKeyError("a session's key must not be empty; leave it out to get a secret key")
    if key.startswith((SECRET_PREFIX, ID_PREFIX)):
        raise InvalidKeyError(
            f"a key of your own must not begin with {SECRET_PREFIX!r} or {ID_PREFIX!r}: these are "
            "the shapes of secret keys and ids; leave the key out to get a secret key"
        )
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidKeyError(
            "the key holds a lone surrogate, which no store can keep: decode it properly first"
        ) from None
    if size > MAX_KEY_BYTES:
        raise InvalidKeyError(
            f"the key weighs {size} bytes, {MAX_KEY_BYTES} is the most: use a digest of it"
        )
    return key


def check_id(id: object) -> str:
    """Return ``id`` if it is text, whatever session it names. Raises: InvalidKeyError."""
    if not isinstance(id, str):
        raise InvalidKeyError(f"a session's id is text, not {type(id).__name__}: write session.id")
    return id


def check_owner(owner: object) -> str:
    """Return ``owner`` if a session may belong to it; ``""`` is a visitor.

    Raises: InvalidKeyError.
    """
    if not isinstance(owner, str):
        raise InvalidKeyError(f"an owner is text, not {type(owner).__name__}: write str(owner)")
    try:
        size = len(owner.encode())
    except UnicodeEncodeError:
        raise InvalidKeyError(
            "the owner holds a lone surrogate: decode it properly first"
        ) from None
    if size > MAX_KEY_BYTES:
        raise InvalidKeyError(
            f"the owner weighs {size} bytes, {MAX_KEY_BYTES} is the most: use a digest of it"
        )
    return owner


def is_secret_key(key: str) -> bool:
    """Whether ``key`` has a secret key's prefix (it may still be misspelt)."""
    return key.startswith(SECRET_PREFIX)


def stored_own_key(key: str) -> str:
    """The stored form of a key of one's own."""
    return _OWN + key


def own_key_of(stored: str) -> str:
    """The key of one's own behind a stored key; ``""`` for a secret one."""
    return stored[1:] if stored.startswith(_OWN) else ""


def scope_of(type_name: str, owner: str) -> str:
    """The scope of a type's owner: 22 characters, 128 bits, the same for the same pair only."""
    name = type_name.encode()
    digest = blake2b(digest_size=_SCOPE_BYTES, person=b"st-scope")
    digest.update(len(name).to_bytes(4, "big") + name + owner.encode())
    return _encode(digest.digest())


def new_scope() -> str:
    """A random scope, for a session whose owner is not known yet."""
    return _encode(secrets.token_bytes(_SCOPE_BYTES))


def new_secret_key(scope: str = "") -> str:
    """A new secret key, which carries its owner's ``scope`` if it has one."""
    return SECRET_PREFIX + _encode(_decode(scope) + secrets.token_bytes(_SECRET_BYTES))


def parse_secret_key(key: str, *, owned: bool) -> tuple[str, str] | None:
    """``(scope, stored key)`` of a secret key; None if it is none, or not canonically spelt."""
    if not key.startswith(SECRET_PREFIX):
        return None
    raw = _canonical(key[len(SECRET_PREFIX) :])
    scope_bytes = _SCOPE_BYTES if owned else 0
    if raw is None or len(raw) != scope_bytes + _SECRET_BYTES:
        return None
    digest = blake2b(raw, digest_size=_DIGEST_BYTES, person=b"st-key").digest()
    return _encode(raw[:scope_bytes]), _DIGEST + _encode(digest)


def id_of(scope: str, stored: str) -> str:
    """The public id of the session at ``scope`` and ``stored``.

    Where nothing of ours is stored so, but somebody put it there, it names no session.
    """
    if stored.startswith(_OWN) and _is_own(stored[1:]):
        return f"{ID_PREFIX}{scope}.{stored[1:]}" if scope else stored[1:]
    owner, digest = _canonical(scope), _canonical(stored[1:])
    if (
        not stored.startswith(_DIGEST)
        or owner is None
        or digest is None
        or (len(owner), len(digest)) not in _LENGTHS
    ):
        return f"{ID_PREFIX}?{scope}.{stored}"
    return ID_PREFIX + _encode(owner + digest)


def parse_id(id: str, *, owned: bool) -> tuple[str, str] | None:
    """``(scope, stored key)`` of a public id; None if it names no session of this kind."""
    if not id.startswith(ID_PREFIX):
        return None if owned or not id else ("", _OWN + id)
    text = id[len(ID_PREFIX) :]
    if owned and text[22:23] == ".":
        scope, own = text[:22], text[23:]
        raw = _canonical(scope)
        return (scope, _OWN + own) if raw is not None and len(raw) == 16 and _is_own(own) else None
    raw = _canonical(text)
    scope_bytes = _SCOPE_BYTES if owned else 0
    if raw is None or len(raw) != scope_bytes + _DIGEST_BYTES:
        return None
    return _encode(raw[:scope_bytes]), _DIGEST + _encode(raw[scope_bytes:])


def _is_own(key: str) -> bool:
    try:
        return bool(check_own_key(key))
    except InvalidKeyError:
        return False


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _canonical(text: str) -> bytes | None:
    """The bytes behind ``text``; None unless ``text`` is their one canonical spelling."""
    try:
        raw = _decode(text)
    except ValueError:
        return None
    return raw if _encode(raw) == text else None
