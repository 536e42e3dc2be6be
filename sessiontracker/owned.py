"""An owned session type as one tracker uses it: whose its sessions are, and what they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from . import keys
from .binding import Binding, no_key
from .codec import SessionCodec
from .errors import InvalidKeyError, SharedStateError
from .operations import FOREVER, Address, Found, Item, Limit, Shared
from .session import Session, address_of, attach_all, key_of, meta_of, set_view, view_of
from .settings import SessionSettings
from .shared import SharedCodec
from .view import SharedView

__all__ = ["OwnedBinding"]

S = TypeVar("S", bound=Session)


class OwnedBinding(Binding[S]):
    """What a tracker needs to know to handle sessions of ``type``, which have owners.

    ``shared`` reads and writes what an owner's sessions share; None if that is nothing.
    """

    __slots__ = ("shared", "shared_retention")

    def __init__(
        self,
        type: type[S],
        name: str,
        settings: SessionSettings,
        codec: SessionCodec[S],
        shared: SharedCodec | None,
    ) -> None:
        super().__init__(type, name, settings, codec)
        self.shared = shared
        kept = settings.shared_retention
        self.shared_retention = FOREVER if kept is None else kept
        if settings.max_per_owner is not None:
            finished = settings.finished_retention
            self.limit = Limit(
                settings.max_per_owner,
                settings.on_limit == "finish_oldest",
                FOREVER if finished is None else finished,
            )

    # Names

    def address(self, key: str | None, id: str | None, owner: str | None) -> Address:
        scope = None if owner is None else self._scope(owner)
        if key is None:
            if id is None:
                raise TypeError(f"name the {self.name!r} session: its key, id= or the session")
            label = keys.check_id(id)
            place = keys.parse_id(label, owned=True)
        elif id is not None:
            raise TypeError("name a session by its key or by its id, not by both")
        elif isinstance(key, str) and key.startswith((keys.SECRET_PREFIX, keys.ID_PREFIX)):
            place = keys.parse_secret_key(key, owned=True)
            label = no_key(key)
        else:
            own = keys.stored_own_key(keys.check_own_key(key))
            if scope is None:
                raise self.not_found(key, "; a key of your own is its owner's: name owner= as well")
            return Address(self.name, scope, own)
        if place is None or (scope is not None and scope != place[0]):
            raise self.not_found(label)
        return Address(self.name, place[0], place[1])

    def check_owner(self, owner: str | None) -> None:
        if owner is not None:
            self._scope(owner)

    def owner_address(self, owner: str | None) -> Address:
        """Where all that is an owner's is. Raises: InvalidKeyError."""
        if owner is None:
            raise TypeError(f"name the owner of the {self.name!r} sessions, or one of them")
        return Address(self.name, self._scope(owner), "")

    def owner_address_of(self, session: S) -> Address:
        address = self.started(session)[0]
        return Address(address.type, address.scope, "")

    def address_beside(self, owner: Address, key: str) -> Address:
        """Where the session of ``key`` is, own or secret, of whoever is at ``owner``."""
        if key.startswith((keys.SECRET_PREFIX, keys.ID_PREFIX)):
            return self.address(key, None, None)
        return Address(self.name, owner.scope, keys.stored_own_key(keys.check_own_key(key)))

    def _scope(self, owner: str) -> str:
        if not keys.check_owner(owner):
            raise InvalidKeyError(
                "no owner is named '': a visitor's session is named by its key or its id alone"
            )
        return keys.scope_of(self.name, owner)

    def address_to_start(self, session: S) -> tuple[Address, str]:
        key, address = key_of(session), address_of(session)
        if address is not None:  # where it was before
            if not key:
                raise self._listed()
            return address, key
        scope = self._scope(session.owner) if session.owner else keys.new_scope()
        if key:
            return Address(self.name, scope, keys.stored_own_key(keys.check_own_key(key))), key
        key = keys.new_secret_key(scope)
        return self.address(key, None, None), key

    def address_to_rotate(self, session: S, owner: str | None) -> tuple[Address, str, str]:
        address, meta = address_of(session), meta_of(session)
        assert address is not None
        assert meta is not None
        scope, name = address.scope, meta.owner
        if owner is not None:
            scope, name = self._scope(owner), owner
        key = keys.new_secret_key(scope)
        return self.address(key, None, None), key, name

    # Payloads

    def decoded(self, address: Address, key: str | None, found: Found | Item) -> S:
        session = super().decoded(address, key, found)
        self.show_shared(session, found.shared)
        return session

    def listed(self, items: Sequence[Item]) -> list[S]:
        return attach_all(self.codec.decode_all(items), items, self.shared)

    def show_shared(self, session: S, shared: Shared | None) -> None:
        if self.shared is not None:
            set_view(session, SharedView(self.shared, None if shared is None else shared.payload))

    def encode(self, session: S) -> bytes:
        self.check_shared(session)
        return super().encode(session)

    def check_shared(self, session: S) -> None:
        view = view_of(session)
        if self.shared is not None and view is not None and view.is_changed(self.shared):
            raise SharedStateError(
                f"{self.type.__name__}.shared was changed in place, which saving the session does "
                "not save: change it with edit_shared() or update_shared(); nothing was written"
            )
