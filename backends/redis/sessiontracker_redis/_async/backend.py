"""The backend: a batch is written at once, and answered reply by reply."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from sessiontracker.backend import Asked, AsyncBackend, BackendError
from sessiontracker.backend import operations as kinds

from .. import server
from ..failures import is_stale_connection, outcome_of, raised
from ..options import Options
from ..packing import Command, Packer, wire
from ..packing import outcome_of as answered
from ..records import NotASessionError
from ..scanning import begin, names_of, page
from ..scripts import SCRIPTS
from .connections import NotConnectedError
from .hints import AsyncHints
from .node import AsyncNode
from .topology import pool_of

__all__ = ["AsyncRedisBackend"]

_TIME: Command = (b"TIME",)


def _is_error(reply: object) -> bool:
    """Whether the server refused, or did not answer."""
    return reply is None or isinstance(reply, Exception)


class AsyncRedisBackend(AsyncBackend):
    """Sessions and locks on one Redis or Valkey server."""

    look_every = 0.5
    lanes = 2

    def __init__(self, options: Options) -> None:
        self._where = options.where
        self._timeout = options.timeout
        self._clock = options.clock
        self._node = AsyncNode(pool_of(options), owned=options.client is None)
        channel = f"{options.prefix}wake:{secrets.token_hex(8)}"
        self._packer = Packer(options.prefix, channel, options.clock)
        self._hints = AsyncHints(self._node, channel)

    async def open(self) -> None:
        loads = [(b"SCRIPT", b"LOAD", script.text) for script in SCRIPTS.values()]
        try:
            info, *_ = await self._node.ask(self._timeout, (b"INFO",), *loads)
        except NotConnectedError as error:
            raise raised(error.error, self._where) from error.error
        if isinstance(info, bytes):
            server.check(info.decode(), self._where)
        elif info is None or is_stale_connection(info):  # not only: this user may not ask
            raise raised(info or RedisError("the server did not answer"), self._where)

    async def close(self) -> None:
        await self._hints.close()
        await self._node.close()

    async def wait(self, ticket: int, timeout: float) -> None:
        await self._hints.wait(ticket, timeout)

    async def execute(self, operations: Sequence[Asked]) -> list[kinds.Outcome]:
        commands: list[Command] = []
        packed: list[bytes] = []
        failed: dict[int, kinds.Outcome] = {}
        for index, operation in enumerate(operations):
            try:
                command = self._command(operation)
                packed.append(wire(command))
            except (ValueError, OverflowError) as error:  # which no store can hold
                failed[index] = kinds.Failed(BackendError(f"{self._where}: {error}"))
                command = _TIME
                packed.append(wire(command))
            commands.append(command)
        try:
            replies = await self._node.exchange(commands, packed, self._timeout)
            outcomes: list[kinds.Outcome] = []
            for index, (operation, reply) in enumerate(zip(operations, replies, strict=True)):
                if index in failed:
                    outcomes.append(failed[index])
                elif isinstance(operation, kinds.Scan) and not _is_error(reply):
                    outcomes.append(await self._page(operation, reply))
                else:
                    outcomes.append(self._outcome(operation, reply))
        except NotConnectedError as error:
            return [
                failed.get(index, self._not_connected(error)) for index in range(len(operations))
            ]
        return outcomes

    def _command(self, operation: Asked) -> Command:
        if isinstance(operation, kinds.Operation):
            self._hints.expect(operation)
            return self._packer.evalsha(operation)
        if isinstance(operation, kinds.Scan):
            return begin(self._packer.keys, operation, operation.cursor or "0")
        return _TIME

    def _outcome(self, operation: Asked, reply: Any) -> kinds.Outcome:
        """What ``operation`` came to, by the ``reply`` to its command; None: none came."""
        if reply is None:
            return kinds.NoAnswer(f"{self._where}: the connection was lost, or time was up")
        if isinstance(reply, Exception):
            return outcome_of(reply, self._where)
        if isinstance(operation, kinds.Operation):
            try:
                outcome = answered(operation, reply)
            except NotASessionError as error:
                return kinds.Broken(f"{self._where}: {error}")
            self._hints.note(operation, outcome)
            return outcome
        if isinstance(operation, kinds.Reap):
            return kinds.Reaped(0)  # Redis expires by itself
        return kinds.Pong(self._now(reply))

    def _now(self, time: Any) -> int:
        return self._clock() if self._clock is not None else int(time[0]) * 1_000_000 + int(time[1])

    def _not_connected(self, error: NotConnectedError) -> kinds.Outcome:
        refused = raised(error.error, self._where)
        if type(refused) is BackendError:
            return kinds.Failed(refused)
        return kinds.Unavailable(str(refused))

    async def _page(self, scan: kinds.Scan, found: Any) -> kinds.Outcome:
        """The page that begins with ``found``; empty only at the end, or after a long search."""
        until = monotonic() + self._timeout / 2
        while not (names := names_of(found)) and found[0] != b"0" and monotonic() < until:
            [found] = await self._node.ask(self._timeout, begin(self._packer.keys, scan, found[0]))
            if _is_error(found):
                return self._outcome(scan, found)
        replies = await self._node.ask(self._timeout, _TIME, *((b"MGET", *names),) * bool(names))
        for answer in replies:
            if _is_error(answer):
                return self._outcome(scan, answer)
        time, *texts = replies
        ms = self._now(time) // 1000
        return page(self._packer.keys, scan, found, texts[0] if names else [], ms)
