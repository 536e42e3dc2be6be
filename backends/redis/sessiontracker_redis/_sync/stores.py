# Generated from backends/redis/sessiontracker_redis/_async/stores.py by scripts/generate_sync.py: edit that.
"""What concerns whole servers, not one session: whether they answer, and what is on them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import Any

from sessiontracker.backend import Asked, BackendError, operations

from .. import server
from ..arguments import Command
from ..failures import NotConnectedError, code_of, is_foreign, outcome_of, senseless
from ..keys import Keys
from ..options import Options
from ..scanning import Position, items, lookup, names_of, search
from .node import Node
from .runtime import all_of
from .topology import Topology

__all__ = ["Stores"]

_TIME: Command = (b"TIME",)


class _RefusedError(Exception):
    """A server did not answer as it should: what the operation came to."""

    def __init__(self, outcome: operations.Outcome) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome


class Stores:
    """Asks all primaries, one by one or side by side."""

    def __init__(self, options: Options, keys: Keys) -> None:
        self._where = options.where
        self._keys = keys
        self._timeout = options.timeout
        self._clock = options.clock

    def execute(self, operation: Asked, topology: Topology) -> operations.Outcome:
        """What a Scan, a Reap or a Ping of all primaries comes to."""
        nodes = topology.primaries()
        try:
            if isinstance(operation, operations.Scan):
                return self._page(operation, nodes)
            times = all_of([partial(self._time, node) for node in nodes.values()])
            if isinstance(operation, operations.Reap):
                return operations.Reaped(0)  # Redis expires by itself
            return operations.Pong(max(times, default=0))
        except _RefusedError as refused:
            topology.doubt()
            return refused.outcome
        except Exception as error:  # no Redis says that
            return senseless(operation, error, self._where)

    def _time(self, node: Node) -> int:
        [time] = self._ask(node, _TIME)
        return self._now(time)

    def _now(self, time: Any) -> int:
        return self._clock() if self._clock is not None else int(time[0]) * 1_000_000 + int(time[1])

    def _page(self, scan: operations.Scan, nodes: Mapping[str, Node]) -> operations.Outcome:
        """The next page; empty only at the end, or after a long search."""
        until = monotonic() + self._timeout / 2
        try:
            position = Position.of(scan.cursor, nodes)
        except ValueError as error:
            return operations.Failed(BackendError(f"{self._where}: {error}"))
        names: list[str] = []
        node: Node | None = None
        while position is not None and not names and monotonic() < until:
            node = nodes[position.node]
            find = search(self._keys, scan, position.cursor)
            reply, info = self._ask(node, find, (b"INFO",))
            run, is_primary = server.identity(info)
            if position.node and not is_primary:  # its keys come and go with another's
                raise self._changed()
            if position.is_of(run):
                names = names_of(self._keys, scan, reply)
                position = position.after(reply, run, nodes)
            else:
                position = position.again(run)
        following = "" if position is None else str(position)
        if node is None or not names:
            return operations.Page([], following)
        lookups = [lookup(self._keys, scan, name) for name in names]
        time, *replies = self._ask(node, _TIME, *lookups)
        for reply in replies:
            if not isinstance(reply, Exception) or is_foreign(reply):
                continue
            if code_of(reply) in ("ASK", "MOVED") and "" not in nodes:
                raise self._changed()
            raise _RefusedError(outcome_of(reply, self._where))
        found = items(self._keys, scan, names, replies, self._now(time) // 1000)
        return operations.Page(found, following)

    def _changed(self) -> _RefusedError:
        return _RefusedError(operations.Unavailable(f"{self._where}: a primary changed"))

    def _ask(self, node: Node, *commands: Command) -> list[Any]:
        """The replies to ``commands``, of which the first must not be an error."""
        try:
            replies = node.ask(self._timeout, *commands)
        except NotConnectedError as error:
            raise _RefusedError(outcome_of(error, self._where)) from error
        for reply in replies[:1] + replies[-1:]:
            if reply is None or isinstance(replies[0], Exception):
                raise _RefusedError(outcome_of(reply, self._where))
        return replies
