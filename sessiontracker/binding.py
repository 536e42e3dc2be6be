"""A session type as one tracker uses it: its settings, its codec, its names. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from . import keys
from .codec import SessionCodec
from .config import SessionSettings
from .errors import ConfigurationError, InvalidKeyError, SessionNotFoundError
from .operations import Address, Found, Hold, Item, Limit, Meta, Shared, Start
from .session import Session, address_of, attach, attach_all, key_of, meta_of

__all__ = ["Binding", "no_key"]

S = TypeVar("S", bound=Session)


def no_key(key: str) -> str:
    """How errors name ``key``, which looks like a secret key or an id and is no key of its type."""
    if key.startswith(keys.ID_PREFIX):
        return "(an id, which is no key: pass it as id=)"
    return "(a key that this type cannot have)"


class Binding(Generic[S]):
    """What a tracker needs to know to handle sessions of ``type``."""

    __slots__ = ("codec", "elsewhere", "limit", "name", "settings", "touch_every", "type")

    limit: Limit | None

    def __init__(
        self, type: type[S], name: str, settings: SessionSettings, codec: SessionCodec[S]
    ) -> None:
        self.type = type
        self.name = name
        self.settings = settings
        self.codec = codec
        self.touch_every = settings.touch_every
        self.elsewhere = settings.locking != settings.storage
        self.limit = None

    # Names

    def address(self, key: str | None, id: str | None, owner: str | None) -> Address:
        """Where the session of this name is, for a call that expects it to be there.

        Raises: SessionNotFoundError for a name that no session can have.
        """
        self.check_owner(owner)
        if key is None:
            if id is None:
                raise TypeError(f"name the {self.name!r} session: its key, id= or the session")
            return self._address_of_id(keys.check_id(id))
        if id is not None:
            raise TypeError("name a session by its key or by its id, not by both")
        if key.__class__ is str and key.isascii() and 0 < len(key) <= 1024 and key[:2] != "st":
            return Address(self.name, "", "k" + key)
        return self._odd_address(key)

    def check_owner(self, owner: str | None) -> None:
        """Raises: ConfigurationError if the type has no owners and one is named."""
        if owner is not None:
            raise ConfigurationError(
                f"{self.type.__name__} has no owners: leave owner= out, or derive it from "
                "OwnedSession"
            )

    def owner_address(self, owner: str | None) -> Address:
        """Where all that is an owner's is. Raises: ConfigurationError."""
        raise ConfigurationError(
            f"{self.type.__name__} has no owners: derive it from OwnedSession, if its sessions "
            "belong to somebody"
        )

    def owner_address_of(self, session: S) -> Address:
        """Where all that is the owner's of ``session`` is. Raises: SessionNotFoundError."""
        return self.owner_address(None)

    def address_beside(self, owner: Address, key: str) -> Address:
        """Where the session of ``key`` is, of whoever is at ``owner``."""
        return self.owner_address(None)

    def find(self, key: str, owner: str | None = None) -> Address | None:
        """Where the session of ``key`` is; None for a key that no session can have."""
        try:
            return self.address(key, None, owner)
        except SessionNotFoundError:
            return None

    def _odd_address(self, key: str) -> Address:
        if isinstance(key, str) and key.startswith((keys.SECRET_PREFIX, keys.ID_PREFIX)):
            place = keys.parse_secret_key(key, owned=False)
            if place is None:
                raise self.not_found(no_key(key))
            return Address(self.name, place[0], place[1])
        return Address(self.name, "", keys.stored_own_key(keys.check_own_key(key)))

    def _address_of_id(self, id: str) -> Address:
        if keys.is_secret_key(id):
            raise self.not_found("(a secret key, which is no id)")
        if not id.startswith(keys.ID_PREFIX):  # with a key of one's own, the id is the key
            return Address(self.name, "", keys.stored_own_key(keys.check_own_key(id)))
        place = keys.parse_id(id, owned=False)
        if place is None:
            raise self.not_found(id)
        return Address(self.name, place[0], place[1])

    def address_to_start(self, session: S) -> tuple[Address, str]:
        """Where ``session`` is to be started, and its key: its own, or a new secret one."""
        key = key_of(session)
        if not key and address_of(session) is not None:
            raise self._listed()
        if not key:
            key = keys.new_secret_key()
        if keys.is_secret_key(key):
            return self._odd_address(key), key
        return Address(self.name, "", keys.stored_own_key(keys.check_own_key(key))), key

    def _listed(self) -> InvalidKeyError:
        return InvalidKeyError(
            f"this {self.name!r} session was listed by its id, without its secret key: start a "
            "new one instead"
        )

    def started(self, session: S) -> tuple[Address, Meta]:
        """Where ``session`` is and what is known of it. Raises: SessionNotFoundError."""
        address, meta = address_of(session), meta_of(session)
        if address is None or meta is None:
            raise SessionNotFoundError(
                f"this {self.name!r} session was never started: start(session) comes first"
            )
        return address, meta

    def address_to_rotate(self, session: S, owner: str | None) -> tuple[Address, str, str]:
        """Where ``session`` goes on under a new secret key, that key, and whose it is then."""
        self.check_owner(owner)
        key = keys.new_secret_key()
        return self._odd_address(key), key, ""

    def label(self, address: Address) -> str:
        """How errors and events name the session: its id, never a secret key."""
        return keys.id_of(address.scope, address.key)

    def not_found(self, label: str, hint: str = "") -> SessionNotFoundError:
        if keys.SECRET_PREFIX in label.lower():  # a secret key misspelt is a secret still
            label = "(what looks like a secret key, and is none)"
        return SessionNotFoundError(
            f"there is no {self.name!r} session {label!r}: it was never started, it expired, or "
            f"the key is not spelt as it was; start() begins one{hint}"
        )

    # Payloads

    def decoded(self, address: Address, key: str | None, found: Found | Item) -> S:
        """The session that was found; ``key`` as the caller named it, None: by its id."""
        session = self.codec.decode(found.payload, address)
        own = keys.own_key_of(address.key) if key is None else key
        attach(session, address, own, found.meta)
        return session

    def listed(self, items: Sequence[Item]) -> list[S]:
        """As `decoded`, of many, each named by its id."""
        return attach_all(self.codec.decode_all(items), items)

    def encode(self, session: S) -> bytes:
        """The payload to store. Raises: SessionEncodeError, SharedStateError."""
        return self.codec.encode(session)

    def check_shared(self, session: S) -> None:
        """Raises: SharedStateError if what is shared was changed in place."""

    def show_shared(self, session: S, shared: Shared | None) -> None:
        """Have ``session`` show what its owner's sessions share, as it was stored."""

    def start(
        self,
        address: Address,
        session: S,
        id: int,
        hold: Hold | None,
        idle: int | None,
        absolute: int | None,
        *,
        owner: str = "",
        read: bool = False,
    ) -> Start:
        """The operation that starts ``session``; timeouts in ms, None: none."""
        return Start(
            address,
            id,
            self.encode(session),
            owner,
            idle=idle or 0,
            absolute=absolute or 0,
            lock=hold,
            read=read,
            touch_every=self.touch_every,
            limit=self.limit,
        )
