"""What a class statement may say, and what a session is in the hands of its user."""

from __future__ import annotations

import copy
import dataclasses
import enum
import functools
import gc
import pickle
import weakref
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import pytest

from sessiontracker import session as library
from sessiontracker.errors import InvalidKeyError
from sessiontracker.keys import id_of, new_secret_key, parse_secret_key
from sessiontracker.operations import FOREVER, Address, Meta
from sessiontracker.session import OwnedSession, Session
from sessiontracker.view import SharedView


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


def meta(**changes: Any) -> Meta:
    known = {"started": 1_000, "updated": 2_500, "slid": 0, "idle": 0, "ends": FOREVER}
    given = {"life": 1, "version": 3, "write": 4, "owner": "", "expires": FOREVER, **known}
    return Meta(**{**given, **changes})


def attached(session: Any, *, key: str = "order-42", **changes: Any) -> Any:
    library.attach(session, Address("t", "", "k" + key), key, meta(**changes), lock="the lock")
    return session


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


# The constructor -------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Checkout("order-42"), "Checkout takes keyword arguments only; Checkout has the"),
        (lambda: Checkout(itmes=[]), "Checkout has no field 'itmes': did you mean 'items'?"),
        (lambda: Checkout(keys="x"), "Checkout has no field 'keys': did you mean 'key'?"),
        (
            lambda: Checkout(zzz=1),
            "Checkout has no field 'zzz': Checkout has the fields items, paid",
        ),
        (lambda: Login(), r"Login needs device=\.\.\.; Login has the fields device"),
        (
            lambda: Checkout(owner="a"),
            r"Checkout has no owner: write class Checkout\(OwnedSession\)",
        ),
        (lambda: SharesNothing(x=1), "SharesNothing has no field 'x': it has no fields"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


def test_an_error_of_post_init_is_its_own() -> None:
    def refuse(self: Any) -> None:
        raise TypeError("not on a Sunday")

    with pytest.raises(TypeError, match="not on a Sunday"):
        define({"__post_init__": refuse})()


@pytest.mark.parametrize("key", ["", None, 3, "stk_x", "sti_x", "\ud800", "x" * 1025])
def test_a_key_that_none_can_have_is_refused(key: Any) -> None:
    with pytest.raises(InvalidKeyError):
        Checkout(key=key)


@pytest.mark.parametrize("owner", [None, 3, "\ud800", "x" * 1025])
def test_an_owner_that_none_can_be_is_refused(owner: Any) -> None:
    with pytest.raises(InvalidKeyError, match="owner"):
        Login(owner=owner, device="ios")


def test_a_key_of_one_s_own_needs_its_owner() -> None:
    with pytest.raises(InvalidKeyError, match=r"Login\(key='ios'\) needs owner=\.\.\."):
        Login(key="ios", device="ios")
    login = Login(key="ios", owner="alice", device="ios")
    assert (login.key, login.owner) == ("ios", "alice")
    assert Login(device="ios").owner == Login(owner="", device="ios").owner == ""


def test_before_it_is_started() -> None:
    checkout = Checkout(key="order-42", items=["book"])
    assert (checkout.key, checkout.id, checkout.owner, checkout.version) == ("order-42", "", "", 0)
    times = (checkout.started_at, checkout.updated_at, checkout.expires_at, checkout.finished_at)
    assert times == (None,) * 4
    assert Checkout().key == ""
    assert (
        library.address_of(checkout)
        is library.meta_of(checkout)
        is library.lock_of(checkout)
        is None
    )


# What the tracker attaches ---------------------------------------------------


def test_metadata_is_read_from_the_store_s_header() -> None:
    login = attached(
        Login(device="ios", owner="was"), owner="alice", expires=60_000, finished=5_000
    )
    assert (login.id, login.key, login.owner, login.version) == ("order-42", "order-42", "alice", 3)
    seconds = [t.timestamp() for t in (login.started_at, login.updated_at, login.finished_at)]
    assert seconds == [1.0, 2.5, 5.0]
    assert login.expires_at == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert login.expires_at.tzinfo is UTC


def test_what_never_expires_and_what_expires_beyond_the_calendar() -> None:
    assert attached(Checkout(), expires=FOREVER).expires_at is None
    assert attached(Checkout(), expires=FOREVER - 1).expires_at.year == 9999


def test_a_save_moves_the_metadata_and_nothing_else() -> None:
    checkout = attached(Checkout())
    library.set_meta(checkout, meta(version=4))
    assert (checkout.version, checkout.key, library.lock_of(checkout)) == (
        4,
        "order-42",
        "the lock",
    )


def test_a_session_becomes_what_was_read_later_and_stays_the_holder_s() -> None:
    checkout = attached(Checkout(items=["book"]))
    library.set_carried(checkout, "read before")
    later = msgspec.msgpack.decode(b"\x81\xa4paid\xc3", type=Checkout)
    library.attach(later, Address("t", "", "kother"), "other", meta(version=9))
    library.refill(checkout, later)
    assert checkout == later
    assert (checkout.key, checkout.version, checkout.id) == ("other", 9, "other")
    assert library.carried_of(checkout) is None
    assert library.lock_of(checkout) == "the lock"


def test_a_misspelt_attribute_is_refused() -> None:
    checkout = Checkout()
    with pytest.raises(AttributeError):
        checkout.piad = True  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [*RESERVED.split()[:-2], "shared"])
def test_metadata_cannot_be_assigned(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Login(device="ios"), name, "x")


def test_repr_never_shows_a_secret_key() -> None:
    assert repr(Checkout(key="order-42")) == "Checkout(key='order-42', items=[], paid=False)"
    assert repr(Checkout()) == "Checkout(items=[], paid=False)"
    secret = new_secret_key()
    place = parse_secret_key(secret, owned=False)
    assert place is not None
    checkout = Checkout()
    library.attach(checkout, Address("checkout", *place), secret, meta())
    assert checkout.key == secret
    assert repr(checkout) == f"Checkout(id='{id_of(*place)}', version=3, items=[], paid=False)"


def test_shared_state_is_a_new_one_until_it_is_read() -> None:
    login, other = Login(device="ios"), Login(device="ios")
    assert login.shared == Profile()
    assert login.shared is login.shared is not other.shared
    read = Profile("alice")
    library.set_view(login, SharedView.of(read))
    assert login.shared is read
    assert SharesNothing().shared is None


# Copies ----------------------------------------------------------------------

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "replace": getattr(copy, "replace", lambda session: session.__replace__()),  # from 3.13 on
    "pickle": lambda session: pickle.loads(pickle.dumps(session)),
}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_keeps_everything_but_the_lock(way: str) -> None:
    login = attached(Login(device="ios", owner="alice"), key="ios", owner="alice")
    library.set_view(login, SharedView.of(Profile("alice")))
    library.set_carried(login, ("carried", {"x": 1}))
    duplicate = COPIES[way](login)
    assert duplicate == login
    assert duplicate is not login
    for read in (library.address_of, library.key_of, library.meta_of, library.carried_of):
        assert read(duplicate) == read(login)
    assert (duplicate.owner, duplicate.version, duplicate.shared.name) == ("alice", 3, "alice")
    assert library.lock_of(duplicate) is None
    assert library.lock_of(login) == "the lock"


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_of_what_was_never_started(way: str) -> None:
    duplicate = COPIES[way](Login(owner="alice", key="ios", device="ios"))
    assert (duplicate.key, duplicate.owner, duplicate.version) == ("ios", "alice", 0)


def test_only_a_deep_copy_copies_the_fields() -> None:
    checkout = Checkout(items=["book"])
    assert copy.copy(checkout).items is checkout.items
    assert copy.deepcopy(checkout).items is not checkout.items
    assert checkout.__replace__(paid=True).paid
    login = Login(device="ios")
    library.set_view(login, SharedView.of(Profile("alice")))
    assert copy.copy(login).shared is login.shared
    assert copy.deepcopy(login).shared == Profile("alice")
    assert copy.deepcopy(login).shared is not login.shared


def test_a_deep_copy_keeps_what_two_fields_have_in_common() -> None:
    cls = define({"__annotations__": {"a": "list", "b": "list"}})
    common: list[int] = []
    duplicate = copy.deepcopy(cls(a=common, b=common))
    assert duplicate.a is duplicate.b is not common


# As an object ----------------------------------------------------------------


def test_equality_is_by_type_and_fields() -> None:
    assert attached(Checkout(items=["a"])) == Checkout(items=["a"])
    assert Checkout(items=["a"]) != Checkout()
    assert define({}, base=Checkout)() != Checkout()


def test_sessions_can_be_referred_to_weakly_and_are_collected_in_cycles() -> None:
    class Holder:
        session: Any = None

    checkout = attached(Checkout())
    holder = Holder()
    holder.session = checkout
    library.set_lock(checkout, holder)
    gone = weakref.ref(checkout)
    assert gone() is checkout
    del checkout, holder
    gc.collect()
    assert gone() is None
