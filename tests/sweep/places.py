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
import pymysql
from sqlalchemy import Engine, NullPool, create_engine, make_url, text

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
    clear: Callable[[], None]
    """Nothing is stored."""
    raze: Callable[[], None]
    """Nobody has ever opened it."""
    held: Callable[[], list[str]]
    connections: Callable[[], int]
    made: Callable[[AsyncBackend, bool], AsyncBackend] = lambda backend, is_observer: backend
    """What a tracker, or the observer, uses in place of the backend that it made."""
    engine: str = ""
    """What SQLAlchemy calls it."""


class Tracker(AsyncSessionTracker):
    """A tracker that knows all backends that it ever opened."""

    def __init__(self, place: Place, *, is_observer: bool) -> None:
        super().__init__(place.config)
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

    @property
    def config(self) -> dict[str, Any]:
        return {
            "backends": {name: dict(store.options) for name, store in self.stores.items()},
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

    def connections(self) -> int:
        return sum(store.connections() for store in self.stores.values())


def _none() -> int:
    """In this process there is nobody to ask: its open files are counted."""
    return 0


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

    yield Store({"use": "memory"}, clear, clear, held, _none, made)


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

    yield Store({"use": "file", "url": str(root)}, clear, raze, held, _none)


# SQL ---------------------------------------------------------------------------


@contextmanager
def _sqlite(folder: Path) -> Iterator[Store]:
    path = folder / "sessions.db"
    # Where a connection stays open, SQLite keeps the files of others, which were closed.
    with _sql(f"sqlite:///{path}", _none, poolclass=NullPool) as store:
        yield store


_ADMIN = {"application_name": "admin"}


@contextmanager
def _postgresql(_: Path) -> Iterator[Store]:
    server = PostgreSQL().start()
    admin = psycopg.connect(server.url, autocommit=True)

    def connections() -> int:
        row = admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid() AND application_name <> 'admin'"
        ).fetchone()
        assert row is not None
        return int(row[0])

    try:
        with _sql(server.url, connections, connect_args=_ADMIN) as store:
            yield store
    finally:
        admin.close()
        server.stop()


@contextmanager
def _mariadb(_: Path) -> Iterator[Store]:
    server = MariaDB().start()
    parts = make_url(server.url)
    admin = pymysql.connect(host=parts.host, port=parts.port or 0, user="root", autocommit=True)

    def connections() -> int:
        """But for this one, and the one that `_sql` clears by."""
        with admin.cursor() as cursor:
            cursor.execute(
                "SELECT COUNT(*) FROM information_schema.processlist "
                "WHERE user = 'root' AND id <> CONNECTION_ID()"
            )
            return int(cursor.fetchall()[0][0])

    try:
        with _sql(server.url, connections) as store:
            yield store
    finally:
        admin.close()
        server.stop()


@contextmanager
def _sql(url: str, connections: Callable[[], int], **options: Any) -> Iterator[Store]:
    where = with_driver(url, asynchronous=False)
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

    try:
        yield Store(
            {"use": "sql", "url": url, "table_prefix": "sweep_"},
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
    admins = [server.client() for server in servers]

    def clear() -> None:
        for admin in admins:
            admin.flushall()

    def held() -> list[str]:
        return [f"{name}: {lock!r}" for admin in admins for name, lock in _locks(admin) if lock]

    def connections() -> int:
        return sum(len(admin.client_list()) - 1 for admin in admins)

    return Store({"use": "redis", "url": url}, clear, clear, held, connections)


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
