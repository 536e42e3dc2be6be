"""Session and OwnedSession: what a user subclasses.

At run time a session type is a `msgspec.Struct`, which decodes fast; type
checkers see a plain class whose constructor follows from its fields. What the
tracker knows of a session (key, version, lock) lies in slots beside the fields,
so that it is never encoded with them. The functions at the end are how the
library gets at it.
"""

from __future__ import annotations

import dataclasses
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, cast, dataclass_transform

import msgspec

from . import keys
from .declaration import SessionMeta
from .operations import FOREVER, Address, Item, Meta
from .view import SharedView, Sight

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from typing_extensions import TypeVar

    SharedT = TypeVar("SharedT", default=None)
    S = TypeVar("S", bound="Session")
else:
    from typing import TypeVar

    SharedT = TypeVar("SharedT")
    S = TypeVar("S", bound="Session")

__all__ = ["OwnedSession", "Session"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


class _Metadata:
    """What a session has beside its fields. A slot may be unset: decoding fills the fields only."""

    __slots__ = ("_address", "_carried", "_key", "_lock", "_meta", "_owner", "_shared")

    _address: Address | None
    _carried: Any
    _key: str
    _lock: Any
    _meta: Meta | None
    _owner: str
    _shared: SharedView | None

    @property
    def id(self) -> str:
        """The public id; ``""`` before the session is started. With a key of your own, the key."""
        address = address_of(self)
        return "" if address is None else keys.id_of(address.scope, address.key)

    @property
    def owner(self) -> str:
        """Whose session it is; ``""`` for a visitor's and for a session that is not owned."""
        meta = meta_of(self)
        return getattr(self, "_owner", "") if meta is None else meta.owner

    @property
    def version(self) -> int:
        """Counted up by every change; 0 before the session is started."""
        meta = meta_of(self)
        return 0 if meta is None else meta.version

    @property
    def started_at(self) -> datetime | None:
        """When it was started (aware, UTC, the store's clock); None before."""
        meta = meta_of(self)
        return None if meta is None else moment(meta.started)

    @property
    def updated_at(self) -> datetime | None:
        """When it was last changed (aware, UTC, the store's clock); None before it is started."""
        meta = meta_of(self)
        return None if meta is None else moment(meta.updated)

    @property
    def expires_at(self) -> datetime | None:
        """When it goes unless it is used (aware, UTC, the store's clock); None if never."""
        meta = meta_of(self)
        return None if meta is None or meta.expires >= FOREVER else moment(meta.expires)

    @property
    def finished_at(self) -> datetime | None:
        """When it was finished (aware, UTC, the store's clock); None if it is not."""
        meta = meta_of(self)
        return moment(meta.finished) if meta is not None and meta.finished else None

    def __repr__(self) -> str:
        shown: dict[str, Any] = {"id": self.id, "version": self.version}
        if not shown["id"]:  # only a key of its own is known so early, and that is no secret
            shown = {"key": key_of(self)} if key_of(self) else {}
        shown |= fields_of(self)
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


if TYPE_CHECKING:

    @dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field, dataclasses.field))
    class _Base(_Metadata):
        def __init_subclass__(cls, *, name: str = ..., schema: int = ...) -> None: ...

        def __replace__(self, /, **changes: Any) -> Self: ...

else:

    class _Base(_Metadata, msgspec.Struct, metaclass=SessionMeta):
        def __copy__(self):
            return _carry_over(self, super().__copy__())

        def __deepcopy__(self, memo):
            copy = _carry_over(self, super().__copy__())
            memo[id(self)] = copy
            for name, value in fields_of(self).items():
                setattr(copy, name, deepcopy(value, memo))
            if hasattr(self, "_shared"):
                copy._shared = deepcopy(self._shared, memo)
            return copy

        def __replace__(self, /, **changes):
            return _carry_over(self, msgspec.structs.replace(self, **changes))

        def __reduce__(self):
            state = {name: getattr(self, name) for name in _COPIED if hasattr(self, name)}
            return _restore, (type(self), fields_of(self), state)


class Session(_Base):
    """The base of session types. Subclass it and annotate the fields::

        class Checkout(Session):
            items: list[str] = []
            paid: bool = False

    Fields are keyword-only and may be anything that msgspec or pydantic can
    encode. Mutable defaults are copied for each session. The constructor does
    not check the values' types; type checkers do, and so does saving
    (`SessionEncodeError`, before anything is written).

    ``class Checkout(Session, name="checkout", schema=2)`` names the type in the
    configuration and the store (else: its class name in snake_case) and numbers
    its schema (else: 1). A subclass of a session type inherits its fields and is
    a session type of its own, with its own name and schema.

    A field's name must be none of ``key, id, owner, version, started_at,
    updated_at, expires_at, finished_at, shared, upgrade`` and not begin with
    ``_``; a value without an annotation is refused, since it would not be
    stored (annotate it as ``ClassVar[...]``). Each is a TypeError.

    A copy (``copy.copy``, ``copy.deepcopy``, ``copy.replace``, pickle) keeps key
    and version, and never holds the lock. (``msgspec.structs.replace`` makes a new
    session without a key.)
    """

    if TYPE_CHECKING:
        key: Final[str] = ""
    else:

        @property
        def key(self):
            """The key; ``""`` if it is a secret one that is not made yet, or only listed."""
            return key_of(self)

    @classmethod
    def upgrade(cls, data: dict[str, Any], schema: int) -> dict[str, Any]:
        """Turn ``data``, written under the older ``schema``, into what this class reads.

        Override it when ``schema=`` is counted up. ``data`` maps the fields' names to
        plain values (numbers, text, lists, dicts) as the codec decodes them without
        knowing their types. What the result holds beyond this class's fields is dropped.
        """
        return data


class OwnedSession(Session, Generic[SharedT]):
    """The base of session types that belong to an owner: ``class Login(OwnedSession[Profile])``.

    ``Profile``, constructible without arguments, is what an owner's sessions of this
    type share; ``OwnedSession`` alone shares nothing. Without ``owner=`` the session is
    a visitor's: its owner is ``""``, and it cannot have a key of its own.
    """

    if TYPE_CHECKING:
        owner: Final[str] = ""  # pyright: ignore[reportIncompatibleMethodOverride]
    else:
        __session_shared__ = SharedT

    @property
    def shared(self) -> SharedT:
        """What all of the owner's sessions of this type share, as it was read with the session.

        It is changed by ``edit_shared`` and ``update_shared`` alone: a change made in place is
        refused when the session is saved (`SharedStateError`). Raises: SessionDecodeError.
        """
        view = view_of(self)
        if view is None:
            kind = shared_type(type(self))
            view = self._shared = SharedView.of(None if kind is None else kind())
        return cast("SharedT", view.value)


# For the library -------------------------------------------------------------

_COPIED = ("_address", "_carried", "_key", "_meta", "_owner", "_shared")


def type_name(cls: type[Session]) -> str:
    """The session type's name in the configuration and in the store.

    Raises: TypeError for what is no session type.
    """
    name = getattr(cls, "__session_name__", None)
    if not isinstance(name, str):
        raise TypeError(f"{_shown(cls)} is no session type: subclass Session or OwnedSession")
    return name


def kind_of(what: type[S] | S) -> type[S]:
    """The session type that a call names, by a type or by a session. Raises: TypeError."""
    if isinstance(what, type):
        return what
    if not isinstance(what, Session):
        raise TypeError(f"name a session type and a key, or a session, not {_shown(what)}")
    return type(what)


def _shown(what: object) -> str:
    """A class by its name; of anything else the class alone, for it may be a secret key."""
    return repr(what) if isinstance(what, type) else f"a {type(what).__name__}"


def schema_of(cls: type[Session]) -> int:
    """The number of the session type's schema."""
    schema: int = cls.__dict__["__session_schema__"]
    return schema


def is_owned(cls: type[Session]) -> bool:
    """Whether sessions of this type belong to owners."""
    return issubclass(cls, OwnedSession)


def shared_type(cls: type[Session]) -> Any:
    """What an owner's sessions of this type share; None if nothing."""
    kind = getattr(cls, "__session_shared__", None)
    return None if type(kind) is type(SharedT) else kind


def fields_of(session: Any) -> dict[str, Any]:
    """The session's own fields and their values."""
    return {name: getattr(session, name) for name in session.__struct_fields__}


def attach(
    session: Any, address: Address, key: str, meta: Meta, lock: object | None = None
) -> None:
    """Tell a session, just started or read, where and what it is."""
    session._address = address
    session._key = key
    session._meta = meta
    session._lock = lock


def attach_all(sessions: list[S], items: Sequence[Item], sight: Sight | None = None) -> list[S]:
    """As `attach`, of many named by their ids; with ``sight`` they see what they share."""
    each: Any
    for each, item in zip(sessions, items, strict=True):
        address, shared = item.address, item.shared
        each._address = address
        each._meta = item.meta
        if key := keys.own_key_of(address.key):
            each._key = key
        if sight is not None:
            each._shared = SharedView(sight, None if shared is None else shared.payload)
    return sessions


def set_meta(session: Any, meta: Meta) -> None:
    """The session was saved, and is at ``meta`` now."""
    session._meta = meta


def set_lock(session: Any, lock: object | None) -> None:
    """Make this very object the holder's, or no longer."""
    session._lock = lock


def set_view(session: Any, view: SharedView) -> None:
    """What the owner's sessions share, as it was read with this one."""
    session._shared = view


def view_of(session: Any) -> SharedView | None:
    """What the session sees of what it shares; None if nobody has looked."""
    return getattr(session, "_shared", None)


def set_carried(session: Any, carried: object | None) -> None:
    """What was stored and this class does not know, to be written back."""
    session._carried = carried


def refill(session: Any, source: Any) -> None:
    """Make ``session`` what ``source``, read later, is; who holds the lock stays as it is."""
    for name in session.__struct_fields__:
        setattr(session, name, getattr(source, name))
    for name in _COPIED:
        if hasattr(source, name):
            setattr(session, name, getattr(source, name))
    session._carried = carried_of(source)


def address_of(session: Any) -> Address | None:
    """Where the session is stored; None before it is started."""
    return getattr(session, "_address", None)


def key_of(session: Any) -> str:
    """The session's key, own or secret; ``""`` if it is not known."""
    return getattr(session, "_key", "")


def meta_of(session: Any) -> Meta | None:
    """What the store knew of the session when it was read or saved; None before its start."""
    return getattr(session, "_meta", None)


def lock_of(session: Any) -> Any:
    """The lock that this very object holds, or None."""
    return getattr(session, "_lock", None)


def carried_of(session: Any) -> Any:
    """What `set_carried` set, or None."""
    return getattr(session, "_carried", None)


def moment(ms: int) -> datetime:
    """A point in time of a store, in ms, as an aware datetime in UTC."""
    return _EPOCH + timedelta(milliseconds=min(ms, _LAST_MS))


def _carry_over(source: Any, copy: Any) -> Any:
    """Give a copy the source's key, version and place, but not its lock."""
    for name in _COPIED:
        if hasattr(source, name):
            setattr(copy, name, getattr(source, name))
    copy._lock = None
    return copy


def _restore(cls: type[Any], fields: dict[str, Any], state: dict[str, Any]) -> Any:
    """A pickled session again."""
    session = msgspec.StructMeta.__call__(cls, **fields)
    for name, value in state.items():
        setattr(session, name, value)
    session._lock = None
    return session
