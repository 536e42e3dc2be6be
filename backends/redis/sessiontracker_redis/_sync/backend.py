# Generated from backends/redis/sessiontracker_redis/_async/backend.py by scripts/generate_sync.py: edit that.
"""The backend: a batch is written at once, and answered reply by reply."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from sessiontracker.backend import Asked, Backend, BackendError
from sessiontracker.backend import operations as kinds

from .. import server
from ..batch import Batch
from ..confirming import Unconfirmed, changes, unconfirmed
from ..failures import NotConnectedError, outcome_of, raised, senseless, stale_error
from ..options import Options
from ..packing import LOADS, Packer, found_all
from ..packing import outcome_of as answered
from ..records import NotASessionError
from .cluster import Cluster
from .hints import Hints
from .node import Node
from .pools import Pools
from .runtime import all_of
from .stores import Stores
from .subscriber import Subscriber
from .topology import Single, Topology

__all__ = ["RedisBackend"]

_WAITING = (kinds.Acquire, kinds.Release)


class RedisBackend(Backend):
    """Sessions and locks on Redis or Valkey: one server, or a cluster."""

    look_every = 0.5
    lanes = 2  # a server

    def __init__(self, options: Options) -> None:
        self._options = options
        self._where = options.where
        channel = f"{options.prefix}wake:{secrets.token_hex(8)}"
        self._packer = Packer(options.prefix, channel, options.clock)
        self._pools = Pools(options)
        self._topology: Topology
        if self._pools.is_cluster:
            self._topology = Cluster(self._pools, options)
        else:
            self._topology = Single(self._pools, options)
        self._stores = Stores(options, self._packer.keys)
        self._hints = Hints(self._subscribe, channel)

    def open(self) -> None:
        try:
            self._find()
        except BaseException as error:
            self.close()
            if isinstance(error, NotConnectedError):
                raise raised(error.error, self._where) from error.error
            raise

    def _find(self) -> None:
        """Raises: BackendError, NotConnectedError."""
        self._topology.open()
        if self._check() and not isinstance(self._topology, Cluster):
            self._topology.close()
            self._topology = Cluster(self._pools, self._options)
            self._topology.open()
            self._check()

    def _check(self) -> bool:
        """Whether the servers are of a cluster. Raises: BackendError, NotConnectedError."""
        nodes = self._topology.primaries().values()
        return any(all_of([partial(self._check_one, node) for node in nodes]))

    def _check_one(self, node: Node) -> bool:
        info, *_ = node.ask(self._options.connecting, (b"INFO",), *LOADS)
        if isinstance(info, bytes):
            return server.check(info, self._where)
        if info is None or stale_error(info):  # not only: this user may not ask
            raise raised(info or RedisError("the server did not answer"), self._where)
        return False

    def close(self) -> None:
        self._hints.close()
        self._topology.close()
        self._pools.close()

    def _subscribe(self, channel: bytes) -> Subscriber:
        return self._topology.subscribe(channel)

    def wait(self, ticket: int, timeout: float) -> None:
        self._hints.wait(ticket, timeout)

    def lane_of(self, operation: Asked) -> int:
        """What concerns all servers has a lane of its own: a search may take its time."""
        return -1 if operation.address is None else self._topology.lane_of(operation.address)

    def execute(self, operations: Sequence[Asked]) -> list[kinds.Outcome]:
        return self._executed(self._packed(operations))

    def _packed(self, operations: Sequence[Asked]) -> Batch:
        for operation in operations:
            if type(operation) is kinds.Acquire:
                self._hints.expect(operation)
        return Batch(self._packer, operations, gathers=self._topology.gathers)

    def _executed(self, batch: Batch) -> list[kinds.Outcome]:
        replies: list[Any] = []
        if batch.commands:
            confirm = self._confirms(batch)
            replies = self._topology.exchange(batch.commands, batch.packed, confirm=confirm)
        outcomes = self._outcomes(batch, replies)
        return [
            outcome or self._stores.execute(operation, self._topology)
            for operation, outcome in zip(batch.operations, outcomes, strict=True)
        ]

    def _confirms(self, batch: Batch) -> bool:
        """Whether replicas are to have what ``batch`` changes."""
        return self._options.wait_replicas > 0 and any(map(changes, batch.operations))

    def _outcomes(self, batch: Batch, replies: Sequence[Any]) -> list[kinds.Outcome | None]:
        """What each operation came to, by the ``replies``; None: it has no command."""
        if len(batch.operations) == 1 and batch.is_whole:
            return [self._outcome(batch.operations[0], replies[0])]
        outcomes: list[kinds.Outcome | None] = [None] * len(batch.operations)
        for index, error in batch.failures.items():
            outcomes[index] = kinds.Failed(BackendError(f"{self._where}: {error}"))
        for indexes, said in batch.answers(replies):
            asked = [batch.operations[index] for index in indexes]
            known = found_all(asked, said)
            for index, outcome, one, reply in zip(indexes, known, asked, said, strict=True):
                outcomes[index] = outcome or self._outcome(one, reply)
        return outcomes

    def _outcome(self, operation: kinds.Operation, reply: Any) -> kinds.Outcome:
        """What ``operation`` came to, by the ``reply`` to its command; None: none came."""
        if reply is None or isinstance(reply, Exception):
            return outcome_of(reply, self._where)
        confirmed = type(reply) is not Unconfirmed
        try:
            outcome = answered(operation, reply if confirmed else reply.reply)
        except NotASessionError as error:
            return kinds.Broken(f"{self._where}: {error}")
        except Exception:  # no script of ours says that
            return senseless(operation, reply, self._where)
        if type(operation) in _WAITING:
            self._hints.note(operation, outcome)
        return outcome if confirmed else unconfirmed(operation, outcome, self._where)
