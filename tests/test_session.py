"""Sessions as objects: the constructor, what a tracker attaches, copies."""

from __future__ import annotations

import copy
import dataclasses
import gc
import pickle
import weakref
from datetime import UTC, datetime
from typing import Any

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


class Checkout(Session):
    items: list[str] = []
    paid: bool = False


class Login(OwnedSession[Profile]):
    device: str


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


RESERVED = "key id owner version started_at updated_at expires_at finished_at shared upgrade"


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
