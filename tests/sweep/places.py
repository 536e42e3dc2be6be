"""Where the sweep is done: each place's tracker, and what is left behind there as nobody is told:
leases and tickets in the store, connections to it."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url, text

from database_servers import MariaDB, PostgreSQL
from drivers import with_driver
from redis_servers import Cluster, Server
from sessiontracker import AsyncSessionTracker
from sessiontracker.backend import AsyncBackend
from sessiontracker.blobs import decode
from sessiontracker.memory import AsyncMemoryBackend
from tests.faulty import AsyncFaulty, Faults

__all__ = ["PLACES", "Place", "Tracker", "is_server", "place_of"]

PAUSES = 12  # turns of the loop that a slow memory takes for a batch, twice
_LOCK = struct.Struct(">B19s7s7s8s8s6s8s19s7sH")  # as in the Redis backend's base.lua


class Store(NamedTuple):
    """One backend of a place. ``held`` lists the leases and tickets that are in it."""

    options: Mapping[str, Any]
    observers: Mapping[str, Any]
    """The same, for who must be told from others there."""
    clear: Callable[[], None]
    """Nothing is stored."""
    raze: Callable[[], None]
    """Nobody has ever opened it."""
    held: Callable[[], list[str]]
    connections: Callable[[], list[str]]
    """Those to it that are others' than the observer's and this module's own."""
    made: Callable[[AsyncBackend, bool], AsyncBackend] = lambda backend, is_observer: backend
    """What a tracker, or the observer, uses in place of the backend that it made."""
    engine: str = ""
    """What SQLAlchemy calls it."""


class Tracker(AsyncSessionTracker):
    """A tracker that knows all backends that it ever opened."""

    def __init__(self, place: Place, *, is_observer: bool) -> None:
        super().__init__(place.config(is_observer=is_observer))
        self.place = place
        self.is_observer = is_observer
        self.backends: list[Any] = []

    def _opener(self, name: str) -> AsyncBackend:
        backend = self.place.stores[name].made(super()._opener(name), self.is_observer)
        self.backends.append(backend)
        return backend

    @property
    def waiting(self) -> int:
        """How many tickets its backends still expect hints for."""
        inner = [getattr(backend, "inner", backend) for backend in self.backends]
        return sum(len(getattr(each, "_hints", each)._wakes) for each in inner)


class Place(NamedTuple):
    """Which stores keep sessions and locks."""

    name: str
    stores: Mapping[str, Store]
    storage: str
    locking: str

    def config(self, *, is_observer: bool) -> dict[str, Any]:
        return {
            "backends": {
                name: dict(store.observers if is_observer else store.options)
                for name, store in self.stores.items()
            },
            "defaults": {"storage": self.storage, "locking": self.locking, "lock_lease": "120s"},
            "sessions": {"login": {"max_per_owner": 3, "on_limit": "finish_oldest"}},
            "operation_timeout": "60s",
        }

    @property
    def engine(self) -> str:
        return self.stores[self.storage].engine

    def tracker(self, *, is_observer: bool = False) -> Tracker:
        return Tracker(self, is_observer=is_observer)

    def clear(self) -> None:
        for store in self.stores.values():
            store.clear()

    def raze(self) -> None:
        for store in self.stores.values():
            store.raze()

    def held(self) -> list[str]:
        return [each for store in self.stores.values() for each in store.held()]

    def connections(self) -> list[str]:
        return [each for store in self.stores.values() for each in store.connections()]


OBSERVER = "observer"
"""By this name a server knows its connections, which it makes when it has more to ask at once."""


def _none() -> list[str]:
    """In this process there is nobody to ask: its open files are counted."""
    return []


# In this process ---------------------------------------------------------------


@contextmanager
def _memory(_: Path, pauses: int = 0) -> Iterator[Store]:
    """One memory for all trackers. With ``pauses``, what is asked of it is under way for a while,
    as with a server; not by the observer."""
    shared = AsyncMemoryBackend()
    faults = Faults()
    faults.pauses = pauses

    def made(_: AsyncBackend, is_observer: bool) -> AsyncBackend:
        return AsyncFaulty(shared, faults) if pauses and not is_observer else shared

    def clear() -> None:
        shared._store = type(shared._store)()
        faults.batches.clear()

    def held() -> list[str]:
        return [
            f"{address.type} {name}: {key.lock}"
            for address, slot in shared._store.slots.items()
            for name, key in slot.keys.items()
            if key.lock is not None and (key.lock.lease is not None or key.lock.queue)
        ]

    options = {"use": "memory"}
    yield Store(options, options, clear, clear, held, _none, made)


@contextmanager
def _slow_memory(folder: Path) -> Iterator[Store]:
    with _memory(folder, PAUSES) as store:
        yield store


@contextmanager
def _file(folder: Path) -> Iterator[Store]:
    root = folder / "files"

    def raze() -> None:
        shutil.rmtree(root, ignore_errors=True)

    def clear() -> None:
        for path in root.glob("*/"):
            shutil.rmtree(path)

    def held() -> list[str]:
        found: list[str] = []
        for path in root.rglob("*"):
            if not path.is_file() or path.name.startswith("."):
                continue
            type, stripe, name = path.relative_to(root).parts
            slot = decode(f"{type}-{stripe}{name}", path.read_bytes()).slot
            found += [
                f"{type} {name}: {key.lock}"
                for name, key in slot.keys.items()
                if key.lock is not None and (key.lock.lease is not None or key.lock.queue)
            ]
        return found

    options = {"use": "file", "url": str(root)}
    yield Store(options, options, clear, raze, held, _none)


# SQL ---------------------------------------------------------------------------


@contextmanager
def _sqlite(folder: Path) -> Iterator[Store]:
    path = folder / "sessions.db"
    # Where a connection stays open, SQLite keeps the files of others, which were closed.
    with _sql(f"sqlite:///{path}", _none, poolclass=NullPool) as store:
        yield store


@contextmanager
def _postgresql(_: Path) -> Iterator[Store]:
    server = PostgreSQL().start()
    observers = make_url(server.url).update_query_dict({"application_name": OBSERVER})
    admin = psycopg.connect(server.url, autocommit=True)

    def connections() -> list[str]:
        return [
            repr(row)
            for row in admin.execute(
                "SELECT pid, state, query FROM pg_stat_activity WHERE application_name <> %s "
                "AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
                [OBSERVER],
            )
        ]

    try:
        with _sql(server.url, connections, observers) as store:
            yield store
    finally:
        admin.close()
        server.stop()


@contextmanager
def _mariadb(_: Path) -> Iterator[Store]:
    server = MariaDB().start()
    observers = make_url(server.url).set(username=OBSERVER)
    admin = server.connect()
    admin.autocommit(True)

    def connections() -> list[str]:
        with admin.cursor() as cursor:
            cursor.execute(
                "SELECT id, user, command, state, info FROM information_schema.processlist "
                "WHERE id <> CONNECTION_ID() AND user NOT IN (%s, 'system user')",
                [OBSERVER],
            )
            return [repr(row) for row in cursor.fetchall()]

    try:
        with admin.cursor() as cursor:
            users = f"{OBSERVER}@localhost, {OBSERVER}@'127.0.0.1'"  # as it reads the address
            cursor.execute(f"CREATE USER {users}")
            cursor.execute(f"GRANT ALL ON *.* TO {users}")
        with _sql(server.url, connections, observers) as store:
            yield store
    finally:
        admin.close()
        server.stop()


@contextmanager
def _sql(
    url: str, connections: Callable[[], list[str]], observers: URL | None = None, **options: Any
) -> Iterator[Store]:
    """``observers``: where the observer, and what clears, connect to. None: there, too."""
    observed = url if observers is None else observers.render_as_string(hide_password=False)
    where = with_driver(observed, asynchronous=False)
    engine = create_engine(where, isolation_level="AUTOCOMMIT", **options)
    tables = ("keys", "owners", "schema")

    def do(statement: str, names: Iterable[str]) -> None:
        with engine.connect() as connection:
            for name in names:
                connection.execute(text(statement.format(f"sweep_{name}")))

    def clear() -> None:
        do("DELETE FROM {}", tables[:2])

    def raze() -> None:
        do("DROP TABLE IF EXISTS {}", tables)

    given = {"use": "sql", "url": url, "table_prefix": "sweep_"}
    try:
        yield Store(
            given,
            given | {"url": observed},
            clear,
            raze,
            lambda: _held_in_rows(engine),
            connections,
            engine=with_driver(url, asynchronous=True).render_as_string(hide_password=False),
        )
    finally:
        engine.dispose()


def _held_in_rows(engine: Engine) -> list[str]:
    """But for the lease of who reaps (of no type): nobody waits for it, and it ends in 10 s."""
    key = engine.dialect.identifier_preparer.quote("key")
    with engine.connect() as connection:
        rows = connection.execute(
            text(f"SELECT type, {key}, lease_ticket, queue FROM sweep_keys WHERE length(type) > 0")
        )
        return [repr(row) for row in rows if row.lease_ticket or row.queue]


# Valkey ------------------------------------------------------------------------


@contextmanager
def _valkey(_: Path) -> Iterator[Store]:
    server = Server("valkey").start()
    try:
        yield _on_servers(server.url, [server])
    finally:
        server.stop()


@contextmanager
def _cluster(_: Path) -> Iterator[Store]:
    cluster = Cluster("valkey").start()
    try:
        yield _on_servers(cluster.url, cluster.servers)
    finally:
        cluster.stop()


def _on_servers(url: str, servers: list[Server]) -> Store:
    admins = [server.client(client_name=OBSERVER) for server in servers]

    def clear() -> None:
        for admin in admins:
            admin.flushall()

    def held() -> list[str]:
        return [f"{name}: {lock!r}" for admin in admins for name, lock in _locks(admin) if lock]

    def connections() -> list[str]:
        clients = [each for admin in admins for each in admin.client_list()]
        return [repr(each) for each in clients if each["name"] != OBSERVER]

    options = {"use": "redis", "url": url}
    observers = options | {"url": f"{url}?client_name={OBSERVER}"}
    return Store(options, observers, clear, clear, held, connections)


def _locks(admin: Any) -> Iterator[tuple[bytes, bytes]]:
    """All locks, by name: what is left of each without what a free one has."""
    for name in admin.scan_iter("*", count=1000):
        if name.endswith(b":l"):
            yield name, _taken(admin.get(name) or b"")
        elif name.endswith(b":lh"):
            for key, lock in admin.hgetall(name).items():
                yield name + b" " + key, _taken(lock)


def _taken(lock: bytes) -> bytes:
    if not lock:
        return b""
    *_, ticket, _, _, size = _LOCK.unpack_from(lock)
    return ticket.strip(b"\0") + lock[_LOCK.size + size :]


# By name -------------------------------------------------------------------------

_STORES: dict[str, Callable[[Path], Any]] = {
    "memory": _memory,
    "slow memory": _slow_memory,
    "other memory": _slow_memory,
    "file": _file,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mariadb": _mariadb,
    "valkey": _valkey,
    "cluster": _cluster,
}

PLACES = {
    **{name: (name, name) for name in _STORES if name != "other memory"},
    "memories apart": ("slow memory", "other memory"),
    "postgresql, locks on valkey": ("postgresql", "valkey"),
}
"""Which store has the sessions and which one the locks, by the name of the place."""


def is_server(name: str) -> bool:
    """Whether a user's own transaction is swept at the place ``name``: on a database server. On
    SQLite, aiosqlite itself may leave the file locked behind a cancelled statement."""
    return PLACES[name][0] in ("postgresql", "mariadb")


@contextmanager
def place_of(name: str, folder: Path) -> Iterator[Place]:
    """One of `PLACES`; what is a file is in ``folder``."""
    storage, locking = PLACES[name]
    with ExitStack() as stack:
        stores = {
            each: stack.enter_context(_STORES[each](folder))
            for each in dict.fromkeys((storage, locking))
        }
        yield Place(name, stores, storage, locking)
