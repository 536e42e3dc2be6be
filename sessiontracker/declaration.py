"""What the class statement of a session type may say, and how a session is made of it.

What would lose data later is refused here: a field under a name that the library
needs, a value without an annotation (it would be no field), a field misspelt. A
mutable default, which all sessions would share, becomes a factory of copies.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import functools
import re
import uuid
from copy import deepcopy
from datetime import date, time, timedelta
from typing import Any, ForwardRef, TypeVar, get_args, get_origin

import msgspec

from . import keys
from .errors import InvalidKeyError

__all__ = ["MAX_SCHEMA", "RESERVED", "SessionMeta"]

RESERVED = frozenset(
    {"key", "id", "owner", "version", "shared", "upgrade"}
    | {"started_at", "updated_at", "expires_at", "finished_at"}
)
MAX_SCHEMA = 65_535

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_FIELD: Any = msgspec.field()
_ATOMS = (bool, int, float, complex, str, bytes, date, time, timedelta, uuid.UUID, enum.Enum, type)
_SINGLETONS = (None, msgspec.UNSET, msgspec.NODEFAULT)


class SessionMeta(msgspec.StructMeta):
    """Makes a session type of a class statement, and a session of a call."""

    __session_name__: str
    __session_schema__: int
    __session_shared__: Any  # of owned types only: what an owner's sessions share; None: nothing

    def __new__(
        mcls,
        clsname: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        *,
        name: str | None = None,
        schema: int = 1,
    ) -> Any:
        settings: dict[str, Any] = {"kw_only": True, "weakref": True}
        if namespace["__module__"] == f"{__package__}.session":  # the bases themselves
            return super().__new__(mcls, clsname, bases, namespace, **settings)
        session_name = _session_name(clsname, name)
        _check_schema(clsname, schema)
        _check_body(clsname, namespace, {f for b in bases for f in _fields_of(b)})
        _copy_defaults(clsname, namespace)
        cls = super().__new__(mcls, clsname, bases, namespace, **settings)
        cls.__session_name__ = session_name
        cls.__session_schema__ = schema
        if hasattr(cls, "__session_shared__"):
            cls.__session_shared__ = _shared_type(cls)
        return cls

    def __call__(cls, /, *args: Any, **fields: Any) -> Any:
        key = keys.check_own_key(fields.pop("key")) if "key" in fields else ""
        owner = _check_owner(cls, fields.pop("owner")) if "owner" in fields else ""
        if key and not owner and hasattr(cls, "__session_shared__"):
            raise InvalidKeyError(
                f"{cls.__name__}(key={key!r}) needs owner=...: a key of your own is unique per "
                "owner only; leave the key out for a visitor's session"
            )
        if not hasattr(cls, "__session_name__"):
            raise TypeError(f"{cls.__name__} has no fields to keep: subclass it")
        try:
            session = super().__call__(*args, **fields)
        except TypeError as error:
            raise _constructor_error(cls, args, fields) or error from None
        session._address = session._carried = session._lock = session._meta = None
        session._key = key
        session._owner = owner
        return session


def _check_owner(cls: type, owner: object) -> str:
    if not hasattr(cls, "__session_shared__"):
        raise TypeError(
            f"{cls.__name__} has no owner: write class {cls.__name__}(OwnedSession) if its "
            "sessions belong to somebody"
        )
    return keys.check_owner(owner)


def _constructor_error(cls: Any, args: tuple[Any, ...], fields: dict[str, Any]) -> TypeError | None:
    """What is wrong with a call of ``cls``; None if the error was not the caller's."""
    names: tuple[str, ...] = cls.__struct_fields__
    listed = f"{cls.__name__} has the fields {', '.join(names)}" if names else "it has no fields"
    if args:
        return TypeError(f"{cls.__name__} takes keyword arguments only; {listed}")
    parameters = (*names, "key", "owner") if hasattr(cls, "__session_shared__") else (*names, "key")
    for name in fields:
        if name not in names:
            near = difflib.get_close_matches(name, parameters, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            return TypeError(f"{cls.__name__} has no field {name!r}: {hint}{listed}")
    missing = [f.name for f in msgspec.structs.fields(cls) if f.required and f.name not in fields]
    if missing:
        return TypeError(f"{cls.__name__} needs {', '.join(f'{m}=...' for m in missing)}; {listed}")
    return None


def _session_name(clsname: str, name: object) -> str:
    if name is None:
        made = _WORD.sub("_", clsname).lower().strip("_")
        if not _NAME.fullmatch(made):
            raise TypeError(
                f"no session type's name can be made of the class name {clsname!r}: "
                f'write class {clsname}(..., name="...")'
            )
        return made
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise TypeError(
            f"{clsname}: name={name!r} cannot name a session type: use a small letter, then at "
            "most 63 small letters, digits and any of '_', '.', '-'"
        )
    return name


def _check_schema(clsname: str, schema: object) -> None:
    if type(schema) is not int or not 1 <= schema <= MAX_SCHEMA:
        raise TypeError(
            f"{clsname}: schema={schema!r} cannot number a schema: use 1 to {MAX_SCHEMA}, and "
            "count up when older data needs an upgrade"
        )


def _check_body(clsname: str, namespace: dict[str, Any], inherited: set[str]) -> None:
    annotations = namespace.get("__annotations__", {})
    for name in annotations:
        if name in RESERVED:
            raise TypeError(f"{clsname}.{name}: sessions have {name!r} already: rename the field")
        if name.startswith("_") and not _is_class_variable(annotations[name]):
            raise TypeError(
                f"{clsname}.{name}: a field's name must not begin with '_', since it is stored: "
                "rename it, or annotate it as ClassVar[...] if it is no field"
            )
    for name, value in namespace.items():
        if name not in annotations:
            _check_attribute(clsname, name, value, inherited)


def _check_attribute(clsname: str, name: str, value: object, inherited: set[str]) -> None:
    """Refuse what stands in a class body without an annotation and would mislead there."""
    if name in ("__init__", "__new__"):
        raise TypeError(
            f"{clsname}.{name}: a session's constructor follows from its fields: "
            "write __post_init__(self) for what comes after it"
        )
    if name == "upgrade":
        if not isinstance(value, (classmethod, staticmethod)):
            raise TypeError(
                f"{clsname}.upgrade must be a @classmethod: (cls, data, schema) -> data"
            )
    elif name in RESERVED:
        raise TypeError(f"{clsname}.{name}: sessions have {name!r} already: choose another name")
    elif isinstance(value, functools.cached_property):
        raise TypeError(
            f"{clsname}.{name}: a cached value would outlive a change of the fields: use @property"
        )
    elif not _is_code(name, value):
        raise TypeError(
            f"{clsname}.{name} has a value and no annotation, so it would not be stored: "
            f"write {name}: {type(value).__name__} = ..., or annotate it as ClassVar[...]"
        )
    elif name in inherited:
        raise TypeError(f"{clsname}.{name} would hide the inherited field: choose another name")


def _is_code(name: str, value: object) -> bool:
    """Whether it is part of a class rather than a value: methods, nested classes, type aliases."""
    return (
        (name.startswith("__") and name.endswith("__"))
        or isinstance(value, type)
        or hasattr(value, "__get__")
        or get_origin(value) is not None
        or type(value).__module__ == "typing"
    )


def _is_class_variable(annotation: object) -> bool:
    if isinstance(annotation, str):
        return re.match(r"(\w+\.)*ClassVar\b", annotation) is not None
    return "ClassVar" in str(get_origin(annotation) or annotation)


def _copy_defaults(clsname: str, namespace: dict[str, Any]) -> None:
    """Make every mutable default a factory, so that no two sessions share it."""
    for name, annotation in namespace.get("__annotations__", {}).items():
        if name in namespace and not _is_class_variable(annotation):
            try:
                namespace[name] = _unshared(namespace[name])
            except Exception as error:
                raise TypeError(
                    f"{clsname}.{name}: the default cannot be copied ({error}): write "
                    f"{name}: ... = msgspec.field(default_factory=...)"
                ) from error


def _unshared(default: Any) -> Any:
    """``default`` in a form that msgspec copies for each session."""
    field: Any = default
    if isinstance(default, dataclasses.Field):
        if field.default_factory is not dataclasses.MISSING:
            return msgspec.field(default_factory=field.default_factory)
        return msgspec.field() if field.default is dataclasses.MISSING else _unshared(field.default)
    if isinstance(default, type(_FIELD)):
        inner = _unshared(field.default)
        if inner is field.default:
            return default
        return msgspec.field(default_factory=inner.default_factory, name=field.name)
    if isinstance(default, _ATOMS) or any(default is one for one in _SINGLETONS):
        return default
    if type(default) in (list, dict, set) and not default:  # msgspec makes a new one by itself
        return default
    copy = deepcopy(default)
    if copy is default:  # a tuple of immutables, for one
        return default
    return msgspec.field(default_factory=functools.partial(deepcopy, copy))


def _fields_of(base: type) -> tuple[str, ...]:
    fields: tuple[str, ...] = getattr(base, "__struct_fields__", ())
    return fields


def _shared_type(cls: Any) -> Any:
    """``X`` of ``OwnedSession[X]``, however many classes lie between; None if nothing is shared."""
    for base in cls.__dict__.get("__orig_bases__", cls.__bases__):
        origin = get_origin(base) or base
        shared = getattr(origin, "__session_shared__", None)
        if isinstance(shared, TypeVar):
            shared = dict(zip(origin.__parameters__, get_args(base), strict=False)).get(shared)
        if isinstance(shared, ForwardRef):
            raise TypeError(
                f"{cls.__name__}: OwnedSession[{shared.__forward_arg__!r}] is text: define what is "
                "shared above and write the class itself"
            )
        if shared is not None and shared is not type(None):
            return shared
    return None
