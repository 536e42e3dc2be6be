"""Session types: what a class statement makes of fields, and what it refuses."""

from __future__ import annotations

import dataclasses
import enum
import functools
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import pytest

from sessiontracker import session as library
from sessiontracker.session import OwnedSession, Session


@dataclasses.dataclass
class Profile:
    name: str = "nobody"
    tags: list[str] = dataclasses.field(default_factory=list)


class Colour(enum.Enum):
    RED = "red"


class Checkout(Session):
    items: list[str] = []
    paid: bool = False


class Login(OwnedSession[Profile]):
    device: str


OTHERS = TypeVar("OTHERS")


class Middle(OwnedSession[OTHERS], Generic[OTHERS]):
    a: int = 0


class Leaf(Middle[Profile]):
    b: int = 0


class LeafOfLeaf(Leaf):
    c: int = 0


class SharesNothing(OwnedSession):
    pass


def define(
    body: dict[str, Any], *, base: type = Session, name: str = "Made", **settings: Any
) -> Any:
    """A class statement with this body; annotations under ``__annotations__``."""
    namespace = {"__module__": __name__, "__qualname__": name, **body}
    return type(base)(name, (base,), namespace, **settings)


# The class statement ---------------------------------------------------------


@pytest.mark.parametrize(
    ("clsname", "name"),
    [
        ("Checkout", "checkout"),
        ("HTTPLogin", "http_login"),
        ("PaymentByHTTP", "payment_by_http"),
        ("Order2Go", "order2_go"),
        ("_Private", "private"),
        ("already_snake", "already_snake"),
    ],
)
def test_a_type_is_named_after_its_class(clsname: str, name: str) -> None:
    assert library.type_name(define({}, name=clsname)) == name


def test_name_and_schema_can_be_given_and_are_each_class_s_own() -> None:
    cls = define({}, name="Made", schema=7)
    named = type(Session)("Other", (cls,), {"__module__": __name__}, name="v2.other-thing")
    assert (library.type_name(cls), library.schema_of(cls)) == ("made", 7)
    assert (library.type_name(named), library.schema_of(named)) == ("v2.other-thing", 1)


@pytest.mark.parametrize("name", ["", "Checkout", "2go", "with space", "a" * 65, "naïve", 3])
def test_a_bad_name_is_refused(name: Any) -> None:
    with pytest.raises(TypeError, match=r"Bad: name=.* cannot name a session type: use "):
        type(Session)("Bad", (Session,), {"__module__": __name__}, name=name)


def test_a_class_name_that_makes_no_name_asks_for_one() -> None:
    with pytest.raises(TypeError, match=r"'Überweisung': write class Überweisung\(\.\.\., name="):
        define({}, name="Überweisung")


@pytest.mark.parametrize("schema", [0, -1, 65_536, True, 1.5, "2"])
def test_a_bad_schema_is_refused(schema: Any) -> None:
    with pytest.raises(TypeError, match=r"Made: schema=.* cannot number a schema: use 1 to 65535"):
        define({}, schema=schema)


RESERVED = "key id owner version started_at updated_at expires_at finished_at shared upgrade"


@pytest.mark.parametrize("name", RESERVED.split())
def test_a_field_with_a_reserved_name_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=rf"Made\.{name}: sessions have '{name}' already: rename"):
        define({"__annotations__": {name: "str"}})


@pytest.mark.parametrize("name", RESERVED.split()[:-1])
def test_a_method_with_a_reserved_name_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=rf"Made\.{name}: sessions have '{name}' already: choose"):
        define({name: lambda self: None})


def test_an_upgrade_that_is_no_classmethod_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Made\.upgrade must be a @classmethod"):
        define({"upgrade": lambda data, schema: data})


def test_a_private_field_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Made\._secret: a field's name must not begin with '_'"):
        define({"__annotations__": {"_secret": "str"}})


@pytest.mark.parametrize("value", [False, None, 3, [], "x", object(), Colour.RED])
def test_a_value_without_an_annotation_is_refused(value: Any) -> None:
    with pytest.raises(
        TypeError, match=r"Made\.paid has a value and no annotation, .* write paid: "
    ):
        define({"paid": value})


def test_a_default_changed_without_an_annotation_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Made\.paid has a value and no annotation"):
        define({"paid": True}, base=Checkout)


def test_hiding_an_inherited_field_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Made\.paid would hide the inherited field"):
        define({"paid": property(lambda self: True)}, base=Checkout)


def test_a_cached_property_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Made\.total: a cached value would outlive .* @property"):
        define({"total": functools.cached_property(lambda self: 1)})


@pytest.mark.parametrize("name", ["__init__", "__new__"])
def test_a_constructor_of_one_s_own_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=rf"Made\.{name}: .* write __post_init__"):
        define({name: lambda self: None})


def test_what_belongs_to_a_class_is_no_field() -> None:
    class Rich(Session):
        """A docstring."""

        LIMIT: ClassVar[int] = 3
        _cache: ClassVar[dict[str, int]] = {}
        Alias = list[int]
        Inner = Profile
        count: int = 0

        class Nested:
            pass

        @property
        def doubled(self) -> int:
            return self.count * 2

        @classmethod
        def of(cls, count: int) -> Rich:
            return cls(count=count)

        @staticmethod
        def three() -> int:
            return 3

        def add(self) -> None:
            self.count += 1

        tripled = functools.partialmethod(lambda self, n: self.count * n, 3)

        def __str__(self) -> str:
            return "rich"

        def __post_init__(self) -> None:
            self.count += 1

    session = Rich.of(1)
    session.add()
    assert Rich.__struct_fields__ == ("count",)
    assert (session.count, session.doubled, session.tripled()) == (3, 6, 9)
    assert (str(session), Rich.three(), Rich.LIMIT, Rich._cache) == ("rich", 3, 3, {})


def test_a_subclass_inherits_fields() -> None:
    class Gift(Checkout):
        message: str = ""

    gift = Gift(key="g", items=["book"], message="for you")
    assert isinstance(gift, Checkout)
    assert library.fields_of(gift) == {"items": ["book"], "paid": False, "message": "for you"}
    assert library.type_name(Gift) == "gift"


def test_what_owners_share_is_found_through_generic_bases() -> None:
    shared = {cls: library.shared_type(cls) for cls in (Login, Leaf, LeafOfLeaf)}
    assert shared == {Login: Profile, Leaf: Profile, LeafOfLeaf: Profile}
    assert [library.shared_type(cls) for cls in (Checkout, SharesNothing, Middle)] == [None] * 3
    assert [library.is_owned(cls) for cls in (LeafOfLeaf, Checkout)] == [True, False]


def test_a_shared_type_as_text_is_refused() -> None:
    with pytest.raises(TypeError, match=r"OwnedSession\['Later'\] is text: define"):

        class Early(OwnedSession["Later"]):  # type: ignore[name-defined]
            pass


def test_a_base_is_no_session_type() -> None:
    for base in (Session, OwnedSession):
        with pytest.raises(TypeError, match="subclass"):
            base()
        with pytest.raises(TypeError, match="is no session type: subclass Session"):
            library.type_name(base)
    with pytest.raises(TypeError, match="is no session type"):
        library.type_name(int)  # type: ignore[arg-type]


# Defaults --------------------------------------------------------------------


class Struct(msgspec.Struct):
    inner: list[int] = []


class Defaults(Session):
    empty: list[int] = []
    full: list[list[int]] = [[1], [2]]
    table: dict[str, list[int]] = {"a": [1]}
    group: set[int] = {1}
    pair: tuple[list[int], int] = ([1], 2)
    frozen: tuple[int, str] = (1, "x")
    profile: Profile = Profile(tags=["a"])
    struct: Struct = Struct(inner=[1])
    raw: bytearray = bytearray(b"x")
    made: list[int] = msgspec.field(default_factory=lambda: [7])
    given: list[int] = msgspec.field(default=[8])
    dataclass_made: list[int] = dataclasses.field(default_factory=lambda: [9])
    dataclass_given: int = dataclasses.field(default=10)
    when: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    colour: Colour = Colour.RED
    nothing: None = None


def test_defaults_are_equal_and_never_shared() -> None:
    first, second = Defaults(), Defaults()
    assert first == second
    immutable = {"frozen", "dataclass_given", "when", "colour", "nothing"}
    for name in Defaults.__struct_fields__:
        same = getattr(first, name) is getattr(second, name)
        assert same == (name in immutable), name
    first.full[0].append(2)
    first.profile.tags.append("b")
    first.struct.inner.append(2)
    first.pair[0].append(2)
    assert Defaults() == second
    assert (second.made, second.given, second.dataclass_made) == ([7], [8], [9])


def test_a_default_is_copied_when_the_class_is_made() -> None:
    mine = [1]
    cls = define({"__annotations__": {"x": "list[int]"}, "x": mine})
    mine.append(2)
    assert cls().x == [1]


def test_a_default_that_cannot_be_copied_asks_for_a_factory() -> None:
    with pytest.raises(TypeError, match=r"Made\.x: the default cannot be copied .*default_factory"):
        define({"__annotations__": {"x": "object"}, "x": (number for number in ())})


def test_a_field_without_a_default_after_one_that_has_one() -> None:
    cls = define(
        {
            "__annotations__": {"a": "int", "b": "int", "c": "int", "d": "int"},
            "a": 1,
            "c": msgspec.field(),
            "d": dataclasses.field(),
        }
    )
    assert library.fields_of(cls(b=2, c=3, d=4)) == {"a": 1, "b": 2, "c": 3, "d": 4}
