"""The stores that histories are made on, each with what can be done to its servers."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from time import monotonic_ns
from typing import Any, NamedTuple

import psycopg
import pymysql

from database_servers import MariaDB, PostgreSQL
from redis_servers import Cluster, Server, until
from sessiontracker_redis.slots import slot_of
from small_disk import NoDiskError, SmallDisk

from .checker import Rolled
from .proxy import Proxy, Weather

__all__ = ["STORES", "Fault", "NotHereError", "Store", "store_of"]

PROCESSES = 3

Fault = Callable[[Random], Rolled | None]
"""What strikes; it returns what of it may have lost, if it may."""


class Store(NamedTuple):
    """Where sessions are, for one history after the other, and what its servers can be done."""

    options: Callable[[str], dict[str, Any]]
    """Of the history of that name, which has it to itself."""
    faults: dict[str, Fault]
    processes: int = PROCESSES
    calm: bool = False  # no fault but tasks that are cancelled
    own_clock: bool = True  # another than that of its clients
    is_fair: bool = False  # who waits for a lock is served in turn


class NotHereError(Exception):
    """The store cannot be had on this machine."""


@contextmanager
def store_of(name: str, folder: Path) -> Iterator[Store]:
    """One of `STORES`; what is a file is in ``folder``. Raises: NotHereError."""
    with STORES[name](folder) as store:
        yield store


@contextmanager
def _memory(_: Path) -> Iterator[Store]:
    yield Store(
        lambda _: {"use": "memory"}, {}, processes=1, calm=True, own_clock=False, is_fair=True
    )


@contextmanager
def _files(folder: Path) -> Iterator[Store]:
    with _disk("files", folder) as (place, faults):
        yield Store(lambda name: {"use": "file", "url": str(place / name)}, faults, own_clock=False)


@contextmanager
def _sqlite(folder: Path) -> Iterator[Store]:
    with _disk("SQLite", folder) as (place, faults):
        yield Store(_sql(f"sqlite:///{place / 'sessions.db'}"), faults, own_clock=False)


@contextmanager
def _disk(what: str, folder: Path) -> Iterator[tuple[Path, dict[str, Fault]]]:
    """Where files may lie, and that it is full; in ``folder`` where no disk can be mounted."""
    try:
        disk = SmallDisk(256)
    except NoDiskError as error:
        print(f"{what}: NOT with a full disk: {error}")
        yield folder, {}
        return

    def fill(random: Random) -> None:
        disk.fill()
        time.sleep(random.uniform(0.1, 1.0))
        disk.free()

    try:
        yield disk.folder, {"disk full": fill}
    finally:
        disk.close()


def _sql(url: str, **options: str) -> Callable[[str], dict[str, Any]]:
    return lambda name: {"use": "sql", "url": url, "table_prefix": f"{name}_", **options}


def _redis(url: str) -> Callable[[str], dict[str, Any]]:
    return lambda name: {"use": "redis", "url": url, "prefix": f"{name}:", "timeout": "1s"}


def _faults_of_wire(proxy: Proxy) -> dict[str, Fault]:
    """What may happen between clients and the server."""

    def cut(_: Random) -> None:
        proxy.cut()

    def stall(random: Random) -> None:
        requests, replies = random.choice(((True, False), (False, True), (True, True)))
        with proxy.bad(Weather(no_requests=requests, no_replies=replies)):
            time.sleep(random.uniform(0.1, 1.5))

    def of(weather: Weather, seconds: float) -> Fault:
        def strike(random: Random) -> None:
            with proxy.bad(weather):
                time.sleep(random.uniform(seconds / 3, seconds))

        return strike

    return {
        "wire cut": cut,
        "wire stalls": stall,
        "wire delays": of(Weather(delay=0.03), 1.0),
        "wire splits": of(Weather(most=16), 1.0),
        "wire gathers": of(Weather(gather=0.02), 1.0),
        "replies swallowed": of(Weather(swallows=True), 0.3),
    }


# Database servers ------------------------------------------------------------


@contextmanager
def _postgresql(folder: Path) -> Iterator[Store]:
    server = PostgreSQL().start()
    proxy = Proxy(f"{server.socket}/.s.PGSQL.5432").start()

    def restart(random: Random) -> None:
        server.end(random.choice((signal.SIGINT, signal.SIGQUIT)))
        time.sleep(random.uniform(0, 0.5))
        server.start()

    def cut(_: Random) -> None:
        with psycopg.connect(server.url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    try:
        with _disk("PostgreSQL", folder) as (place, faults):
            _have_tables_at(place, server)
            url = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"
            faults |= {"restart": restart, "cut": cut, **_faults_of_wire(proxy)}
            yield Store(_sql(url, timeout="1s"), faults)
            server.end(server.fast)
    finally:
        proxy.stop()
        server.stop()


def _have_tables_at(place: Path, server: PostgreSQL) -> None:
    tables = place / "tables"
    tables.mkdir()
    shutil.chown(tables, server.data.owner())
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(f"CREATE TABLESPACE small LOCATION '{tables}'")
        admin.execute("ALTER SYSTEM SET default_tablespace = small")
        admin.execute("SELECT pg_reload_conf()")


@contextmanager
def _mariadb(_: Path) -> Iterator[Store]:
    try:
        server = MariaDB().start()
    except FileNotFoundError as missing:
        raise NotHereError(f"NOT on MariaDB: {missing}") from None
    host, port = str(server.where["host"]), int(str(server.where["port"]))
    proxy = Proxy((host, port)).start()

    def restart(random: Random) -> None:
        server.end(random.choice((signal.SIGTERM, signal.SIGKILL)))
        time.sleep(random.uniform(0, 0.5))
        server.start()

    def cut(_: Random) -> None:
        with server.connect() as admin, admin.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE user = 'root'")
            for (number,) in cursor.fetchall():
                if number != admin.thread_id():
                    try:
                        cursor.execute(f"KILL {number}")
                    except pymysql.err.OperationalError:  # it has gone by itself
                        pass

    try:
        url = f"mysql://root@127.0.0.1:{proxy.port}/test"
        faults = {"restart": restart, "cut": cut, **_faults_of_wire(proxy)}
        yield Store(_sql(url, timeout="1s"), faults)
    finally:
        proxy.stop()
        server.stop()


# Valkey ------------------------------------------------------------------------


@contextmanager
def _valkey(_: Path) -> Iterator[Store]:
    server = Server("valkey", appendonly="yes", appendfsync="always").start()
    proxy = Proxy(("127.0.0.1", server.port)).start()

    def restart(random: Random) -> None:
        server.kill()
        time.sleep(random.uniform(0, 0.5))
        server.start()

    try:
        faults = {"restart": restart, **_faults_of_valkey(server), **_faults_of_wire(proxy)}
        yield Store(_redis(f"redis://127.0.0.1:{proxy.port}"), faults, is_fair=True)
    finally:
        proxy.stop()
        server.stop()


@contextmanager
def _forgetful(_: Path) -> Iterator[Store]:
    """A Valkey that is killed, and knows what it knew when it was last told to save all."""
    server = Server("valkey").start()

    def forget(random: Random) -> Rolled:
        since = monotonic_ns()
        server.ask("SAVE")
        time.sleep(random.uniform(0.1, 0.5))
        server.kill()
        at = monotonic_ns()
        server.start()
        return Rolled(since, at, _Slots(range(16384)))

    try:
        faults = {"forget": forget, **_faults_of_valkey(server)}
        yield Store(_redis(server.url), faults)
    finally:
        server.stop()


def _faults_of_valkey(server: Server) -> dict[str, Fault]:
    def freeze(random: Random) -> None:
        server.pause()
        time.sleep(random.uniform(0.1, 1.5))
        server.resume()

    def flush(_: Random) -> None:
        server.ask("SCRIPT", "FLUSH")

    def cut(_: Random) -> None:
        server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    return {"freeze": freeze, "flush": flush, "cut": cut}


class _Slots:
    """The keys of a history that are in some of a Cluster's slots."""

    def __init__(self, slots: range | set[int]) -> None:
        self._slots = slots

    def __contains__(self, key: object) -> bool:
        return slot_of(f"k{key}") in self._slots


@contextmanager
def _cluster(_: Path) -> Iterator[Store]:
    # A replica that was cut off takes over as well: what it lacks is what is lost.
    cluster = Cluster("valkey", replicas=1, cluster_replica_validity_factor=0).start()
    try:
        yield Store(_redis(cluster.url), _faults_of_cluster(cluster), is_fair=True)
    finally:
        cluster.stop()


def _faults_of_cluster(cluster: Cluster) -> dict[str, Fault]:
    def hand_over(random: Random) -> None:
        cluster.hand_over(cluster.owner(random.randrange(16384)))
        cluster.until_well()

    def migrate(random: Random) -> None:
        number = slot_of(f"kk{random.randrange(6)}")
        source = cluster.owner(number)
        target = random.choice([each for each in cluster.owners() if each is not source])
        cluster.migrate(number, source, target)

    def cut(random: Random) -> None:
        random.choice(cluster.owners()).ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def flush(random: Random) -> None:
        random.choice(cluster.owners()).ask("SCRIPT", "FLUSH")

    def kill(random: Random) -> Rolled:
        """A primary: what its replica has not got by then is lost."""
        return _kill_a_primary(cluster, random.uniform(0, 0.1))

    def kill_cut_off(random: Random) -> Rolled:
        """A primary whose replica has got nothing for a while: all since then is lost."""
        return _kill_a_primary(cluster, random.uniform(0.1, 0.5), cut_off=True)

    def kill_a_replica(random: Random) -> None:
        replica = cluster.replica_of(random.choice(cluster.owners()))
        replica.kill()
        time.sleep(random.uniform(0, 1.0))
        replica.start()
        cluster.until_well()

    def freeze_a_replica(random: Random) -> None:
        """For so long, at times, that the others take it for dead."""
        replica = cluster.replica_of(random.choice(cluster.owners()))
        replica.pause()
        time.sleep(random.uniform(0.1, 2.0))
        replica.resume()
        cluster.until_well()

    return {
        "hand over": hand_over,
        "migrate": migrate,
        "cut": cut,
        "flush": flush,
        "kill a primary": kill,
        "kill one cut off": kill_cut_off,
        "kill a replica": kill_a_replica,
        "freeze a replica": freeze_a_replica,
    }


def _kill_a_primary(cluster: Cluster, after: float, *, cut_off: bool = False) -> Rolled:
    primary = _busiest(cluster)
    replica = cluster.replica_of(primary)
    slots = cluster.slots_of(primary)
    since = monotonic_ns()
    all_of_it = _offset(primary)
    until(lambda: _offset(replica) >= all_of_it, "a replica that has all")
    if cut_off:
        replica.pause()
        primary.ask("CLIENT", "KILL", "TYPE", "replica")
    time.sleep(after)
    primary.kill()
    at = monotonic_ns()
    if cut_off:
        replica.resume()
    until(lambda: replica in cluster.owners(), "a replica that has taken over")
    primary.start()
    cluster.until_well()
    return Rolled(since, at, _Slots(slots))


def _busiest(cluster: Cluster) -> Server:
    owners = cluster.owners()
    before = [_offset(owner) for owner in owners]
    time.sleep(0.1)
    grown = [_offset(owner) - old for owner, old in zip(owners, before, strict=True)]
    return owners[grown.index(max(grown))]


def _offset(server: Server) -> int:
    """How far it is in what primaries send to replicas, in bytes."""
    info = server.client().info("replication")
    return int(info["master_repl_offset" if info["role"] == "master" else "slave_repl_offset"])


STORES = {
    "memory": _memory,
    "files": _files,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mariadb": _mariadb,
    "valkey": _valkey,
    "forgetful": _forgetful,
    "cluster": _cluster,
}
