"""The backend: a batch is written at once, and answered reply by reply."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from sessiontracker.backend import Asked, AsyncBackend, BackendError
from sessiontracker.backend import operations as kinds

from .. import server
from ..batch import Batch
from ..confirming import Unconfirmed, changes, unconfirmed
from ..failures import NotConnectedError, outcome_of, raised, senseless, stale_error
from ..options import Options
from ..packing import LOADS, Packer, found_all
from ..packing import outcome_of as answered
from ..records import NotASessionError
from .cluster import AsyncCluster
from .hints import AsyncHints
from .node import AsyncNode
from .pools import AsyncPools
from .runtime import all_of
from .stores import AsyncStores
from .subscriber import AsyncSubscriber
from .topology import AsyncSingle, AsyncTopology

__all__ = ["AsyncRedisBackend"]

_WAITING = (kinds.Acquire, kinds.Release)


class AsyncRedisBackend(AsyncBackend):
    """Sessions and locks on Redis or Valkey: one server, or a cluster."""

    look_every = 0.5
    lanes = 2  # a server

    def __init__(self, options: Options) -> None:
        self._options = options
        self._where = options.where
        channel = f"{options.prefix}wake:{secrets.token_hex(8)}"
        self._packer = Packer(options.prefix, channel, options.clock)
        self._pools = AsyncPools(options)
        self._topology: AsyncTopology
        if self._pools.is_cluster:
            self._topology = AsyncCluster(self._pools, options)
        else:
            self._topology = AsyncSingle(self._pools, options)
        self._stores = AsyncStores(options, self._packer.keys)
        self._hints = AsyncHints(self._subscribe, channel)

    async def open(self) -> None:
        try:
            await self._find()
        except BaseException as error:
            await self.close()
            if isinstance(error, NotConnectedError):
                raise raised(error.error, self._where) from error.error
            raise

    async def _find(self) -> None:
        """Raises: BackendError, NotConnectedError."""
        await self._topology.open()
        if await self._check() and not isinstance(self._topology, AsyncCluster):
            await self._topology.close()
            self._topology = AsyncCluster(self._pools, self._options)
            await self._topology.open()
            await self._check()

    async def _check(self) -> bool:
        """Whether the servers are of a cluster. Raises: BackendError, NotConnectedError."""
        nodes = self._topology.primaries().values()
        return any(await all_of([partial(self._check_one, node) for node in nodes]))

    async def _check_one(self, node: AsyncNode) -> bool:
        info, *_ = await node.ask(self._options.connecting, (b"INFO",), *LOADS)
        if isinstance(info, bytes):
            return server.check(info, self._where)
        if info is None or stale_error(info):  # not only: this user may not ask
            raise raised(info or RedisError("the server did not answer"), self._where)
        return False

    async def close(self) -> None:
        await self._hints.close()
        await self._topology.close()
        await self._pools.close()

    async def _subscribe(self, channel: bytes) -> AsyncSubscriber:
        return await self._topology.subscribe(channel)

    async def wait(self, ticket: int, timeout: float) -> None:
        await self._hints.wait(ticket, timeout)

    def lane_of(self, operation: Asked) -> int:
        """What concerns all servers has a lane of its own: a search may take its time."""
        return -1 if operation.address is None else self._topology.lane_of(operation.address)

    async def execute(self, operations: Sequence[Asked]) -> list[kinds.Outcome]:
        return await self._executed(self._packed(operations))

    def _packed(self, operations: Sequence[Asked]) -> Batch:
        for operation in operations:
            if type(operation) is kinds.Acquire:
                self._hints.expect(operation)
        return Batch(self._packer, operations, gathers=self._topology.gathers)

    async def _executed(self, batch: Batch) -> list[kinds.Outcome]:
        replies: list[Any] = []
        if batch.commands:
            confirm = self._confirms(batch)
            replies = await self._topology.exchange(batch.commands, batch.packed, confirm=confirm)
        outcomes = self._outcomes(batch, replies)
        return [
            outcome or await self._stores.execute(operation, self._topology)
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
