"""What a session's fields are made of: which types are left to pydantic, and the types' shape.

msgspec encodes dataclasses, attrs classes, Structs and the standard types by
itself. Whatever else stands in an annotation goes to pydantic through msgspec's
hooks; pydantic is imported only where such a type is met.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, cast, get_type_hints

import msgspec
from msgspec import inspect

from .errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from pydantic import TypeAdapter

__all__ = [
    "FINGERPRINT_BYTES",
    "check_fields",
    "check_type",
    "dump",
    "fingerprint_of",
    "in_order",
    "load",
]

FINGERPRINT_BYTES = 4

_JSON = msgspec.json.Encoder()
_ORDERED = (
    inspect.StructType,
    inspect.DataclassType,
    inspect.TypedDictType,
    inspect.NamedTupleType,
)
_SETS = (inspect.SetType, inspect.FrozenSetType)
_DICTS = (inspect.DictType, inspect.FrozenDictType)
_UNFIT_KEYS = (
    inspect.StructType,
    inspect.DataclassType,
    inspect.TypedDictType,
    *_DICTS,
    inspect.CustomType,
)


# Types that are pydantic's ---------------------------------------------------


@lru_cache(maxsize=1024)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def dump(value: Any) -> Any:
    """msgspec's ``enc_hook`` for storing: plain values that `load` turns into an equal value.

    Raises: ValueError if they would not, as with a ``SecretStr``, whose dump is masked.
    """
    adapter = _adapter_of_value(value)
    plain = _dump_as(adapter, value, "json")
    if _dump_as(adapter, load(type(value), plain), "python") != _dump_as(adapter, value, "python"):
        raise ValueError(
            f"a {type(value).__name__} would not come back as it is: it holds what pydantic masks "
            "or leaves out when it is dumped"
        )
    return plain


def load(kind: Any, plain: Any) -> Any:
    """msgspec's ``dec_hook``: the value of a type of pydantic's that was dumped as ``plain``.

    Raises: ValueError, which names what is wrong without showing the data.
    """
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_json(_JSON.encode(plain), by_alias=False, by_name=True)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        raise ValueError(
            "; ".join(
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}".lstrip(": ") for one in found
            )
        ) from None


def _adapter_of_value(value: Any) -> TypeAdapter[Any]:
    kind = cast("Hashable", type(value))
    try:
        if "pydantic" in sys.modules:  # else it cannot be a value of pydantic's
            return _adapter(kind)
    except Exception:
        pass
    raise TypeError(f"neither msgspec nor pydantic can encode {type(value).__qualname__!r} there")


def _dump_as(adapter: TypeAdapter[Any], value: Any, mode: Literal["json", "python"]) -> Any:
    return adapter.dump_python(value, mode=mode, by_alias=False, round_trip=True, warnings=False)


def _is_model(value: Any) -> bool:
    return hasattr(cast("Any", type(value)), "model_fields")


# A type's shape --------------------------------------------------------------


def check_fields(cls: Any, build: Callable[[Any], object]) -> None:
    """Refuse a session type with a field that neither msgspec nor pydantic can encode.

    ``build`` makes a codec's decoder for a type.

    Raises: ConfigurationError, naming type and field.
    """
    try:
        hints = get_type_hints(cls, include_extras=True)
    except Exception as error:
        raise ConfigurationError(
            f"{cls.__name__}: an annotation cannot be resolved ({error}): define what it names "
            "at the top level of its module, outside of 'if TYPE_CHECKING'"
        ) from error
    for name in cls.__struct_fields__:
        check_type(f"{cls.__name__}.{name}", hints[name], build)


def check_type(where: str, kind: Any, build: Callable[[Any], object]) -> None:
    """Refuse a type, which stands ``where``, that neither msgspec nor pydantic can encode.

    Raises: ConfigurationError.
    """
    try:
        for part in _parts(inspect.type_info(kind)):
            _check_part(where, part)
        build(kind)
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"{where} has a type that msgspec cannot handle: {error}. Use another type, or a "
            "pydantic model that has a field of this type"
        ) from error


def _check_part(where: str, part: inspect.Type) -> None:
    if isinstance(part, inspect.CustomType):
        _check_custom(where, part.cls)
    elif isinstance(part, _DICTS):
        unfit = [key for key in _parts(part.key_type) if isinstance(key, _UNFIT_KEYS)]
        if unfit:
            raise ConfigurationError(
                f"{where} has a dict whose keys are no plain values: use text or numbers as keys, "
                "or a list of pairs"
            )
    elif isinstance(part, inspect.DataclassType):
        for field in part.fields:
            if type(field.default).__module__.startswith("pydantic."):
                raise ConfigurationError(
                    f"{where}: the pydantic dataclass {part.cls.__name__} has pydantic's "
                    f"Field(...) as the default of {field.name!r}: use dataclasses.field, or a "
                    "BaseModel"
                )


def _check_custom(where: str, kind: Any) -> None:
    name = getattr(kind, "__qualname__", repr(kind))
    try:
        adapter = _adapter(kind)
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"{where}: msgspec does not know how to encode {name}: install pydantic "
            "(pip install pydantic) if it is a type that pydantic knows, or use a dataclass, an "
            "attrs class or a msgspec.Struct"
        ) from None
    except Exception as error:
        raise ConfigurationError(
            f"{where}: neither msgspec nor pydantic can encode {name}: use a dataclass, an attrs "
            "class, a msgspec.Struct or a pydantic model"
        ) from error
    if not adapter.pydantic_complete:
        raise ConfigurationError(
            f"{where}: the pydantic model {name} is not fully defined: call {name}.model_rebuild() "
            "when all that it refers to is"
        )


def fingerprint_of(kind: Any) -> bytes:
    """A digest of all fields' names, nested ones too: the same as long as none comes or goes."""
    text = _describe(inspect.type_info(kind), [])
    return blake2b(text.encode(), digest_size=FINGERPRINT_BYTES, person=b"st-shape").digest()


def _describe(part: inspect.Type, above: list[Any]) -> str:
    if isinstance(part, inspect.CustomType):
        return _schema_of(part.cls)
    if not isinstance(part, _ORDERED):
        return f"[{','.join(_describe(inner, above) for inner in _inside(part))}]"
    if part.cls in above:
        return f"^{len(above) - above.index(part.cls)}"
    above = [*above, part.cls]
    tag = repr(part.tag) if isinstance(part, inspect.StructType) else ""
    fields = sorted(f"{field.encode_name}:{_describe(field.type, above)}" for field in part.fields)
    return f"{tag}{{{','.join(fields)}}}"


def _schema_of(kind: Any) -> str:
    try:
        return json.dumps(_adapter(kind).json_schema(by_alias=False), sort_keys=True)
    except Exception:  # some types can be validated and have no JSON schema
        return f"{kind.__module__}.{kind.__qualname__}"


def _parts(part: inspect.Type, seen: set[int] | None = None) -> Iterator[inspect.Type]:
    """``part`` and all that it is made of, each once."""
    seen = set() if seen is None else seen
    if id(part) in seen:
        return
    seen.add(id(part))
    yield part
    for inner in _inside(part):
        yield from _parts(inner, seen)


def _inside(part: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(part, _ORDERED):
        yield from (field.type for field in part.fields)
    elif isinstance(part, inspect.UnionType):
        yield from part.types
    elif isinstance(part, inspect.TupleType):
        yield from part.item_types
    else:
        for name in ("item_type", "key_type", "value_type", "type"):  # "type": of Metadata
            if isinstance(inner := getattr(part, name, None), inspect.Type):
                yield inner


# A deterministic order -------------------------------------------------------


def in_order(kind: Any) -> Callable[[Any], bytes]:
    """An encoder of values of this type that gives equal bytes for equal values.

    msgspec sorts dicts whose keys are text and sets of what compares; for others, dicts
    and sets become lists sorted by their items' bytes.
    """
    encode = msgspec.msgpack.Encoder(enc_hook=_dump_ordered).encode
    encode_sorted = msgspec.msgpack.Encoder(enc_hook=_dump_ordered, order="deterministic").encode

    def encode_canonical(value: Any) -> bytes:
        return encode(_canonical(value, encode))

    def encode_in_order(value: Any) -> bytes:
        try:
            return encode_sorted(value)
        except TypeError:
            return encode_canonical(value)

    # Sets compare by inclusion, by which they cannot be sorted, and it would not be noticed.
    sets = [part for part in _parts(inspect.type_info(kind)) if isinstance(part, _SETS)]
    nested = any(isinstance(inner, _SETS) for part in sets for inner in _parts(part.item_type))
    return encode_canonical if nested else encode_in_order


def _canonical(value: Any, encode: Callable[[Any], bytes]) -> Any:
    if isinstance(value, dict):
        pairs = [
            (encode(_canonical(key, encode)), _canonical(inner, encode))
            for key, inner in cast("Mapping[Any, Any]", value).items()
        ]
        return {"dict": sorted(pairs, key=itemgetter(0))}
    if isinstance(value, (set, frozenset)):
        items = cast("set[Any]", value)
        return {"set": sorted(encode(_canonical(item, encode)) for item in items)}
    if isinstance(value, (list, tuple)):
        return [_canonical(item, encode) for item in cast("list[Any]", value)]
    if _is_model(value):
        return _canonical(_dump_ordered(value), encode)
    names = _field_names(value)
    if not names:
        return value
    return {type(value).__qualname__: [_canonical(getattr(value, n), encode) for n in names]}


def _field_names(value: Any) -> tuple[str, ...]:
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if dataclasses.is_dataclass(value):
        return tuple(field.name for field in dataclasses.fields(value))
    attributes: tuple[Any, ...] = getattr(cast("Any", type(value)), "__attrs_attrs__", ())
    return tuple(attribute.name for attribute in attributes)


def _dump_ordered(value: Any) -> Any:
    """As `dump`, but sets are still sets, to be put in order."""
    adapter = _adapter_of_value(value)
    return _dump_as(adapter, value, "python" if _is_model(value) else "json")
